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
	asked moment.Wait // until when it wants to be left alone by all
	down  moment.Wait // when it did not answer last, and until when it is not to be tried again by itself
	back  bool        // neither any more

	config   string      // the configuration whose client it refuses; "": of none
	probe    moment.Wait // until when that client is not to be tried again
	accepted bool        // it does not refuse the client any more
}

// Probe returns when the client that the server refuses is to be tried again.
func (n Notice) Probe() time.Time { return n.probe.Until }

// The codes of the marks that say that a server is down, and that it refuses a client.
const (
	codeDown   = "unavailable"
	codeClient = "client_refused"
)

const (
	// readEvery is how old what the Store says about a server may be.
	readEvery = time.Second
	// readOften is the same for a server that is in trouble.
	readOften = 200 * time.Millisecond
	// sharedPause is the least time between two requests of several processes to a server
	// that is in trouble. It leaves room for those that did not know of each other yet.
	sharedPause = schedule.ProbePause * 6 / 5
)

func noticeOf(rec *tokenstore.Record) Notice {
	n := Notice{asked: moment.Wait{Written: rec.AskedAt, Until: rec.NotBefore}}
	if rec.Refused != nil && rec.Refused.Code == codeDown {
		n.down = waitOf(rec.Refused)
	}
	if rec.Dead != nil && rec.Dead.Code == codeClient {
		n.config, n.probe = rec.Dead.Token, waitOf(rec.Dead)
	}
	return n
}

// markOf keeps a wait in a mark: At is when it ends, and Last when it was written.
func markOf(w moment.Wait, token, code string) *tokenstore.Mark {
	return &tokenstore.Mark{Token: token, At: w.Until.UTC(), Last: w.Written.UTC(), Code: code}
}

func waitOf(m *tokenstore.Mark) moment.Wait { return moment.Wait{Written: m.Last, Until: m.At} }

// Hear reads what other processes have left about the server in the Store that they
// share, unless that was read a moment ago or, without insist, there is no reason to.
// Callers that come while one of them reads wait for what it learns. It reports whether
// there was something to read.
func (g *Gate) Hear(ctx context.Context, shared tokenstore.Store, configID string, insist bool, now func() moment.Instant) (n Notice, heard bool) {
	if g.name == "" || !insist && g.readLately(now()) {
		return n, false
	}
	select {
	case g.reading <- struct{}{}:
		defer func() { <-g.reading }()
	case <-ctx.Done():
		return n, false
	}
	at := now()
	if !insist && g.readLately(at) {
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
	every, trouble := readEvery, g.troubledLocked(now)
	if trouble {
		every = readOften
	}
	return g.sessions <= 1 && len(g.clients) == 0 && !trouble || !g.reads.IsZero() && !now.Reached(g.reads.Add(every))
}

// heed makes what another process knows this one's too.
func (g *Gate) heed(n Notice, configID string, now moment.Instant) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.reads.IsZero() { // a process that has just begun asks for itself
		g.hearOfClientLocked(n, configID, now)
	}
	g.reads = now
	g.heedTroubleLocked(n, now)
}

// heedTroubleLocked follows what another process says of the server's troubles, as the
// Store was when a look at it began.
func (g *Gate) heedTroubleLocked(n Notice, now moment.Instant) {
	looked := g.looked
	g.looked = now
	if n.asked.Until.IsZero() && n.down.Until.IsZero() {
		if g.shared { // it has answered another process
			g.shared, g.breaker, g.wait, g.answered = false, breaker{}, wait{}, now
			g.backLocked()
		}
		return
	}
	if written, until := g.asked.See(n.asked, looked, now); !now.Reached(until) && g.newsLocked(written) {
		g.shared = true
		if until = g.wait.until.And(until); until != g.wait.until {
			g.wait.until, g.wait.asked = until, now
		}
	}
	if n.down.Until.IsZero() {
		return
	}
	written, until := g.down.See(n.down, looked, now)
	if !g.newsLocked(written) {
		return
	}
	if n.down.Written.Equal(g.mine) {
		g.shared = true
		return
	}
	if !now.Reached(until) {
		g.shared = true
		g.breaker.openUntil(until, now)
	}
	if g.breaker.probed.IsZero() || written.After(g.breaker.probed) {
		g.breaker.probed = written
	}
	g.breaker.pause = max(g.breaker.pause, sharedPause)
}

