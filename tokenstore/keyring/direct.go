package keyring

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/evertoken/evertoken/tokenstore"
)

// Direct is a store that keeps whole sessions in the OS keyring. Most programs
// want [Open] instead; see the package documentation for why.
//
// The sessions are for all programs that may use the keyring, and so the locks are the
// user's as well: they do not depend on any directory that the program was given, nor on
// $HOME or $XDG_STATE_HOME.
//
// A session that the keyring's limit does not let into one item lies in several,
// of which the last to be written commits the whole: a crash leaves the old
// session or the new one. One whose items do not belong together is damaged
// ([tokenstore.ErrDamaged]); it stays as it is until a new session is saved in its
// place, or it is deleted.
//
// Direct implements [tokenstore.Store], [tokenstore.Locker], [tokenstore.Lister] and
// [tokenstore.RecordLister]. All methods are safe for concurrent use by goroutines and
// processes. A context that ends stops the waiting, but not a write that has begun.
type Direct struct {
	values values
	locks  *locks
}

var (
	_ tokenstore.Store        = (*Direct)(nil)
	_ tokenstore.Locker       = (*Direct)(nil)
	_ tokenstore.Lister       = (*Direct)(nil)
	_ tokenstore.RecordLister = (*Direct)(nil)
)

// OpenDirect returns the store in the keyring itself. It looks whether the keyring
// can be used, so that trouble shows at the start, and has it unlocked if need be.
// It fails with [ErrNoKeyring], [ErrKeyringLocked] or [ErrTimeout]; it never takes another
// place instead. A ctx that ends earlier than the limits in c ends it too.
func OpenDirect(ctx context.Context, c Config) (*Direct, error) {
	root, err := lockRoot()
	if err != nil {
		return nil, failed("find the home directory", err)
	}
	return openDirect(ctx, c, theGuard, root, maxItem)
}

func openDirect(ctx context.Context, c Config, g *guard, lockRoot string, maxItem int) (*Direct, error) {
	client, locks, err := prepare(ctx, c, g, lockRoot)
	if err != nil {
		return nil, err
	}
	d := &Direct{values: values{client, maxItem}, locks: locks}
	if _, err := client.get(ctx, indexItem); err != nil && !errors.Is(err, errNoItem) {
		return nil, failed("open", err)
	}
	return d, nil
}

// prepare makes what both kinds of store need. A keyring that cannot be used
// leaves no directories behind.
func prepare(ctx context.Context, c Config, g *guard, lockRoot string) (*client, *locks, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, nil, err
	}
	cl := &client{guard: g, service: c.Service, timeout: c.Timeout, prompt: c.PromptTimeout}
	if _, _, err := cl.ready(ctx); err != nil {
		return nil, nil, failed("open", err)
	}
	l, err := openLocks(lockRoot, c.Service)
	if err != nil {
		return nil, nil, failed("make the directory for locks", err)
	}
	return cl, l, nil
}

// Get implements [tokenstore.Store].
func (d *Direct) Get(ctx context.Context, name string) (*tokenstore.Record, error) {
	const action = "read"
	if err := check(ctx, action, name); err != nil {
		return nil, err
	}
	rec, _, err := d.read(ctx, name)
	if errors.Is(err, tokenstore.ErrDamaged) {
		// Another writer may have been at it: look again while none is.
		err = d.change(ctx, name, func() (err error) {
			rec, _, err = d.read(ctx, name)
			return err
		})
	}
	if err != nil {
		return nil, failed(about(action, name), err)
	}
	return rec, nil
}

// Set implements [tokenstore.Store]. If it fails with [ErrTimeout], rec may have
// been saved nevertheless.
func (d *Direct) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	const action = "save"
	if err := check(ctx, action, name); err != nil {
		return 0, err
	}
	if rec == nil {
		return 0, failed(about(action, name), errNoRecord)
	}
	next := *rec
	next.Version = tokenstore.NextVersion(rec.Version)
	data, err := next.MarshalJSON()
	if err != nil {
		return 0, failed(about(action, name), err)
	}
	err = d.change(ctx, name, func() error {
		version, old, err := d.version(ctx, name)
		switch {
		case err != nil && !(errors.Is(err, tokenstore.ErrDamaged) && rec.Version == 0):
			return err
		case version != rec.Version:
			return tokenstore.ErrConflict
		}
		ctx := context.WithoutCancel(ctx)
		if err := d.addName(ctx, name); err != nil {
			return err
		}
		return d.values.write(ctx, sessionItem(name), old, string(data))
	})
	if err != nil {
		return 0, failed(about(action, name), err)
	}
	return next.Version, nil
}

