package keyring

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/evertoken/evertoken/tokenstore"
)

// go-keyring cannot list items, so the names of the sessions are a value of their
// own. It lies in the keyring, not in a file, and so shares the fate of what it
// names: a keyring that is moved or restored still knows its sessions.
//
// A name is added before its session is saved and removed after it is gone. The
// list thus has every session, and after a crash a name without one.

// Names implements [tokenstore.Lister]. It lists a session whose record is damaged
// or too new too.
func (d *Direct) Names(ctx context.Context) ([]string, error) {
	listed, err := d.listed(ctx)
	if err == nil {
		listed, err = d.present(ctx, slices.DeleteFunc(listed, tokenstore.IsServerRecord))
	}
	return listed, failed("list sessions", err)
}

// Records implements [tokenstore.RecordLister].
func (d *Direct) Records(ctx context.Context) ([]string, error) {
	listed, err := d.listed(ctx)
	if err == nil {
		listed, err = d.present(ctx, listed)
	}
	return listed, failed("list records", err)
}

// present returns those of the names on the list that have a record.
func (d *Direct) present(ctx context.Context, listed []string) ([]string, error) {
	var names []string
	for _, name := range listed {
		_, err := d.values.client.get(ctx, sessionItem(name))
		switch {
		case errors.Is(err, errNoItem):
			continue
		case err != nil:
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// Count implements [tokenstore.Lister].
func (d *Direct) Count(ctx context.Context) (int, error) {
	names, err := d.Names(ctx)
	return len(names), err
}

// Cleanup implements [tokenstore.Lister]. It also removes what a crash left behind
// of sessions that were deleted or never saved whole.
func (d *Direct) Cleanup(ctx context.Context) (removed int, err error) {
	names, err := d.listed(ctx)
	if err != nil {
		return 0, failed("clean up", err)
	}
	for _, name := range names {
		gone, err := d.cleanUp(ctx, name)
		if err != nil {
			return removed, failed(about("clean up", name), err)
		}
		if gone {
			removed++
		}
	}
	return removed, nil
}

// cleanUp removes the session called name if it is spent. What another
// writer changes meanwhile, and what cannot be read, is left alone.
func (d *Direct) cleanUp(ctx context.Context, name string) (gone bool, err error) {
	rec, _, err := d.read(ctx, name)
	if errors.Is(err, tokenstore.ErrNotFound) {
		return false, ignoreMoved(d.Delete(ctx, name, 0))
	}
	if err != nil || !rec.Spent(time.Now()) { // most are not: spare them the lock
		return false, ignoreMoved(err)
	}
	lease, err := d.tryLock(ctx, name)
	if lease == nil {
		return false, err
	}
	// Look again: the session may have been renewed while the lock was being taken.
	if rec, _, err = d.read(ctx, name); err == nil && rec.Spent(time.Now()) {
		err = d.Delete(ctx, name, rec.Version)
		gone = err == nil
	}
	return gone, errors.Join(ignoreMoved(err), lease.Unlock())
}

// patience is how long Cleanup waits for a lock: long enough to get one that is
// free on a busy machine, where a process may have to wait for the processor for longer
// than fifty milliseconds.
const patience = 200 * time.Millisecond

// tryLock returns nil for a session whose lock is held.
func (d *Direct) tryLock(ctx context.Context, name string) (tokenstore.Lease, error) {
	short, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	lease, err := d.Lock(short, name)
	if errors.Is(err, tokenstore.ErrLocked) {
		return nil, ctx.Err()
	}
	return lease, err
}

// ignoreMoved drops the errors that mean "this is not ours to clean up".
func ignoreMoved(err error) error {
	for _, fine := range []error{tokenstore.ErrNotFound, tokenstore.ErrConflict, tokenstore.ErrDamaged, tokenstore.ErrNewerFormat} {
		if errors.Is(err, fine) {
			return nil
		}
	}
	return err
}

// listed returns the names on the list, sorted.
func (d *Direct) listed(ctx context.Context) ([]string, error) {
	names, _, err := d.readList(ctx)
	if errors.Is(err, tokenstore.ErrDamaged) {
		// Another writer may have been at it: look again while none is.
		err = d.changeList(ctx, func() (err error) {
			names, _, err = d.readList(ctx)
			return err
		})
	}
	return names, err
}

func (d *Direct) addName(ctx context.Context, name string) error {
	return d.changeList(ctx, func() error {
		names, old, err := d.readList(ctx)
		if err != nil && !errors.Is(err, tokenstore.ErrDamaged) {
			return err // a damaged list is begun anew; each save adds its session again
		}
		i, found := slices.BinarySearch(names, name)
		if found {
			return nil
		}
		return d.writeList(ctx, old, slices.Insert(names, i, name))
	})
}

func (d *Direct) removeName(ctx context.Context, name string) error {
	return d.changeList(ctx, func() error {
		names, old, err := d.readList(ctx)
		i, found := slices.BinarySearch(names, name)
		if err != nil || !found {
			return ignoreMoved(err)
		}
		if len(names) == 1 {
			return d.values.remove(ctx, indexItem)
		}
		return d.writeList(ctx, old, slices.Delete(names, i, i+1))
	})
}

func (d *Direct) changeList(ctx context.Context, fn func() error) error {
	return exclusive(ctx, d.locks.items, indexItem, d.values.client.guard, fn)
}

func (d *Direct) readList(ctx context.Context) ([]string, stored, error) {
	found, err := d.values.read(ctx, indexItem)
	var names []string
	switch {
	case errors.Is(err, errNoItem):
		return nil, found, nil
	case errors.Is(err, errTorn), err == nil && json.Unmarshal([]byte(found.text), &names) != nil:
		return nil, found, fmt.Errorf("%w: the list of sessions cannot be read", tokenstore.ErrDamaged)
	case err != nil:
		return nil, found, err
	}
	// A name that no session can have was planted: it would end every Cleanup.
	names = slices.DeleteFunc(names, func(name string) bool { return tokenstore.CheckName(name) != nil })
	slices.Sort(names)
	return names, found, nil
}

func (d *Direct) writeList(ctx context.Context, old stored, names []string) error {
	data, err := json.Marshal(names)
	if err != nil {
		return err
	}
	return d.values.write(ctx, indexItem, old, string(data))
}
