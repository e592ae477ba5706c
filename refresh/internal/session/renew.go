package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evertoken/evertoken/internal/chance"
	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/gate"
	"github.com/evertoken/evertoken/refresh/internal/snapshot"
	"github.com/evertoken/evertoken/tokenstore"
)

// A Want is what a caller needs of a renewal.
type Want struct {
	Stale    *snapshot.Snapshot // the pair that is not good enough
	Resource string             // resource indicator, empty for the session's own token
	Force    bool               // do not wait for a backoff of our own
	Insist   bool               // the program asks for it (ForceRefresh)
	Rejected bool               // an API does not take Stale any more
}

// urgent reports whether a caller waits for what is wanted.
func (w Want) urgent() bool { return w.Force || w.Rejected }

// Renew brings the session forward, once: by adopting what another process has saved,
// or by spending the refresh token. ctx ends when the session is replaced by a new login
// (ErrReplaced), or when the end of the run does not wait any more (ErrStopped). An error that matches ErrDeferred means that the renewal has not begun.
// The caller has the turn. A panic of ours is a failure like others.
func (s *Session) Renew(ctx context.Context, r Run, w Want) error {
	s.entered = s.now()
	err := failure.Guard("refresh", func() error { return s.renew(ctx, r, w) })
	var panicked *failure.PanicError
	if errors.As(err, &panicked) && panicked.Where == "refresh" {
		return s.failed(ctx, failure.Transient(err))
	}
	return err
}

func (s *Session) renew(ctx context.Context, r Run, w Want) error {
	s.awaitLater(ctx, r)
	if err := s.forbidden(ctx, w); err != nil {
		return err
	}
	// First without the lock: most news comes from a holder that has just let go
	// of it, and a token that may not be spent needs no lock. Where lock and announcement
	// are one step and all was well so far, that step tells.
	if s.state.Load().State != StateValid || !s.claims() {
		s.looked = s.now()
		_ = s.look(ctx)
	}
	if s.satisfied(w) {
		return nil
	}
	if s.empty() {
		w.Resource = "" // the session's own pair comes first
	}
	if err := s.barred(w); err != nil {
		return err
	}
	if err := s.giveTime(w); err != nil {
		return err
	}
	if err := s.admit(ctx, r, w); err != nil {
		return err
	}
	defer s.cfg.Gate.Release(s.cfg.ConfigID, s.name)
	seen := s.rec
	c, done, err := s.begin(ctx, r, w)
	if done || err != nil {
		return err
	}
	defer func() { s.endLease(c.Lease) }()

	// A conflict means that another writer changed the record without the lock. Each
	// round reads it again; three of them lost to others are a matter for later.
	for round := range 3 {
		if !c.announced {
			if err = s.look(ctx); err != nil && !s.alone(err) {
				return s.storeFailed(ctx, fmt.Errorf("reading the session: %w", err))
			}
			if s.satisfied(w) {
				return nil
			}
			if err = s.barred(w); err != nil {
				return err
			}
		}
		if round == 0 {
			if err = s.probe(ctx, seen, c, w); err != nil {
				s.takeBack(ctx, c)
				return err
			}
		}
		if r.Over() {
			s.takeBack(ctx, c)
			return ErrStopped // no refresh begins any more
		}
		if !c.announced {
			if err = s.unsettled(ctx, c.Lease, w); err != nil {
				return err
			}
		}
		if err = s.spend(ctx, r, c, w); !errors.Is(err, tokenstore.ErrConflict) {
			return err
		}
		c.announced = false
	}
	return s.failed(ctx, failure.Transient(err))
}

// forbidden returns why the server cannot be asked now that is in trouble, unless it is
// time to look whether another process has renewed the session all the same.
func (s *Session) forbidden(ctx context.Context, w Want) error {
	now := s.now()
	if !s.cfg.Gate.Troubled(now) || now.Since(s.looked) > lookInTrouble {
		return nil
	}
	s.hearNotice(ctx, false)
	q := s.request(w)
	if until, err := s.cfg.Gate.Forbids(q); err != nil {
		return s.refuse(q, until, err)
	}
	return nil
}

// lookInTrouble is how often a session whose callers wait for a server that is in trouble
// looks at the Store.
const lookInTrouble = 2 * time.Second

