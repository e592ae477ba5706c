package session

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/evertoken/evertoken/refresh/internal/schedule"
	"github.com/evertoken/evertoken/tokenstore"
)

// Everything in this file is called by the turn's holder.

// replace makes rec, a new login, the session: saved where it is to be, then
// shown.
func (s *Session) replace(ctx context.Context, rec *tokenstore.Record, places unsaved) error {
	s.rec = rec
	s.reported = ""
	s.distrust.Store(nil)
	s.forgetResources()
	places.login = true
	s.unsaved = places
	err := s.save(ctx)
	if s.rec != rec {
		return err // overtaken by a newer login
	}
	s.publish(rec.Tokens)
	s.setHealth(func(h *Health) { h.renew(rec.RefreshedAt) })
	return err
}

// storeSaved notes that the Store holds the current pair. It may do so although
// saving it was reported as failed.
func (s *Session) storeSaved() {
	if !s.unsaved.store {
		return
	}
	s.unsaved.store, s.unsaved.login = false, false
	s.releaseKept()
	if s.unsaved.any() {
		return
	}
	reported := s.state.Load().Unsaved != nil
	s.setHealth(func(h *Health) { h.saved() })
	if reported {
		s.host.Emit(Event{Kind: EventSaved})
	}
}

// save writes what is unsaved. On failure the session goes on with the pair in
// memory, and saving is tried again until it works.
func (s *Session) save(ctx context.Context) error {
	before := s.state.Load().Unsaved
	err := s.saveStore(ctx)
	if err == nil {
		s.releaseKept()
	}
	if err == nil && s.rec != nil && s.unsaved.callback {
		if err = s.callTokenStore(ctx, s.rec.Tokens); err == nil {
			s.unsaved.callback = false
		}
	}
	if err != nil {
		err = fmt.Errorf("saving session %q: %w", s.name, err)
		s.setHealth(func(h *Health) {
			h.Unsaved, h.saves = err, h.saves+1
			h.saveAt = s.now().Add(schedule.Backoff(h.saves, s.cfg.CheckInterval, rand.Float64()))
		})
		s.host.Emit(Event{Kind: EventSaveFailed, Err: err, Next: s.state.Load().saveAt})
		return err
	}
	if before != nil {
		s.setHealth(func(h *Health) { h.saved() })
		s.host.Emit(Event{Kind: EventSaved})
	}
	return nil
}

// saveStore writes the record to the Store. If another process has written in the
// meantime, the newest of one session's pairs stays, and a new login or a logout
// stays in any case.
func (s *Session) saveStore(ctx context.Context) error {
	for range 4 {
		if !s.unsaved.store {
			return nil
		}
		err := s.set(ctx, s.rec)
		if err == nil {
			s.unsaved.store, s.unsaved.login = false, false
			return nil
		}
		if !errors.Is(err, tokenstore.ErrConflict) {
			return err
		}
		if err := s.reconcile(ctx); err != nil {
			return err
		}
	}
	return tokenstore.ErrConflict
}

// reconcile follows a conflict: it takes what the Store holds, or goes on from
// its version.
func (s *Session) reconcile(ctx context.Context) error {
	stored, err := s.get(ctx)
	switch {
	case errors.Is(err, tokenstore.ErrNotFound):
		if s.rec.Version == 0 {
			return tokenstore.ErrConflict // it was there, and is gone again
		}
		s.loggedOut()
		return nil
	case err != nil:
		return err
	}
	if !s.unsaved.login && !s.account.SameAccount(stored.Tokens) {
		s.displace()
		return nil
	}
	if s.supersedes(stored) {
		s.rec.Version, s.rec.Unknown = stored.Version, stored.Unknown
		return nil
	}
	s.rec = nil // what we hold is overtaken; say so in events
	s.take(stored)
	s.host.Emit(Event{Kind: EventAdopted})
	return nil
}

// supersedes reports whether our record is to replace stored: it is a later state
// of the same session. Of two successors of one refresh token the one that was
// asked for last lives (servers with a grace window keep the newest).
func (s *Session) supersedes(stored *tokenstore.Record) bool {
	if !differs(stored.Tokens, s.rec.Tokens) || s.outdated(stored) {
		return true
	}
	for _, ancestor := range s.rec.Ancestors {
		for _, other := range stored.Ancestors {
			if ancestor == other {
				return !stored.Tokens.IssuedAt.After(s.rec.Tokens.IssuedAt)
			}
		}
	}
	return false
}

// edit returns a copy of rec whose fields can be replaced. What they refer to is
// shared, and never modified.
func edit(rec *tokenstore.Record) *tokenstore.Record {
	c := *rec
	return &c
}

// retrySave saves again what could not be saved, if it is time.
func (s *Session) retrySave(ctx context.Context) {
	if h := s.state.Load(); s.rec != nil && s.unsaved.any() && s.now().Reached(h.saveAt) {
		_ = s.save(ctx)
	}
}

// SaveAtLast is for the end of a run: one more try, or tries until grace ends if that is
// not nil. It gives up the session's lock. The caller has the turn.
func (s *Session) SaveAtLast(ctx, grace context.Context) error {
	defer s.releaseKept()
	if s.rec == nil || !s.unsaved.any() {
		return nil
	}
	for {
		err := s.save(ctx)
		if err == nil || s.rec == nil {
			return nil
		}
		err = fmt.Errorf("refresh: %w: %w", ErrUnsaved, err)
		if grace == nil {
			return err
		}
		timer := s.cfg.Clock.Timer(time.Second)
		select {
		case <-grace.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
	}
}
