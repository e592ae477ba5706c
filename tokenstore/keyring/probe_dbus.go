//go:build linux || netbsd || openbsd || (cgo && (freebsd || dragonfly))

package keyring

import (
	"context"
	"fmt"
	"os"

	"github.com/godbus/dbus/v5"
)

// maxItem is how many bytes of a value go into one item. The Secret Service has
// no limit; beyond some ten kilobytes it only gets slower.
const maxItem = 32 << 10

// Where go-keyring keeps its items: in the collection called login, which GNOME
// unlocks when a person logs in, or else in the default one.
var collections = []dbus.ObjectPath{
	"/org/freedesktop/secrets/collection/login",
	"/org/freedesktop/secrets/aliases/default",
}

// probe tells the keyring's state on a connection of its own. go-keyring would
// show a window and wait for it, block on a bus that is silent, and without a bus
// start one that outlives the process. The bus may start the Secret Service for
// this, as it would for any program.
func probe(ctx context.Context) (state, error) {
	conn, err := connect(ctx)
	if err != nil {
		return 0, noKeyring(ctx, "there is no session bus", err)
	}
	defer func() { _ = conn.Close() }()
	for _, path := range collections {
		var isLocked bool
		if isLocked, err = lockedAt(ctx, conn, path); err == nil {
			if isLocked {
				return locked, nil
			}
			return open, nil
		}
	}
	return 0, noKeyring(ctx, "no default keyring can be found on the session bus", err)
}

func connect(ctx context.Context) (*dbus.Conn, error) {
	conn, err := dbus.SessionBusPrivateNoAutoStartup(dbus.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	if err = conn.Auth(nil); err == nil {
		err = conn.Hello()
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

func lockedAt(ctx context.Context, conn *dbus.Conn, path dbus.ObjectPath) (isLocked bool, err error) {
	err = conn.Object("org.freedesktop.secrets", path).CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", 0,
		"org.freedesktop.Secret.Collection", "Locked").Store(&isLocked)
	return isLocked, err
}

func noKeyring(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err() // it may be there, and only be slow
	}
	return fmt.Errorf("%w (%s: %w)", ErrNoKeyring, what, err)
}

// personHere reports whether a window could be shown. A display of the desktop
// that this process does not see, as over SSH, does not count: a person there would
// not connect its question with the command that waits.
func personHere() bool { return os.Getenv("DISPLAY") != "" || os.Getenv("WAYLAND_DISPLAY") != "" }

// needsPerson reports whether err by itself says that a person was needed. It is
// probe that tells here.
func needsPerson(error) bool { return false }