// Delete implements [tokenstore.Store]. It removes a damaged session too, and is
// then content with ErrNotFound.
func (d *Direct) Delete(ctx context.Context, name string, version uint64) error {
	const action = "delete"
	if err := check(ctx, action, name); err != nil {
		return err
	}
	err := d.change(ctx, name, func() error {
		found, _, err := d.version(ctx, name)
		absent := found == 0 && err == nil || errors.Is(err, tokenstore.ErrDamaged)
		switch {
		case err != nil && !absent:
			return err
		case !absent && found != version:
			return tokenstore.ErrConflict
		}
		// Also when there is none: a crash may have left parts of one behind.
		if err := d.erase(context.WithoutCancel(ctx), name); err != nil {
			return err
		}
		if absent {
			return tokenstore.ErrNotFound
		}
		return nil
	})
	return failed(about(action, name), err)
}

// Lock implements [tokenstore.Locker]. It does not need the keyring.
func (d *Direct) Lock(ctx context.Context, name string) (tokenstore.Lease, error) {
	return d.locks.leases.Lock(ctx, name)
}

// change calls fn while no other writer changes the session.
func (d *Direct) change(ctx context.Context, name string, fn func() error) error {
	return exclusive(ctx, d.locks.writes, name, d.values.client.guard, fn)
}

// exclusive calls fn under a lock. A call of the keyring that did not return in
// time goes on behind our back, and may be a write: the lock is held until then, or
// it would replace what another writer has saved since.
func exclusive(ctx context.Context, locks *tokenstore.File, name string, g *guard, fn func() error) error {
	lease, err := locks.Lock(ctx, name)
	if err != nil {
		return err
	}
	// What fn did stands, whether or not the unlock reports an error.
	unlock := func() { _ = lease.Unlock() }
	err = fn()
	if err != nil {
		g.afterwards(unlock)
	} else {
		unlock()
	}
	return err
}

// erase removes the session's items, and then its name: what a crash in between
// leaves, Cleanup finds by it.
func (d *Direct) erase(ctx context.Context, name string) error {
	if err := d.values.remove(ctx, sessionItem(name)); err != nil {
		return err
	}
	return d.removeName(ctx, name)
}

// version returns the stored record's version, or zero if there is none, and where
// it lies.
func (d *Direct) version(ctx context.Context, name string) (uint64, stored, error) {
	rec, found, err := d.read(ctx, name)
	switch {
	case errors.Is(err, tokenstore.ErrNotFound):
		return 0, found, nil
	case err != nil:
		return 0, found, err
	}
	return rec.Version, found, nil
}

// read reads the record of name. If there is something that is not a record, the error
// wraps ErrDamaged.
func (d *Direct) read(ctx context.Context, name string) (*tokenstore.Record, stored, error) {
	found, err := d.values.read(ctx, sessionItem(name))
	switch {
	case errors.Is(err, errNoItem):
		return nil, found, tokenstore.ErrNotFound
	case errors.Is(err, errTorn):
		return nil, found, fmt.Errorf("%w: %w", tokenstore.ErrDamaged, err)
	case err != nil:
		return nil, found, err
	}
	var rec tokenstore.Record
	err = rec.UnmarshalJSON([]byte(found.text))
	switch {
	case errors.Is(err, tokenstore.ErrNewerFormat):
		return nil, found, err
	case err != nil:
		return nil, found, fmt.Errorf("%w: %w", tokenstore.ErrDamaged, err)
	}
	return &rec, found, nil
}

// String says whose items the sessions are, and nothing of what is in them.
func (d *Direct) String() string {
	return fmt.Sprintf("keyring.Direct{%s}", d.values.client.service)
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (d *Direct) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, d.String()) }