// refuse is the end of a renewal that has not begun, because the server cannot be asked.
func (s *Session) refuse(q gate.Request, until moment.Instant, err error) error {
	if q.Urgent {
		s.heldBack(until, err)
		return s.state.Load().Err
	}
	s.putOff(q, until)
	return ErrDeferred
}

// probe returns why the session's lock is given up again without a request, or nil: this
// process was cut off from the Store while it waited for the lock, or the server is in
// trouble, and another process has just asked it. before is the record as it was then.
func (s *Session) probe(ctx context.Context, before *tokenstore.Record, c claim, w Want) error {
	if err := s.giveTime(w); err != nil {
		return err
	}
	q := s.request(w)
	if !c.announced && before != nil && before.Version != s.rec.Version && !s.cfg.Gate.Troubled(q.Now) {
		s.hearNotice(ctx, true)
	}
	if until := s.cfg.Gate.Claim(ctx, s.cfg.Records, q); !until.IsZero() {
		return s.refuse(q, until, failure.Transient(errProbed))
	}
	return nil
}

// begin takes the session's lock, and announces the spend if that is one step. done tells
// that there is nothing to do any more: the session has what w asks for.
func (s *Session) begin(ctx context.Context, r Run, w Want) (c claim, done bool, err error) {
	if s.cfg.ShortLived && s.unsaved.store && s.kept == nil {
		if err := s.save(ctx); err != nil {
			return c, false, s.unspent(ctx, err)
		}
	}
	for range 8 { // each time, another process was faster
		if !s.claims() {
			break
		}
		c, err = s.claim(ctx, r)
		switch {
		case r.Over() && err != nil:
			return c, false, ErrStopped
		case err != nil && s.inTheWay():
			return c, false, ErrDeferred
		case err == nil:
			return c, false, nil
		case errors.Is(err, tokenstore.ErrConflict):
			if err := s.look(ctx); err != nil && !s.alone(err) {
				return c, false, s.storeFailed(ctx, fmt.Errorf("reading the session: %w", err))
			}
			if s.satisfied(w) {
				return c, true, nil
			}
			if err := s.barred(w); err != nil {
				return c, false, err
			}
			s.hearNotice(ctx, true) // perhaps it has tried in vain
			continue
		case errors.Is(err, errors.ErrUnsupported):
		case errors.Is(err, tokenstore.ErrLocked):
			return s.unlocked(ctx, w, err)
		case s.cfg.ShortLived:
			return c, false, s.unspent(ctx, err)
		}
		break // what fails in one step may work in several, or tells why not
	}
	lease, err := s.leaseNext(ctx, r)
	switch {
	case err == nil:
	case r.Over():
		return c, false, ErrStopped
	case s.inTheWay():
		return c, false, ErrDeferred
	default:
		return s.unlocked(ctx, w, err)
	}
	return claim{Lease: lease}, false, nil
}

// leaseNext is lease after what this process has done with the session before, which another
// Session may still be at. Where there are locks, these see to that.
func (s *Session) leaseNext(ctx context.Context, r Run) (lease tokenstore.Lease, err error) {
	if wait := r.Before(); wait != nil && s.cfg.Locker == nil {
		s.waitForLock(ctx, r, func(ctx context.Context) { err = wait(ctx) })
		if err != nil {
			return nil, err
		}
	}
	return s.lease(ctx, r)
}

// unlocked follows a lock that could not be had: its holder may have done the work, or have
// found out that the session has ended and be at a login, which takes a person's time.
func (s *Session) unlocked(ctx context.Context, w Want, err error) (c claim, done bool, _ error) {
	if s.look(ctx); s.satisfied(w) {
		return c, true, nil
	}
	if h := s.state.Load(); h.Ended() {
		return c, false, h.Err
	}
	return c, false, s.storeFailed(ctx, err)
}

// takeBack removes the announcement of a spend that does not take place.
func (s *Session) takeBack(ctx context.Context, c claim) {
	if c.announced {
		s.mark(ctx, func(rec *tokenstore.Record) {
			if !c.lost {
				rec.Pending = nil
			}
		})
	}
}

// satisfied reports whether the session has, by now, what w asks for.
func (s *Session) satisfied(w Want) bool {
	cur, now := s.currentFor(w.Resource), s.now()
	return !cur.Same(w.Stale) && cur.Alive(now) && !cur.IsDue(now)
}

