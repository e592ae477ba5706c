package keyring

import (
	"context"
	"errors"

	"github.com/evertoken/evertoken/internal/storeerr"
)

// None of these matches [tokenstore.ErrNotFound]: a keyring that cannot be read
// does not call for a new login.
var (
	// ErrNoKeyring means that there is no OS keyring that could be asked: no
	// session bus, no Secret Service on it, or a system without one.
	ErrNoKeyring = errors.New("there is no OS keyring here: log in to a desktop session, start a Secret Service such as gnome-keyring, or choose another store")
	// ErrKeyringLocked means that the keyring is locked and stayed so: no person could
	// be asked, or the person declined or gave no answer in time. A session that another
	// holder has locked is [tokenstore.ErrLocked].
	ErrKeyringLocked = errors.New("the OS keyring is locked: unlock it and try again")
	// ErrTimeout means that the keyring did not answer in time. What was being
	// saved may or may not be.
	ErrTimeout = errors.New("the OS keyring does not answer: try again, and if that does not help, restart its service or log in anew")
	// ErrKeyLost means that there are sealed sessions, and the keyring no longer
	// has the key that opens them.
	ErrKeyLost = errors.New("the key of the saved sessions is not in the OS keyring")
)

// errNoItem means that the keyring answers and has no such item.
var errNoItem = errors.New("no such item")

var errNoRecord = storeerr.ErrNoRecord

// failed adds what was being done to err. A nil err stays nil.
func failed(action string, err error) error {
	return storeerr.Failed("keyring", action, err)
}

// about names the session in an action.
func about(action, name string) string { return storeerr.About(action, name) }

// check refuses names that cannot be used, and calls whose context has ended.
func check(ctx context.Context, action, name string) error {
	return storeerr.Check(ctx, "keyring", action, name)
}
