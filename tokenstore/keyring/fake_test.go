package keyring

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
)

// A Fake is an OS keyring in memory, whose calls tests can disturb. Its zero value
// is an empty keyring that is open.
type Fake struct {
	// Limit is how many bytes an item may have. Zero: any number.
	Limit int

	mu      sync.Mutex // guards what follows
	items   map[string]string
	locked  bool
	broken  error // what state returns
	deaf    bool  // state does not answer
	unknown bool
	absent  bool // nobody can be asked
	disturb func(op, item string) error
	running int
	most    int // of running
}

// OpenOn is Open on another keyring.
func OpenOn(ctx context.Context, c Config, f *Fake, lockRoot string) (*Store, error) {
	return openStore(ctx, c, newGuard(f), lockRoot)
}

// OpenDirectOn is OpenDirect on another keyring.
func OpenDirectOn(ctx context.Context, c Config, f *Fake, lockRoot string, maxItem int) (*Direct, error) {
	return openDirect(ctx, c, newGuard(f), lockRoot, maxItem)
}

// OpenReal is Open with its locks in root. The user's are used if it is empty.
func OpenReal(ctx context.Context, c Config, root string) (*Store, error) {
	if root == "" {
		return Open(ctx, c)
	}
	return openStore(ctx, c, theGuard, root)
}

// OpenDirectReal is OpenDirect with its locks in root. The user's are used if it is
// empty.
func OpenDirectReal(ctx context.Context, c Config, root string) (*Direct, error) {
	if root == "" {
		return OpenDirect(ctx, c)
	}
	return openDirect(ctx, c, theGuard, root, maxItem)
}

var (
	LockRoot    = lockRoot
	SessionItem = sessionItem
	Split       = split
	Sum         = sum
)

const (
	KeyItem   = keyItem
	IndexItem = indexItem
	MaxKeys   = maxKeys
)

func (f *Fake) get(service, item string) (value string, err error) {
	err = f.call("get", item, func() error {
		v, ok := f.items[service+":"+item]
		if !ok {
			return errNoItem
		}
		value = v
		return nil
	})
	return value, err
}

func (f *Fake) set(service, item, value string) error {
	return f.call("set", item, func() error {
		if f.Limit > 0 && len(value) > f.Limit {
			return errors.New("too big")
		}
		f.putLocked(service+":"+item, value)
		return nil
	})
}

func (f *Fake) remove(service, item string) error {
	return f.call("remove", item, func() error {
		if _, ok := f.items[service+":"+item]; !ok {
			return errNoItem
		}
		delete(f.items, service+":"+item)
		return nil
	})
}

func (f *Fake) call(op, item string, fn func() error) error {
	f.mu.Lock()
	f.running++
	f.most = max(f.most, f.running)
	disturb := f.disturb
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.running--
		f.mu.Unlock()
	}()
	if disturb != nil {
		if err := disturb(op, item); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.locked {
		return errors.New("failed to unlock correct collection")
	}
	return fn()
}

func (f *Fake) putLocked(key, value string) {
	if f.items == nil {
		f.items = make(map[string]string)
	}
	f.items[key] = value
}

func (f *Fake) state(ctx context.Context) (state, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case f.deaf:
		f.mu.Unlock()
		<-ctx.Done()
		f.mu.Lock()
		return 0, ctx.Err()
	case f.broken != nil:
		return 0, f.broken
	case f.unknown:
		return unknown, nil
	case f.locked:
		return locked, nil
	}
	return open, nil
}

func (f *Fake) person() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.absent
}

// Disturb has before called before each get, set and remove, with no lock held. It
// may block or panic; if it returns an error, so does the call.
func (f *Fake) Disturb(before func(op, item string) error) { f.change(func() { f.disturb = before }) }

// SetLocked locks or unlocks the keyring.
func (f *Fake) SetLocked(locked bool) { f.change(func() { f.locked = locked }) }

// SetUnknown makes a keyring whose state cannot be told, like that of macOS.
func (f *Fake) SetUnknown() { f.change(func() { f.unknown = true }) }

// SetDeaf makes a keyring that does not even tell its state.
func (f *Fake) SetDeaf() { f.change(func() { f.deaf = true }) }

// SetBroken makes every look at the keyring fail.
func (f *Fake) SetBroken(err error) { f.change(func() { f.broken = err }) }

// SendAway leaves nobody who could be asked.
func (f *Fake) SendAway() { f.change(func() { f.absent = true }) }

// Put writes an item past all checks, and Drop removes one.
func (f *Fake) Put(key, value string) { f.change(func() { f.putLocked(key, value) }) }
func (f *Fake) Drop(key string)       { f.change(func() { delete(f.items, key) }) }

func (f *Fake) change(fn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn()
}

// Items returns a copy of what is in the keyring, by service:item.
func (f *Fake) Items() map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.items)
}

// Keys returns the sorted names of what is in the keyring.
func (f *Fake) Keys() []string { return slices.Sorted(maps.Keys(f.Items())) }

// Running returns how many calls are under way, and how many ever were at once.
func (f *Fake) Running() (now, most int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running, f.most
}