// alone reports whether the manager is to go on although the Store failed.
func (s *Session) alone(err error) bool {
	return s.cfg.LocalWhenUnavailable && !s.cfg.ShortLived && s.rec != nil && errors.Is(err, tokenstore.ErrUnavailable)
}

// lost reports whether the answer to a spend is known to be lost: it can be had
// again only soon.
func (s *Session) lost() bool {
	return s.rec != nil && s.rec.Pending.On(s.rec.Tokens.RefreshToken) && !s.cfg.Follower
}

// barred returns why no refresh token may be spent now, or nil.
func (s *Session) barred(w Want) error {
	h, now := s.state.Load(), s.now()
	switch {
	case h.Ended():
		return h.Err
	case s.rec == nil:
		return failure.LoginRequired(ErrLoggedOut)
	case s.cfg.Paused:
		return ErrPaused
	case s.cfg.Follower:
		return s.failed(context.Background(), failure.Transient(errOwnerLate))
	case s.cfg.checkRenewable(s.rec.Tokens) != nil: // another program has put such a pair into the Store
		return s.misconfigured(s.cfg.checkRenewable(s.rec.Tokens))
	case !s.cfg.renews(s.rec.Tokens):
		s.declareDead(failure.LoginRequired(oauth.ErrRefreshTokenRequired))
		return s.state.Load().Err
	case s.askedToWait(now):
		s.obeyNotBefore()
		return s.state.Load().Err
	case s.unread() && !w.Insist:
		return s.stillUnread()
	case s.lostForGood(): // nothing is sent, whenever it is tried
	case !w.Force && !(now.Reached(s.nextFor(w, h)) && now.Reached(s.asksElsewhere())):
		return h.Err
	}
	return nil
}

// askedToWait reports whether the record says that the server wants to be left alone.
func (s *Session) askedToWait(now moment.Instant) bool {
	return !now.Reached(s.leftAlone.End(askedWait(s.rec), now))
}

// askedWait is what the server has asked for, by a record.
func askedWait(rec *tokenstore.Record) moment.Wait {
	return moment.Wait{Written: rec.AskedAt, Until: rec.NotBefore}
}

// noteAsked notes in rec when the server wants to be asked again, unless it is to be left
// alone for longer.
func (s *Session) noteAsked(rec *tokenstore.Record, at time.Time) {
	now := s.now()
	if before := s.leftAlone.End(askedWait(rec), now); now.Reached(before) || now.At(at).After(before) {
		rec.NotBefore, rec.AskedAt = at.UTC(), now.Wall().UTC()
	}
}

// obeyNotBefore makes the server's wish, which another process may have left in
// the record, this one's own.
func (s *Session) obeyNotBefore() {
	now := s.now()
	until := s.leftAlone.End(askedWait(s.rec), now)
	if now.Wall().Before(s.rec.AskedAt) {
		// The clock was set back since. A process that begins later cannot know how much
		// of the wait has passed meanwhile, unless it is told by the clock as it goes now.
		s.mark(context.Background(), func(rec *tokenstore.Record) {
			rec.NotBefore, rec.AskedAt = until.Wall().UTC(), now.Wall().UTC()
		})
	}
	s.setHealth(func(h *Health) {
		if h.Err == nil {
			h.State = StateRetrying
			h.Err = failure.AskedToWait(until.Wall())
		}
		h.Next, h.firm = h.Next.And(until), h.firm.And(until)
	})
}

// request returns what the gate has to know of an attempt.
func (s *Session) request(w Want) gate.Request {
	now := s.now()
	q := gate.Request{
		Session: s.name, ConfigID: s.cfg.ConfigID, Interval: s.cfg.CheckInterval,
		Now: now, Urgent: w.urgent(), Lost: s.lost(), Insist: w.Insist, Window: s.cfg.CheckInterval / 2,
		Jitter: chance.Float64(s.cfg.Clock), Shared: s.cfg.Locker != nil && s.cfg.Gate.Name() != "",
	}
	if cur := s.currentFor(w.Resource); cur.Alive(now) && !w.Rejected && cur.Ends() != moment.Never {
		q.Dies, q.Window = cur.Ends(), min(q.Window, cur.Ends().Since(now)/2)
	}
	q.Refused = s.rec != nil && refusedSince(s.rec, s.cfg.ConfigID) != nil
	return q
}

