package tokenstore

import (
	"context"
	"errors"
	"fmt"
)

// Reseal seals every record anew that is not sealed with the first key, or that an earlier
// version has sealed for any store (see [Scoped]), and returns how many those were: of sessions,
// and of what is kept beside them ([ServerRecord]). It asks the [KeyFunc] for the keys of now, and takes
// each record's lock. When it returns no error, every record in the store is
// sealed with the first key. Only if the store beneath is not a [RecordLister], what [Lister.Names] leaves
// out keeps the key that it has, and package connect cannot go on without that. Interrupted, it goes on where it ended when it is
// called again.
//
// To change keys, put a new one before the old ones, call Reseal, and throw the
// old ones away. Do the last after a while and a second Reseal: other processes
// go on to seal new sessions with the old key until they meet one that is sealed
// with the new key.
//
// Sessions that cannot be opened are left as they are, and the error tells of
// each, after the others are done. Any other error ends Reseal.
func (s *Sealed) Reseal(ctx context.Context) (int, error) {
	if err := s.keys.renew(ctx); err != nil {
		return 0, fmt.Errorf("tokenstore: reseal sessions: %w", err)
	}
	return s.sealAll(ctx, func(name string, stored *Record) (*Record, error) {
		rec, current, err := s.openBy(ctx, name, stored)
		if current {
			return nil, nil
		}
		return rec, err
	})
}

// SealPlain seals the records that lie in the store in the clear, each under its
// lock, and returns how many those were, counted and found as by Reseal. Call it once, when a program that has
// used the store directly begins to use it through Sealed: the sessions are then
// believed as they are, whichever program wrote them. A session in the clear that was saved
// over a sealed one takes its place.
//
// Copies that were made before stay readable: backups, and what a disk keeps of
// files that were replaced. Errors are those of Reseal.
func (s *Sealed) SealPlain(ctx context.Context) (int, error) {
	return s.sealAll(ctx, func(_ string, stored *Record) (*Record, error) {
		if isSealed(stored) {
			return nil, nil
		}
		rec := stored.Clone()
		delete(rec.Unknown, sealedField)
		return rec, nil
	})
}

// A chooser returns the record to be sealed anew of one that is stored, or nil if
// that one is to stay.
type chooser func(name string, stored *Record) (*Record, error)

// sealAll seals what choose returns. What cannot be read does not hold up the
// rest.
func (s *Sealed) sealAll(ctx context.Context, choose chooser) (sealed int, err error) {
	names, err := s.Records(ctx)
	if errors.Is(err, errors.ErrUnsupported) {
		names, err = s.Names(ctx)
	}
	if err != nil {
		return 0, err
	}
	var unreadable []error
	for _, name := range names {
		done, err := s.sealLocked(ctx, name, choose)
		switch {
		case errors.Is(err, ErrSealed), errors.Is(err, ErrNewerFormat), errors.Is(err, ErrDamaged):
			unreadable = append(unreadable, err)
		case err != nil:
			return sealed, errors.Join(append(unreadable, err)...)
		case done:
			sealed++
		}
	}
	return sealed, errors.Join(unreadable...)
}

// sealLocked seals a session under its lock, so that a holder that is about to
// save a new pair does not find another version.
func (s *Sealed) sealLocked(ctx context.Context, name string, choose chooser) (done bool, err error) {
	if rec, err := s.chosen(ctx, name, choose); rec == nil || err != nil {
		return false, err // most need nothing: spare them the lock
	}
	lease, err := s.Lock(ctx, name)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, lease.Unlock()) }()
	for range maxSaves {
		rec, err := s.chosen(ctx, name, choose)
		if rec == nil || err != nil {
			return false, err
		}
		if _, err = s.Set(ctx, name, rec); !errors.Is(err, ErrConflict) {
			return err == nil, err
		}
		// Another writer saves without the lock, perhaps with an old key.
	}
	return false, failed("seal", name, fmt.Errorf("%w, %d times in a row", ErrConflict, maxSaves))
}

// chosen returns what choose makes of the stored record; nil if there is none.
func (s *Sealed) chosen(ctx context.Context, name string, choose chooser) (*Record, error) {
	stored, err := s.store.Get(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	rec, err := choose(name, stored)
	return rec, failed("seal", name, err)
}
