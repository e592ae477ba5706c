package refresh

import (
	"context"
	"errors"
	"time"

	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/tokenstore"
)

// A notice is what processes that share a Store tell each other about a server. It
// is kept there in a record of its own, without tokens (tokenstore.ServerRecord).
type notice struct {
	notBefore time.Time // until when it wants to be left alone; zero: it does not
	down      time.Time // it does not answer, and is to be tried again then; zero: it does

	config   string    // the configuration whose client it refuses; "": of none
	probe    time.Time // when that client is to be tried again
	accepted bool      // it does not refuse the client any more
}

// The codes of the marks that say that a server is down, and that it refuses a client.
const (
	noticeDown   = "unavailable"
	noticeClient = "client_refused"
)

func noticeOf(rec *tokenstore.Record) notice {
	n := notice{notBefore: rec.NotBefore}
	if rec.Refused != nil && rec.Refused.Code == noticeDown {
		n.down = rec.Refused.At
	}
	if rec.Dead != nil && rec.Dead.Code == noticeClient {
		n.config, n.probe = rec.Dead.Token, rec.Dead.At
	}
	return n
}

// heedEvery is how old what the Store says about a server may be.
const heedEvery = time.Second

// heedNotice reads what other processes have left about the server. Sessions that
// come while one of them reads wait for what it learns.
func (m *managed) heedNotice(ctx context.Context) {
	srv := m.cfg.server
	if m.cfg.locker == nil || srv.name == "" {
		return // nobody shares the Store, or the server has no name
	}
	if srv.heededLately(m.now()) {
		return
	}
	select {
	case srv.heeding <- struct{}{}:
		defer func() { <-srv.heeding }()
	case <-ctx.Done():
		return
	}
	now := m.now()
	if srv.heededLately(now) {
		return
	}
	rec, err := m.serverRecord(ctx)
	if err != nil {
		srv.heedNothing(now)
		return
	}
	n := noticeOf(rec)
	srv.heed(n, m.cfg.configID, now)
	if err := srv.clientRefusal(m.cfg.configID); err != nil && srv.firstToTellClient(m.cfg.configID) {
		m.setHealth(func(h *health) { h.doubted = true })
		m.emit(Event{Kind: EventMisconfigured, Err: err, NextAttempt: n.probe})
	}
}

// heededLately reports whether there is nothing to ask the Store. A session alone
// has its own record to tell it.
func (s *server) heededLately(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions <= 1 && len(s.gates) == 0 || !s.heeded.IsZero() && remaining(now, s.heeded.Add(heedEvery)) > 0
}

// adds reports whether n says more than what is known already.
func (n notice) adds(known notice, configID string) bool {
	return n.notBefore.After(known.notBefore) || n.down.After(known.down) ||
		n.config != "" && (n.config != known.config || n.probe.After(known.probe)) ||
		n.accepted && known.config == configID
}

// serverRecord returns the server's record, an empty one if there is none.
func (m *managed) serverRecord(ctx context.Context) (rec *tokenstore.Record, err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err = failure.Guard("Store.Get", func() (err error) {
		rec, err = m.cfg.records.Get(ctx, tokenstore.ServerRecord(m.cfg.server.name))
		return err
	})
	if errors.Is(err, tokenstore.ErrNotFound) {
		return new(tokenstore.Record), nil
	}
	return rec, err
}

// postNotice tells other processes what became known. It is advice: what cannot be
// written is found out by each for itself.
func (m *managed) postNotice(ctx context.Context, n notice) {
	if m.cfg.locker == nil || m.cfg.server.name == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	for range 3 {
		rec, err := m.serverRecord(ctx)
		if err != nil && !errors.Is(err, tokenstore.ErrDamaged) {
			return
		}
		if rec == nil {
			rec = new(tokenstore.Record)
		}
		known := noticeOf(rec)
		if !n.adds(known, m.cfg.configID) {
			return
		}
		rec.NotBefore = later(known.notBefore, n.notBefore.Round(0).UTC())
		if n.down.After(known.down) {
			rec.Refused = &tokenstore.Mark{Token: m.cfg.server.name, At: n.down.UTC(), Code: noticeDown}
		}
		switch {
		case n.accepted && known.config == m.cfg.configID:
			rec.Dead = nil
		case n.config != "":
			rec.Dead = &tokenstore.Mark{Token: n.config, At: n.probe.UTC(), Code: noticeClient}
		}
		err = failure.Guard("Store.Set", func() error {
			_, err := m.cfg.records.Set(ctx, tokenstore.ServerRecord(m.cfg.server.name), rec)
			return err
		})
		if !errors.Is(err, tokenstore.ErrConflict) {
			return
		}
	}
}