// admit waits until the session may refresh, or puts it off if no caller waits for it.
// Gate.Release is to be called when the refresh is over.
func (s *Session) admit(ctx context.Context, r Run, w Want) error {
	s.hearNotice(ctx, false)
	for waited := false; ; waited = true {
		q := s.request(w)
		q.Reserved = waited || s.reserved && q.Now.Reached(s.deferred)
		until, err := s.cfg.Gate.Admit(q)
		switch {
		case until.IsZero():
			s.reserved, s.deferred = false, moment.Instant{}
			return nil
		case err != nil:
			return s.refuse(q, until, err)
		case !q.Urgent && !q.Lost:
			s.reserved = true
			s.deferUntil(until)
			return ErrDeferred
		}
		if !s.pause(ctx, r, q.Now.Until(until)) {
			return ErrStopped
		}
	}
}

// putOff makes a renewal that no caller waits for wait until a time, but neither beyond a
// check interval, as the success of another session may end the wait, nor beyond the last
// attempt before the token dies.
func (s *Session) putOff(q gate.Request, until moment.Instant) {
	last := s.lastAttempt(q.Now)
	if q.Now.Reached(last) {
		if !q.Dies.IsZero() && q.Dies.Since(q.Now) < time.Second { // it was the last attempt
			s.deferUntil(until)
			return
		}
		last = moment.Instant{}
	}
	var spread time.Duration
	if !s.cfg.Gate.Alone() { // or all that were put off would come at once
		spread = time.Duration(float64(q.Window) * chance.Float64(s.cfg.Clock))
	}
	s.deferUntil(until.Or(q.Now.Add(q.Interval)).Add(spread).Or(last))
}

// deferUntil puts a due renewal off. After a failure it is the next attempt that waits.
func (s *Session) deferUntil(until moment.Instant) {
	s.deferred = until
	if s.state.Load().Failures > 0 {
		s.setHealth(func(h *Health) { h.Next = until })
	}
}

// hearNotice takes over what other processes have left about the server, with insist also
// if there was no reason to ask.
func (s *Session) hearNotice(ctx context.Context, insist bool) {
	if s.cfg.Locker == nil {
		return // no other process shares the Store
	}
	n, heard := s.cfg.Gate.Hear(ctx, s.cfg.Records, s.cfg.ConfigID, insist, s.now)
	if !heard {
		return
	}
	if err := s.cfg.Gate.ClientRefused(s.cfg.ConfigID); err != nil && s.cfg.Gate.TellClient(s.cfg.ConfigID) {
		s.setHealth(func(h *Health) { h.doubted = true })
		s.host.Emit(Event{Kind: EventMisconfigured, Err: err, Next: s.now().At(n.Probe())})
	}
}

// hearOfClient looks whether another process has found that the server accepts the
// client again.
func (s *Session) hearOfClient(ctx context.Context) {
	if s.cfg.Gate.ClientRefused(s.cfg.ConfigID) != nil {
		s.hearNotice(ctx, false)
	}
}

// tellNotice tells other processes what became known of the server.
func (s *Session) tellNotice(ctx context.Context, n gate.Notice) {
	if s.cfg.Locker != nil {
		s.cfg.Gate.Tell(ctx, s.cfg.Records, s.cfg.ConfigID, n)
	}
}

// lookElsewhere is how soon a session whose callers wait looks for what other processes
// have found out of the server.
const lookElsewhere = 400 * time.Millisecond

// heldBack notes that the server cannot be asked, for the callers that wait for it.
func (s *Session) heldBack(until moment.Instant, err error) {
	epoch := s.cfg.Gate.Epoch()
	s.setHealth(func(h *Health) {
		if h.Err == nil {
			h.State, h.Err = StateRetrying, err
		}
		h.failed, h.epoch, h.callers = s.now(), epoch, until
		if s.cfg.Locker != nil { // another process may find out that it is back
			h.callers = until.Or(h.failed.Add(lookElsewhere))
		}
		if failure.Verdict(err) == oauth.VerdictClient {
			h.State, h.Err = StateMisconfigured, err
		}
		h.Next = h.Next.And(until)
		if last := s.lastAttempt(h.failed); !h.failed.Reached(last) {
			h.Next = h.Next.Or(last)
		}
	})
}
