package refresh

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

// unsaved says which of the two places the current pair is not saved in, and
// whether it is a new login, which replaces whatever the Store has.
type unsaved struct{ store, callback, login bool }

func (u unsaved) any() bool { return u.store || u.callback }

// replace makes rec, a new login, the session: saved where it is to be, then
// shown.
func (m *managed) replace(ctx context.Context, rec *tokenstore.Record, places unsaved) error {
	m.rec = rec
	m.reported = ""
	m.distrust.Store(nil)
	m.forgetResources()
	places.login = true
	m.unsaved = places
	err := m.save(ctx)
	if m.rec != rec {
		return err // overtaken by a newer login
	}
	m.publish(rec.Tokens)
	m.setHealth(func(h *health) { h.renew(rec.RefreshedAt) })
	return err
}

// storeSaved notes that the Store holds the current pair. It may do so although
// saving it was reported as failed.
func (m *managed) storeSaved() {
	if !m.unsaved.store {
		return
	}
	m.unsaved.store, m.unsaved.login = false, false
	m.releaseKept()
	if m.unsaved.any() {
		return
	}
	reported := m.state.Load().unsaved != nil
	m.setHealth(func(h *health) { h.unsaved, h.saves, h.saveAt = nil, 0, time.Time{} })
	if reported {
		m.emit(Event{Kind: EventSaved})
	}
}

// save writes what is unsaved. On failure the session goes on with the pair in
// memory, and saving is tried again until it works.
func (m *managed) save(ctx context.Context) error {
	before := m.state.Load().unsaved
	err := m.saveStore(ctx)
	if err == nil {
		m.releaseKept()
	}
	if err == nil && m.rec != nil && m.unsaved.callback {
		if err = m.callTokenStore(ctx, m.rec.Tokens); err == nil {
			m.unsaved.callback = false
		}
	}
	if err != nil {
		err = fmt.Errorf("saving session %q: %w", m.session, err)
		m.setHealth(func(h *health) {
			h.unsaved, h.saves = err, h.saves+1
			h.saveAt = m.now().Add(schedule.Backoff(h.saves, m.cfg.CheckInterval, rand.Float64()))
		})
		m.emit(Event{Kind: EventSaveFailed, Err: err, NextAttempt: m.state.Load().saveAt.Round(0)})
		return err
	}
	if before != nil {
		m.setHealth(func(h *health) { h.unsaved, h.saves, h.saveAt = nil, 0, time.Time{} })
		m.emit(Event{Kind: EventSaved})
	}
	return nil
}

// saveStore writes the record to the Store. If somebody else has written in the
// meantime, the newest of one session's pairs stays, and a new login or a logout
// stays in any case.
func (m *managed) saveStore(ctx context.Context) error {
	for range 4 {
		if !m.unsaved.store {
			return nil
		}
		err := m.set(ctx, m.rec)
		if err == nil {
			m.unsaved.store, m.unsaved.login = false, false
			return nil
		}
		if !errors.Is(err, tokenstore.ErrConflict) {
			return err
		}
		if err := m.reconcile(ctx); err != nil {
			return err
		}
	}
	return tokenstore.ErrConflict
}

// reconcile follows a conflict: it takes what the Store holds, or goes on from
// its version.
func (m *managed) reconcile(ctx context.Context) error {
	stored, err := m.get(ctx)
	switch {
	case errors.Is(err, tokenstore.ErrNotFound):
		if m.rec.Version == 0 {
			return tokenstore.ErrConflict // it was there, and is gone again
		}
		m.loggedOut()
		return nil
	case err != nil:
		return err
	}
	if !m.unsaved.login && !m.account.SameAccount(stored.Tokens) {
		m.displace()
		return nil
	}
	if m.supersedes(stored) {
		m.rec.Version, m.rec.Unknown = stored.Version, stored.Unknown
		return nil
	}
	m.rec = nil // what we hold is overtaken; say so in events
	m.take(stored)
	m.emit(Event{Kind: EventAdopted})
	return nil
}

// supersedes reports whether our record is to replace stored: it is a later state
// of the same session. Of two successors of one refresh token the one that was
// asked for last lives (servers with a grace window keep the newest).
func (m *managed) supersedes(stored *tokenstore.Record) bool {
	if !differs(stored.Tokens, m.rec.Tokens) || m.outdated(stored) {
		return true
	}
	for _, ancestor := range m.rec.Ancestors {
		for _, other := range stored.Ancestors {
			if ancestor == other {
				return !stored.Tokens.IssuedAt.After(m.rec.Tokens.IssuedAt)
			}
		}
	}
	return false
}

// edit returns a copy of rec whose fields can be replaced. What they refer to is
// shared, and modified by nobody.
func edit(rec *tokenstore.Record) *tokenstore.Record {
	c := *rec
	return &c
}

// retrySave saves again what could not be saved, if it is time.
func (m *managed) retrySave(ctx context.Context) {
	if h := m.state.Load(); m.rec != nil && m.unsaved.any() && remaining(m.now(), h.saveAt) <= 0 {
		_ = m.save(ctx)
	}
}

// saveAtLast is for the end of a run: one more try, or tries until the grace that
// Close gave is over.
func (m *managed) saveAtLast(r *run) error {
	if m.rec == nil || !m.unsaved.any() {
		return nil
	}
	ctx := r.background()
	grace := r.patience()
	for {
		err := m.save(ctx)
		if err == nil || m.rec == nil {
			return nil
		}
		err = fmt.Errorf("refresh: %w: %w", ErrUnsaved, err)
		if grace == nil {
			return err
		}
		timer := m.cfg.Clock.Timer(time.Second)
		select {
		case <-grace.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
	}
}
