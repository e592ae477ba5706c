package session

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

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
// (ErrReplaced). An error that matches ErrDeferred means that the renewal has not begun.
// The caller has the turn. A panic of ours is a failure like others.
func (s *Session) Renew(ctx context.Context, r Run, w Want) error {
	err := failure.Guard("refresh", func() error { return s.renew(ctx, r, w) })
	var panicked *failure.PanicError
	if errors.As(err, &panicked) && panicked.Where == "refresh" {
		return s.failed(ctx, failure.Transient(err))
	}
	return err
}

func (s *Session) renew(ctx context.Context, r Run, w Want) error {
	// First without the lock: most news comes from a holder that has just let go
	// of it, and a token that may not be spent needs no lock.
	_ = s.look(ctx)
	if s.satisfied(w) {
		return nil
	}
	if s.empty() {
		w.Resource = "" // the session's own pair comes first
	}
	if err := s.barred(w); err != nil {
		return err
	}
	if err := s.admit(ctx, r, w); err != nil {
		return err
	}
	defer s.cfg.Gate.Release(s.cfg.ConfigID)
	lease, err := s.lease(ctx, r)
	if r.Over() && err != nil {
		return ErrStopped
	}
	if err != nil {
		if s.look(ctx); s.satisfied(w) {
			return nil
		}
		return s.storeFailed(ctx, err)
	}
	defer func() { s.endLease(lease) }()

	// A conflict means that another writer changed the record without the lock. Each
	// round reads it again; three of them lost to others are a matter for later.
	for range 3 {
		if err = s.look(ctx); err != nil && !s.alone(err) {
			return s.storeFailed(ctx, fmt.Errorf("reading the session: %w", err))
		}
		if s.satisfied(w) {
			return nil
		}
		if err = s.barred(w); err != nil {
			return err
		}
		if r.Over() {
			return ErrStopped // no refresh begins any more
		}
		if err = s.spend(ctx, r, lease, w); !errors.Is(err, tokenstore.ErrConflict) {
			return err
		}
	}
	return s.failed(ctx, failure.Transient(err))
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
	case !w.Force && !(now.Reached(s.nextOwn(h)) && now.Reached(s.asksElsewhere())):
		return h.Err
	}
	return nil
}

// askedToWait reports whether the record says that the server wants to be left alone.
func (s *Session) askedToWait(now moment.Instant) bool {
	wait := s.rec.NotBefore.Sub(now.Wall())
	return wait > 0 && wait <= gate.MaxAsked
}

// obeyNotBefore makes the server's wish, which another process may have left in
// the record, this one's own.
func (s *Session) obeyNotBefore() {
	until := s.now().At(s.rec.NotBefore)
	s.setHealth(func(h *Health) {
		if h.Err == nil {
			h.State = StateRetrying
			h.Err = failure.AskedToWait(s.rec.NotBefore)
		}
		h.Next, h.firm = h.Next.And(until), true
	})
}

// admit waits until the session may refresh, or puts it off if no caller waits for it.
// Gate.Release is to be called when the refresh is over.
func (s *Session) admit(ctx context.Context, r Run, w Want) error {
	s.hearNotice(ctx)
	for waited := false; ; waited = true {
		now := s.now()
		q := gate.Request{
			Session: s.name, ConfigID: s.cfg.ConfigID, Interval: s.cfg.CheckInterval,
			Now: now, Urgent: w.urgent() || s.lost(), Insist: w.Insist, Window: s.cfg.CheckInterval / 2,
		}
		q.Reserved = waited || s.reserved && now.Reached(s.deferred)
		if cur := s.cur.Load(); cur.Alive(now) && cur.Ends() != moment.Never {
			q.Window = min(q.Window, cur.Ends().Since(now)/2)
		}
		until, err := s.cfg.Gate.Admit(q)
		switch {
		case until.IsZero():
			s.reserved, s.deferred = false, moment.Instant{}
			return nil
		case !q.Urgent && err != nil:
			// Not beyond a check interval: the success of another session may end the wait.
			until = until.Or(now.Add(s.cfg.CheckInterval))
			s.deferred = until.Add(time.Duration(float64(q.Window) * rand.Float64()))
			return ErrDeferred
		case !q.Urgent:
			s.reserved, s.deferred = true, until
			return ErrDeferred
		case err != nil:
			s.heldBack(until, err)
			return s.state.Load().Err
		}
		if !s.pause(ctx, r, now.Until(until)) {
			return ErrStopped
		}
	}
}

// hearNotice takes over what other processes have left about the server.
func (s *Session) hearNotice(ctx context.Context) {
	if s.cfg.Locker == nil {
		return // no other process shares the Store
	}
	n, heard := s.cfg.Gate.Hear(ctx, s.cfg.Records, s.cfg.ConfigID, s.now)
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
		s.hearNotice(ctx)
	}
}

// tellNotice tells other processes what became known of the server.
func (s *Session) tellNotice(ctx context.Context, n gate.Notice) {
	if s.cfg.Locker != nil {
		s.cfg.Gate.Tell(ctx, s.cfg.Records, s.cfg.ConfigID, n)
	}
}

// heldBack notes that the server cannot be asked, for the callers that wait for it.
func (s *Session) heldBack(until moment.Instant, err error) {
	epoch := s.cfg.Gate.Epoch()
	s.setHealth(func(h *Health) {
		if h.Err == nil {
			h.State, h.Err = StateRetrying, err
		}
		h.failed, h.epoch = s.now(), epoch
		h.callers = h.failed.Add(noticeWithin) // or they would ask again at once
		if failure.Verdict(err) == oauth.VerdictClient {
			h.State, h.Err, h.callers = StateMisconfigured, err, until
		}
		h.Next = h.Next.And(until)
		h.firm = h.firm || !failure.RetryAt(err).IsZero()
	})
}