// newsLocked reports whether what was written at a time was so since a session was
// renewed here: otherwise it is over.
func (g *Gate) newsLocked(written moment.Instant) bool {
	return g.well.IsZero() || written.After(g.well)
}

// Claim is for a request that Admit has let begin. If the server is in trouble, it makes
// it one that all processes which share a Store have in common: zero if it is, else when
// to ask Admit again. A Store that does not work does not keep it.
func (g *Gate) Claim(ctx context.Context, shared tokenstore.Store, q Request) (until moment.Instant) {
	if !q.Shared || !g.Troubled(q.Now) {
		return until
	}
	return g.claimShared(ctx, shared, q)
}

func (g *Gate) claimShared(ctx context.Context, shared tokenstore.Store, q Request) (until moment.Instant) {
	rec, _ := g.record(ctx, shared) // none if it does not work
	until, mark := g.claim(rec, q)
	if mark == nil || rec == nil {
		return until
	}
	rec.Refused = mark
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), schedule.StoreTimeout)
	defer cancel()
	err := failure.Guard("Store.Set", func() error {
		_, err := shared.Set(ctx, tokenstore.ServerRecord(g.name), rec)
		return err
	})
	switch {
	case errors.Is(err, tokenstore.ErrConflict): // another process asks, or has heard
		return q.Now.Add(lastLook)
	case err == nil:
		g.toldOfTrouble()
	}
	return until
}

// toldOfTrouble notes that the Store says that the server is in trouble.
func (g *Gate) toldOfTrouble() {
	g.mu.Lock()
	g.shared = true
	g.mu.Unlock()
}

// Troubled reports whether the server is in trouble, as far as is known.
func (g *Gate) Troubled(now moment.Instant) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.troubledLocked(now)
}

// claim returns the mark that announces a request, given what the Store says if it says
// anything, or nil and when to ask again.
func (g *Gate) claim(rec *tokenstore.Record, q Request) (until moment.Instant, mark *tokenstore.Mark) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if rec != nil {
		g.heedTroubleLocked(noticeOf(rec), q.Now)
	}
	q.admitted = true
	if until, err := g.admitLocked(q); err != nil { // another request was faster
		return until, nil
	}
	q.Shared = false
	g.beginLocked(q)
	if !g.troubledLocked(q.Now) { // another process has found out that it is back
		return until, nil
	}
	return until, markOf(g.downLocked(q.Now), g.name, codeDown)
}

// record returns the server's record, an empty one if there is none, or an error alone.
func (g *Gate) record(ctx context.Context, shared tokenstore.Store) (rec *tokenstore.Record, err error) {
	ctx, cancel := context.WithTimeout(ctx, schedule.StoreTimeout)
	defer cancel()
	err = failure.Guard("Store.Get", func() (err error) {
		rec, err = shared.Get(ctx, tokenstore.ServerRecord(g.name))
		return err
	})
	switch {
	case errors.Is(err, tokenstore.ErrNotFound):
		return new(tokenstore.Record), nil
	case err != nil:
		return nil, err
	}
	return rec, nil
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
		if err == nil && (n.asked != moment.Wait{} || n.down != moment.Wait{}) {
			g.toldOfTrouble()
		}
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
	if n.back {
		rec.NotBefore, rec.AskedAt = time.Time{}, time.Time{}
		if !known.down.Until.IsZero() {
			rec.Refused = nil
		}
	}
	if n.asked.Exceeds(known.asked) {
		rec.NotBefore, rec.AskedAt = n.asked.Until.UTC(), n.asked.Written.UTC()
	}
	if n.down.Exceeds(known.down) {
		rec.Refused = markOf(n.down, name, codeDown)
	}
	switch {
	case n.accepted && known.config == configID:
		rec.Dead = nil
	case n.config != "":
		rec.Dead = markOf(n.probe, n.config, codeClient)
	}
	return true
}

// adds reports whether n says more than what is known already.
func (n Notice) adds(known Notice, configID string) bool {
	return n.asked.Exceeds(known.asked) || n.down.Exceeds(known.down) ||
		n.back && !(known.asked.Until.IsZero() && known.down.Until.IsZero()) ||
		n.config != "" && (n.config != known.config || n.probe.Exceeds(known.probe)) ||
		n.accepted && known.config == configID
}
