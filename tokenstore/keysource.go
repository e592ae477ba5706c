package tokenstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// A KeyFunc returns the keys of a [Sealed] store, at least one: the first key
// seals, all of them open.
//
// The store calls it when it first needs a key, and keeps the result. It calls
// again when it meets a session whose key it does not have, since another
// process may have changed to a new one. One call is under way at a time, on a
// goroutine of its own, and all callers that need a key wait for it together. Its ctx has
// the values of the first of them, and ends when the last of them has left; the
// call should then return.
type KeyFunc func(ctx context.Context) ([]Key, error)

// Keys returns a KeyFunc for keys that never change.
func Keys(keys ...Key) KeyFunc {
	keys = slices.Clone(keys)
	return func(context.Context) ([]Key, error) { return keys, nil }
}

// A keySource keeps what a KeyFunc returned, and shares its calls.
type keySource struct {
	fetch KeyFunc

	mu    sync.Mutex // guards what follows; never held while waiting
	keys  []Key      // what the last good call returned; replaced, never modified
	from  int        // the number of that call
	begun int        // how many calls were begun: the number of the latest
	call  *keyCall   // the call under way, or nil
}

// A keyCall is a call of a KeyFunc, shared by the callers that wait for it.
type keyCall struct {
	number int
	cancel context.CancelFunc

	waiting   int  // guarded by the source's mu
	abandoned bool // every waiting caller has left; guarded by the source's mu

	done chan struct{} // closed when the call has returned
	err  error         // written before done closes
}

// first returns the key that seals.
func (s *keySource) first(ctx context.Context) (Key, error) {
	keys, err := s.load(ctx, func(kept []Key) bool { return len(kept) > 0 })
	if err != nil {
		return Key{}, err
	}
	return keys[0], nil
}

// withID returns the key with the given ID. If there is none, the error wraps
// ErrSealed.
func (s *keySource) withID(ctx context.Context, id string) (Key, error) {
	named := func(k Key) bool { return k.ID() == id }
	keys, err := s.load(ctx, func(kept []Key) bool { return slices.ContainsFunc(kept, named) })
	if err != nil {
		return Key{}, err
	}
	if i := slices.IndexFunc(keys, named); i >= 0 {
		return keys[i], nil
	}
	return Key{}, missingKey(id, keys)
}

// missingKey says which key is missing. id comes from the store, where others may
// have written it.
func missingKey(id string, keys []Key) error {
	ids := make([]string, len(keys))
	for i, k := range keys {
		ids[i] = k.ID()
	}
	return fmt.Errorf("%w: it is sealed with key %.*q, and the keys at hand are %s: put that key back; if it is lost for good, delete the session from the store beneath and log in again",
		ErrSealed, keyIDLen, id, strings.Join(ids, ", "))
}

// renew asks for the keys anew, although some are kept.
func (s *keySource) renew(ctx context.Context) error {
	_, err := s.load(ctx, func([]Key) bool { return false })
	return err
}

// load returns the kept keys if they are enough. If not, it returns those of a
// call that began after load did: an earlier one may not know the key of what
// the caller has just read from the store.
func (s *keySource) load(ctx context.Context, enough func(kept []Key) bool) ([]Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for before := s.begun; s.from <= before && !enough(s.keys); {
		if err := s.waitLocked(ctx); err != nil {
			return nil, err
		}
	}
	return s.keys, nil
}

// waitLocked waits for the call under way, which it begins if there is none. It
// gives up mu while it waits.
func (s *keySource) waitLocked(ctx context.Context) error {
	if s.call == nil {
		s.beginLocked(ctx)
	}
	call := s.call
	call.waiting++
	s.mu.Unlock()
	var left error
	select {
	case <-call.done:
	case <-ctx.Done():
		left = fmt.Errorf("waiting for the sealing key: %w", ctx.Err())
	}
	s.mu.Lock()
	call.waiting--
	switch {
	case left != nil && call.waiting == 0:
		call.abandoned = true
		call.cancel()
		return left
	case left != nil:
		return left
	case call.abandoned:
		return nil // no caller was waiting for its outcome: the next call will tell
	}
	return call.err
}

// beginLocked calls the KeyFunc, under a context that outlives the caller's.
func (s *keySource) beginLocked(ctx context.Context) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.begun++
	call := &keyCall{number: s.begun, cancel: cancel, done: make(chan struct{})}
	s.call = call
	go func() {
		defer cancel()
		keys, err := s.fetch(ctx)
		if err == nil {
			err = checkKeys(keys)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.call = nil
		if err != nil {
			call.err = &keyError{err}
		} else {
			s.keys, s.from = slices.Clone(keys), call.number
		}
		close(call.done)
	}()
}

var errNoKey = errors.New("there is none: give at least one, from NewKey or ParseKey")

func checkKeys(keys []Key) error {
	if len(keys) == 0 || slices.ContainsFunc(keys, func(k Key) bool { return k.secret == nil }) {
		return errNoKey
	}
	return nil
}

// A keyError says why there are no keys. It matches what its cause matches,
// except for the errors of this package: those speak of the session, and a
// keyring that has no key ("not found") must not look like a store that has no
// session.
type keyError struct{ cause error }

func (e *keyError) Error() string {
	return "sealing key: " + e.cause.Error()
}

func (e *keyError) Is(target error) bool {
	return !slices.Contains(sessionErrors, target) && errors.Is(e.cause, target)
}

func (e *keyError) As(target any) bool { return errors.As(e.cause, target) }

var sessionErrors = []error{
	ErrNotFound, ErrConflict, ErrDamaged, ErrNewerFormat, ErrSealed, ErrNotSealed, ErrLocked, ErrLeaseLost, ErrInvalidName,
}
