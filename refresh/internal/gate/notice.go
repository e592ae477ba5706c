package gate

import (
	"context"
	"errors"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
	"github.com/evertoken/evertoken/tokenstore"
)

// A Notice is what processes that share a Store tell each other about a server. It
// is kept there in a record of its own, without tokens (tokenstore.ServerRecord).
type Notice struct {
	notBefore time.Time // until when it wants to be left alone; zero: it does not
	down      time.Time // it does not answer, and is to be tried again then; zero: it does

	config   string    // the configuration whose client it refuses; "": of none
	probe    time.Time // when that client is to be tried again
	accepted bool      // it does not refuse the client any more
}

// Probe returns when the client that the server refuses is to be tried again.
func (n Notice) Probe() time.Time { return n.probe }

// The codes of the marks that say that a server is down, and that it refuses a client.
const (
	codeDown   = "unavailable"
	codeClient = "client_refused"
)

const (
	// MaxAsked is the longest wait that package oauth lets a server ask for. A longer one
	// in a record was written before the clock was set back.
	MaxAsked = time.Hour
	// readEvery is how old what the Store says about a server may be.
	readEvery = time.Second
)

func noticeOf(rec *tokenstore.Record) Notice {
	n := Notice{notBefore: rec.NotBefore}
	if rec.Refused != nil && rec.Refused.Code == codeDown {
		n.down = rec.Refused.At
	}
	if rec.Dead != nil && rec.Dead.Code == codeClient {
		n.config, n.probe = rec.Dead.Token, rec.Dead.At
	}
	return n
}

// Hear reads what other processes have left about the server in the Store that they
// share, unless that was read a moment ago. Callers that come while one of them reads wait
// for what it learns. It reports whether there was something to read.
func (g *Gate) Hear(ctx context.Context, shared tokenstore.Store, configID string, now func() moment.Instant) (n Notice, heard bool) {
	if g.name == "" || g.readLately(now()) {
		return n, false
	}
	select {
	case g.reading <- struct{}{}:
		defer func() { <-g.reading }()
	case <-ctx.Done():
		return n, false
	}
	at := now()
	if g.readLately(at) {
		return n, false
	}
	rec, err := g.record(ctx, shared)
	if err != nil { // which says nothing about the server
		g.mu.Lock()
		g.reads = at
		g.mu.Unlock()
		return n, false
	}
	n = noticeOf(rec)
	g.heed(n, configID, at)
	return n, true
}

// readLately reports whether there is nothing to ask the Store. A session alone has
// its own record to tell it.
func (g *Gate) readLately(now moment.Instant) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.sessions <= 1 && len(g.clients) == 0 || !g.reads.IsZero() && !now.Reached(g.reads.Add(readEvery))
}

// heed makes what another process knows this one's too.
func (g *Gate) heed(n Notice, configID string, now moment.Instant) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.reads.IsZero() { // a process that has just begun asks for itself
		g.hearOfClientLocked(n, configID, now)
	}
	g.reads = now
	if wait := n.notBefore.Sub(now.Wall()); wait > 0 && wait <= MaxAsked {
		g.notBefore = g.notBefore.And(now.Add(wait))
	}
	if wait := n.down.Sub(now.Wall()); wait > 0 && wait <= MaxAsked {
		g.breaker.openUntil(now.Add(wait), now)
	}
}

// record returns the server's record, an empty one if there is none.
func (g *Gate) record(ctx context.Context, shared tokenstore.Store) (rec *tokenstore.Record, err error) {
	ctx, cancel := context.WithTimeout(ctx, schedule.StoreTimeout)
	defer cancel()
	err = failure.Guard("Store.Get", func() (err error) {
		rec, err = shared.Get(ctx, tokenstore.ServerRecord(g.name))
		return err
	})
	if errors.Is(err, tokenstore.ErrNotFound) {
		return new(tokenstore.Record), nil
	}
	return rec, err
}

// Tell tells other processes what became known. It is advice: what cannot be written
// is found out by each for itself.
func (g *Gate) Tell(ctx context.Context, shared tokenstore.Store, configID string, n Notice) {
	if g.name == "" || n == (Notice{}) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), schedule.StoreTimeout)
	defer cancel()
	for range 3 {
		rec, err := g.record(ctx, shared)
		if err != nil && !errors.Is(err, tokenstore.ErrDamaged) {
			return
		}
		if rec == nil {
			rec = new(tokenstore.Record)
		}
		if !n.writeTo(rec, g.name, configID) {
			return
		}
		err = failure.Guard("Store.Set", func() error {
			_, err := shared.Set(ctx, tokenstore.ServerRecord(g.name), rec)
			return err
		})
		if !errors.Is(err, tokenstore.ErrConflict) {
			return
		}
	}
}

// writeTo adds n to a server's record, and reports false if that knows it already.
func (n Notice) writeTo(rec *tokenstore.Record, name, configID string) bool {
	known := noticeOf(rec)
	if !n.adds(known, configID) {
		return false
	}
	rec.NotBefore = moment.Later(known.notBefore, n.notBefore.Round(0).UTC())
	if n.down.After(known.down) {
		rec.Refused = &tokenstore.Mark{Token: name, At: n.down.UTC(), Code: codeDown}
	}
	switch {
	case n.accepted && known.config == configID:
		rec.Dead = nil
	case n.config != "":
		rec.Dead = &tokenstore.Mark{Token: n.config, At: n.probe.UTC(), Code: codeClient}
	}
	return true
}

// adds reports whether n says more than what is known already.
func (n Notice) adds(known Notice, configID string) bool {
	return n.notBefore.After(known.notBefore) || n.down.After(known.down) ||
		n.config != "" && (n.config != known.config || n.probe.After(known.probe)) ||
		n.accepted && known.config == configID
}
