package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/evertoken/evertoken/internal/chance"
	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/gate"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
	"github.com/evertoken/evertoken/tokenstore"
)

// Everything in this file is called by the turn's holder, in a flight.

// spend announces, sends and follows through one use of the refresh token. It
// returns tokenstore.ErrConflict when the record changed under it and everything
// has to be judged anew.
func (s *Session) spend(ctx context.Context, r Run, c claim, w Want) error {
	pair, lost := s.rec.Tokens, c.lost
	if v := s.unchecked; v.err != nil && v.token == tokenstore.Fingerprint(pair.RefreshToken) {
		return s.condemn(ctx, pair, v.err)
	}
	if !c.announced {
		if s.lostForGood() {
			return s.stillUnanswered(w)
		}
		lost = s.mayBeSpent() // by a process that has died, or by this one
		if err := s.announce(ctx, pair, w); err != nil {
			return err
		}
	}
	s.host.Emit(Event{Kind: EventRefreshing})

	begun, last := s.now(), false
	h := s.state.Load()
	troubled := lost && h.Failures > 0 && failure.Arrived(h.Err)
	s.asked = tokenstore.Fingerprint(pair.RefreshToken)
	for replay := 0; ; replay++ {
		if err := c.Err(); err != nil {
			return s.failed(ctx, failure.Transient(err))
		}
		s.begun, s.seen = s.now(), s.cfg.Gate.Renewed()
		next, err := s.attempt(ctx, r, c, pair, w, begun)
		wait, soon := schedule.ReplayWait(replay, s.now().Since(begun), s.cfg.Grace)
		switch {
		case err == nil:
			return s.succeed(ctx, pair, next, w)
		case next != nil:
			return s.keepRefused(ctx, pair, next, w, err)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, tokenstore.ErrConflict):
			return err
		case !failure.Unknown(err) || last || !soon || s.cfg.asksAnew(pair): // no spent token to save
			return s.judge(ctx, pair, err, lost)
		case troubled && failure.Verdict(err) == oauth.VerdictUnclear: // answered, if not clearly, and not for the first time
			return s.judge(ctx, pair, err, lost)
		}
		lost = true
		if !s.pauseBeforeReplay(ctx, r, err, begun, wait, w, replay == 0 && failure.ServerError(h.Err)) {
			return s.judge(ctx, pair, err, lost)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		last = r.Over()
		// The pause was long enough for a process without the lock to have renewed.
		if err := s.look(ctx); err == nil && (s.rec == nil || differs(s.rec.Tokens, pair)) {
			return tokenstore.ErrConflict
		}
	}
}

// announce writes the pending mark that tells other processes, should this one
// die, that the outcome of a spend is unknown. If it cannot be written, the spend
// waits as long as the access token lives and is taken; after that a session that
// works without a trace is better than one that does not work. In a process that
// is about to end it waits in any case. An old copy that was put back is written over
// first.
func (s *Session) announce(ctx context.Context, pair *oauth.TokenPair, w Want) error {
	if (s.cfg.ShortLived || s.held != 0) && s.unsaved.any() {
		if err := s.save(ctx); err != nil && s.cfg.ShortLived {
			return s.unspent(ctx, err)
		}
		if !s.holds(pair) {
			return tokenstore.ErrConflict
		}
	}
	if s.unsaved.store {
		return nil // the Store could not be written a moment ago
	}
	rec := s.announcement()
	err := s.set(ctx, rec)
	switch {
	case err == nil:
		s.rec, s.doubt.version = rec, rec.Version
		return nil
	case errors.Is(err, tokenstore.ErrConflict):
		return tokenstore.ErrConflict
	case s.cfg.ShortLived:
		return s.unspent(ctx, err)
	case s.cur.Load().Alive(s.now()) && !w.Rejected && !s.alone(err):
		return s.failed(ctx, failure.Transient(fmt.Errorf("the refresh cannot be announced in the Store: %w", err)))
	}
	s.cfg.Logger.Warn("refreshing without announcing it in the Store", "session", s.name, "error", err)
	return nil
}

// announcement returns the record with the mark that announces a spend.
func (s *Session) announcement() *tokenstore.Record {
	s.tellCopied()
	rec := edit(s.rec)
	s.here(rec)
	rec.Pending = &tokenstore.Mark{Token: tokenstore.Fingerprint(s.rec.Tokens.RefreshToken), At: s.now().Wall().UTC()}
	s.doubt.own = rec.Pending.At // also if it is written and reported as failed
	return rec
}

// pauseBeforeReplay waits a moment, or as long as the server asked for. It
// reports false when the token should not be sent again in this flight. A
// manager that is stopping sends it once more right away: the window in which
// that helps will not wait for the next start.
//
// For callers who wait for the token the moment is short. While the server does not
// answer any session, it is asked by few of them, and by all when it is back.
// A server in trouble is not asked until others find it back, unless it has answered the
// session's attempt before, so that this is the first answer that is lost: then it is asked
// at the end of the time in which that helps.
func (s *Session) pauseBeforeReplay(ctx context.Context, r Run, err error, begun moment.Instant, delay time.Duration, w Want, firstLost bool) bool {
	now := s.now()
	asked := now.At(failure.RetryAt(err, now.Wall()))
	until, limit := now.Add(delay).And(asked), begun.Add(schedule.ReplayLimit(s.cfg.Grace)).And(now.Add(delay))
	if until.Since(now) > schedule.ReplayWindow {
		return false
	}
	s.setHealth(func(h *Health) { h.State, h.Err, h.Next = StateRetrying, err, until })
	s.host.Emit(Event{Kind: EventRefreshFailed, Err: err, Next: until})
	back := s.cfg.Gate.Back() // closed at any moment from now on
	for soon := now.Add(schedule.ProbeWait(chance.Float64(s.cfg.Clock))).And(asked); ; {
		if s.waitedFor() {
			until = until.Or(soon)
		}
		now = s.now()
		if last := s.lastAttempt(now).And(asked); !now.Reached(last) {
			until = until.Or(last)
		}
		if now.Reached(until) {
			s.hearNotice(ctx, false)
			q := s.request(w)
			q.Urgent = true // its time is short
			next, refused := s.cfg.Gate.Again(q)
			if refused == nil {
				next = s.cfg.Gate.Claim(ctx, s.cfg.Records, q)
			}
			switch {
			case next.IsZero(), firstLost && now.Reached(limit):
				return true
			case next.After(limit) && !firstLost:
				return false
			}
			until = next.Or(limit)
		}
		switch s.pauseOr(ctx, r, back, min(now.Until(until), schedule.ProbePause/2)) {
		case pauseOver:
		case pauseEnded:
			return true
		case pauseBack:
			if now = s.now(); now.Reached(asked) {
				return true
			}
			back = s.cfg.Gate.Back()
		}
	}
}

// waitedFor reports whether callers may wait for a new token: here, or in another process,
// for the session's lock.
func (s *Session) waitedFor() bool {
	return s.host.Waiting() || s.cfg.Locker != nil && !s.cur.Load().Alive(s.now())
}

// pause waits, and reports false if that ended with the run or with ctx.
func (s *Session) pause(ctx context.Context, r Run, wait time.Duration) (over bool) {
	return s.pauseOr(ctx, r, nil, wait) == pauseOver
}

// How a pause ends.
const (
	pauseOver  = iota // its time is over
	pauseEnded        // the run, or the flight, is
	pauseBack         // the server is back
)

// pauseOr is pause that the server's return ends, too.
func (s *Session) pauseOr(ctx context.Context, r Run, back <-chan struct{}, wait time.Duration) (how int) {
	timer, run := s.cfg.Clock.Timer(wait), r.Context()
	defer timer.Stop()
	r.Lend(func() {
		select {
		case <-timer.C: // pauseOver
		case <-back:
			how = pauseBack
		case <-run.Done():
			how = pauseEnded
		case <-ctx.Done():
			how = pauseEnded
		}
	})
	return how
}

// supersede makes pair, which a renewal has brought, that of the record, and saves it. refused is
// what is to be known of its refresh token, or nil.
func (s *Session) supersede(ctx context.Context, pair *oauth.TokenPair, refused *tokenstore.Mark) error {
	rec := edit(s.rec)
	rec.Supersede(pair)
	rec.Refused = refused
	rec.RefreshedAt, rec.RefreshedBy = s.now().Wall().UTC(), s.cfg.ConfigID
	return s.succeedWith(ctx, rec)
}

// succeedWith makes rec, with what took the place of the session's refresh token, the session's,
// and saves it.
func (s *Session) succeedWith(ctx context.Context, rec *tokenstore.Record) error {
	s.replaces(s.rec.Tokens, rec.Tokens)
	s.rec = rec
	s.unsaved = unsaved{store: true, callback: s.cfg.TokenStore != nil, login: s.unsaved.login}
	_ = s.save(ctx) // reported, and tried again
	if s.rec != rec {
		return tokenstore.ErrConflict // a logout or a new login has overtaken us
	}
	return nil
}

// succeed saves the new pair, then shows it.
func (s *Session) succeed(ctx context.Context, pair, next *oauth.TokenPair, w Want) error {
	rejected := next.IDTokenError
	next.IDTokenError = nil // told here; a later reader of the pair can do nothing about it
	session := next
	if w.Resource != "" { // of another resource's pair the session takes the refresh token
		session = pair.Clone()
		session.RefreshToken, session.RefreshExpiresAt = next.RefreshToken, next.RefreshExpiresAt
	}
	if err := s.supersede(ctx, session, nil); err != nil {
		return err
	}
	if w.Resource == "" {
		s.publish(session)
	} else {
		s.show(session)
		s.publishResource(w.Resource, next)
	}
	before := s.state.Load()
	if !s.displaced() {
		s.setHealth(func(h *Health) { h.renew(s.rec.RefreshedAt) })
	}
	s.host.Emit(Event{Kind: EventRefreshed})
	s.lifted(before)
	if rejected != nil {
		s.host.Emit(Event{Kind: EventIDTokenRejected, Err: rejected})
	}
	if w.Resource == "" && pair.Scope != next.Scope && lessScope(pair.Scopes(), next.Scopes()) {
		s.host.Emit(Event{Kind: EventScopeReduced})
	}
	switch cur, now := s.currentFor(w.Resource), s.now(); {
	case !cur.Alive(now):
		return s.issuedLate(ctx, before, errIssuedDead)
	case cur.IsDue(now):
		_ = s.issuedLate(ctx, before, errIssuedDue) // callers get the token all the same
	}
	return nil
}

// issuedLate records a success after which the next one is due at once, as of a Refresher
// that returns a pair from a cache of its own, as a failure: or we would ask again at once,
// for ever.
func (s *Session) issuedLate(ctx context.Context, before *Health, err error) error {
	s.setHealth(func(h *Health) { h.Failures = before.Failures })
	return s.failed(ctx, failure.Transient(err))
}

// replaces remembers that pair's refresh token is spent, for when its successor is saved. A
// server that does not rotate goes on with the same one, which was answered.
func (s *Session) replaces(pair, next *oauth.TokenPair) {
	s.unanswered = ""
	s.doubt.old = moment.Instant{} // ours is the newest
	if pair.RefreshToken != next.RefreshToken {
		s.doubt.spent = tokenstore.Fingerprint(pair.RefreshToken)
	}
}

// lessScope reports whether a scope of before is missing from after. Both are a server's, who
// may send a hundred thousand: each is looked at once.
func lessScope(before, after []string) bool {
	left := make(map[string]bool, len(after))
	for _, scope := range after {
		left[scope] = true
	}
	return slices.ContainsFunc(before, func(scope string) bool { return !left[scope] })
}

// keepRefused follows an answer of which a part is kept.
func (s *Session) keepRefused(ctx context.Context, pair, next *oauth.TokenPair, w Want, err error) error {
	if next.RefreshToken == pair.RefreshToken {
		return s.keepUnread(ctx, pair, next, w, err)
	}
	return s.keepSuccessor(ctx, next, err)
}

// keepUnread follows an answer whose access token is good, and whose refresh token stands
// where none is looked for. The access token is served while it lives. The refresh token
// that there is is spent, which the record says, so that no process sends it again.
func (s *Session) keepUnread(ctx context.Context, pair, next *oauth.TokenPair, w Want, err error) error {
	session := next
	if w.Resource != "" {
		session = pair.Clone()
	}
	if err := s.supersede(ctx, session, s.refusedAgain(pair, err, oauth.VerdictUnread)); err != nil {
		return err
	}
	if w.Resource == "" {
		s.publish(session)
	} else {
		s.publishResource(w.Resource, next)
	}
	s.host.Emit(Event{Kind: EventRefreshed})
	return s.misconfigured(err)
}

// keepSuccessor follows an answer that had to be refused, or broke off, although the server
// took the refresh token: next is the pair with its successor. That is saved, for
// it is all that can be spent, and the access token that there was goes on to be
// served while it lives. The refusal itself is for a person to put right; what broke off is
// asked for with the successor.
func (s *Session) keepSuccessor(ctx context.Context, next *oauth.TokenPair, err error) error {
	rec := s.rec.Clone()
	rec.Supersede(next)
	if err := s.succeedWith(ctx, rec); err != nil {
		return err
	}
	s.show(next)
	if failure.Verdict(err) == oauth.VerdictTrouble {
		return s.failed(ctx, err)
	}
	return s.misconfigured(err)
}

// A sending is one call of the Refresher, on a goroutine of its own. The turn's holder
// waits for it until the deadline; a Refresher that does not return then is left to
// itself, and what it brings in the end is taken if it is still the successor.
type sending struct {
	pair  *oauth.TokenPair
	want  Want
	begun moment.Instant

	ctx    context.Context // ends with the deadline, or when the answer is not wanted any more
	hangUp context.CancelFunc
	unhook func() bool      // keeps ctx from ending with the flight
	done   chan struct{}    // closed when the call is over
	next   *oauth.TokenPair // what it returned; written before done closes
	first  *oauth.TokenPair // what an earlier sending has brought, which counts until this one ends; guarded by the turn
	err    error
}

const (
	// obedience is how long after the end of its context a Refresher is waited for.
	obedience = time.Second
	// silence is how long a server may work on a request until it counts as one that
	// does not answer: then its other sessions are told, and the worker serves others.
	silence = 30 * time.Second
)

// send begins a sending. ctx ends when the session is replaced, or the run has ended and
// does not wait any more.
func (s *Session) send(ctx context.Context, pair *oauth.TokenPair, w Want) *sending {
	s.unanswered = tokenstore.Fingerprint(pair.RefreshToken) // until an answer says otherwise
	x := &sending{pair: pair, want: w, begun: s.now(), done: make(chan struct{})}
	x.ctx, x.hangUp = context.WithTimeout(context.WithoutCancel(ctx), s.cfg.RefreshTimeout)
	x.unhook = context.AfterFunc(ctx, x.hangUp)
	call, sent := x.ctx, pair.Clone()
	if w.Resource != "" {
		call = oauth.WithResource(call, w.Resource)
	}
	go func() {
		defer x.hangUp()    // or its timer would go on
		defer close(x.done) // also if the call ends its goroutine
		x.err = failure.Guard("OAuthClient.Refresh", func() (err error) {
			x.next, err = s.cfg.Refresh(call, sent)
			return failure.Told("OAuthClient.Refresh", err)
		})
	}()
	return x
}

// attempt sends the refresh token and waits for the answer for as long as the request
// lives, RefreshTimeout at most. While the server may still be working on it, the token is
// sent again only if a grace that is known is about to end, counted from begun. Then the
// first answer counts, but one to a later sending takes its place: of the successors that
// some servers give, only the newest lives. attempt returns tokenstore.ErrConflict if the
// session has got another pair meanwhile.
func (s *Session) attempt(ctx context.Context, r Run, lease tokenstore.Lease, pair *oauth.TokenPair, w Want, begun moment.Instant) (*oauth.TokenPair, error) {
	open := []*sending{s.send(ctx, pair, w)}
	defer func() {
		for _, x := range open {
			if x.first == nil {
				x.hangUp()
			}
			s.giveUp(x)
		}
	}()
	first, silent := open[0], false
	chances := schedule.LastChances(s.cfg.Grace)
	left := func() bool { return len(open) == 1 && open[0] == first && len(chances) > 0 }
	missed := func(after time.Duration) bool { return s.now().Reached(begun.Add(after)) }
	chances = slices.DeleteFunc(chances, missed)

	var failed error
	for look := s.now().Add(s.cfg.CheckInterval); len(open) > 0; {
		until := look
		if !silent {
			until = until.Or(first.begun.Add(silence))
		}
		if left() {
			until = until.Or(begun.Add(chances[0]))
		}
		ended, deaf := s.listen(r, open, until, silent)
		switch now := s.now(); {
		case ended != nil && ended.pair != pair: // from before this attempt
			s.answeredLate(ended)
			if !s.holds(pair) {
				return nil, tokenstore.ErrConflict
			}
		case ended != nil:
			if deaf {
				s.giveUp(ended)
			}
			open, chances = without(open, ended), slices.DeleteFunc(chances, missed)
			next, err := s.outcome(ended, deaf)
			if !silent || !failure.Outage(err) { // that was told, and may be over
				s.note(ctx, ended.begun, err)
			}
			if err == nil || next != nil {
				s.outlast(r, open, ended, next)
				return next, err
			}
			if failed == nil || failure.Unknown(failed) {
				failed = err
			}
			if failure.Verdict(err) == oauth.VerdictEnded {
				chances = nil // the grace is over, or the session: once more would count as reuse
			}
		case left() && now.Reached(begun.Add(chances[0])):
			chances = chances[1:]
			if err := s.look(ctx); err == nil && !s.holds(pair) {
				return nil, tokenstore.ErrConflict
			}
			if lease.Err() == nil && ctx.Err() == nil {
				open = append(open, s.send(ctx, pair, w))
			}
		case !silent && now.Reached(first.begun.Add(silence)):
			silent = true
			s.note(ctx, first.begun, errUnanswered)
			s.setHealth(func(h *Health) { h.State, h.Err = StateRetrying, errUnanswered })
		case now.Reached(open[0].begun.Add(s.cfg.RefreshTimeout + obedience)):
			open[0].hangUp() // the machine has slept, which its timer has not noticed
		case now.Reached(look): // what happens elsewhere may end the wait
			look = now.Add(s.cfg.CheckInterval)
			if err := s.look(ctx); err == nil && !s.holds(pair) {
				return nil, tokenstore.ErrConflict
			}
		}
	}
	return nil, failed
}

// outlast lets those of the open sendings that are later than the one that has brought next
// go on beyond the flight, but not the run, and for as long as that took: one that is held
// up for longer might arrive after the grace. No process spends the successor meanwhile: the
// server may have given another one by then.
func (s *Session) outlast(r Run, open []*sending, ended *sending, next *oauth.TokenPair) {
	took := s.now().Since(ended.begun)
	for _, x := range open {
		if !x.begun.After(ended.begun) || !x.unhook() {
			continue
		}
		x.first, s.later = next, x
		timer := s.cfg.Clock.AfterFunc(took-s.now().Since(x.begun), x.hangUp)
		unhook := context.AfterFunc(r.Context(), x.hangUp)
		context.AfterFunc(x.ctx, func() {
			timer.Stop()
			unhook()
		})
	}
}

func without(list []*sending, x *sending) (rest []*sending) {
	for _, other := range list {
		if other != x {
			rest = append(rest, other)
		}
	}
	return rest
}

// listen waits for one of at most two sendings, for an earlier one that was given up, or
// until a time, and then returns nil. deaf says that the sending goes on although its
// context has ended. With lend, others work meanwhile.
func (s *Session) listen(r Run, open []*sending, until moment.Instant, lend bool) (ended *sending, deaf bool) {
	timer := s.cfg.Clock.Timer(s.now().Until(until))
	defer timer.Stop()
	first, second := open[0], (<-chan struct{})(nil)
	if len(open) > 1 {
		second = open[1].done
	}
	wait := func() {
		select {
		case <-first.done:
			ended = first
		case <-second:
			ended = open[1]
		case ended = <-s.late:
		case <-first.ctx.Done():
			ended = first
			select {
			case <-first.done:
			case <-time.After(obedience):
				deaf = true
			}
		case <-timer.C:
		}
	}
	if lend {
		r.Lend(wait)
	} else {
		wait()
	}
	return ended, deaf
}

// outcome returns what a sending has brought. There is a pair beside an error only with
// oauth.ErrDowngraded, with a refresh token that is unread, and with an access token that
// cannot be used, or is missing.
func (s *Session) outcome(x *sending, deaf bool) (*oauth.TokenPair, error) {
	if deaf {
		return nil, &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Sent: true, Err: fmt.Errorf("%w: %w", errDeaf, x.ctx.Err())}
	}
	next, err := x.next, s.cfg.withoutLogin(x.pair, x.err)
	if errors.Is(err, oauth.ErrDowngraded) && next != nil && next.RefreshToken != "" {
		return next, err // an error of a Refresher that comes with a pair
	}
	if errors.Is(err, oauth.ErrUnreadAnswer) && next != nil && next.RefreshToken == x.pair.RefreshToken && member.UsableToken(next.AccessToken) {
		return s.settled(next.Keeping(x.pair), x), err // the other one
	}
	if _, told := errors.AsType[*oauth.Error](err); told && succeeds(next, x.pair) {
		return next, err
	}
	if err != nil {
		return nil, err
	}
	if next == nil || next.AccessToken == "" && (next.RefreshToken == "" || next.RefreshToken == x.pair.RefreshToken) {
		return nil, &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Sent: true, Err: errors.New("OAuthClient returned no token")}
	}
	next, err = answered(next, x.pair)
	if err != nil {
		return next, err
	}
	return s.settled(next, x), nil
}

// succeeds reports whether next, which a Refresher has returned beside an error, is old with the
// refresh token that takes the place of old's.
func succeeds(next, old *oauth.TokenPair) bool {
	return next != nil && next.AccessToken == old.AccessToken && next.RefreshToken != old.RefreshToken && carried(next.RefreshToken)
}

// settled is settle for what a sending has brought.
func (s *Session) settled(next *oauth.TokenPair, x *sending) *oauth.TokenPair {
	if next.IssuedAt.IsZero() {
		next.IssuedAt = x.begun.Wall()
	}
	return settle(next, x.begun.Wall())
}

// note tells the server's other sessions, and other processes, how a request went.
func (s *Session) note(ctx context.Context, begun moment.Instant, err error) {
	s.tellNotice(ctx, s.cfg.Gate.Note(gate.Attempt{
		Session: s.name, ConfigID: s.cfg.ConfigID, Err: err, Begun: begun, Now: s.now(), Interval: s.cfg.CheckInterval, Jitter: chance.Float64(s.cfg.Clock),
	}))
}

// giveUp ends the wait for a sending. A Refresher that heeds the context that ends with
// hangUp returns then; should one bring a pair after all, the session is looked at again
// with it.
func (s *Session) giveUp(x *sending) {
	outlasts := s.later == x
	select {
	case <-x.done:
		if x.next == nil && !outlasts {
			return
		}
	default:
	}
	if s.late == nil {
		s.late = make(chan *sending)
	}
	late := s.late
	s.host.Outlive(func() {
		if outlasts && !x.over() {
			_ = s.WithTurn(context.Background(), func() error { s.endLater(x); return nil })
			outlasts = false
		}
		<-x.done
		if x.next == nil && !outlasts {
			return
		}
		select {
		case late <- x: // to the turn's holder, who waits for the same answer
		case s.turn <- struct{}{}:
			defer func() { <-s.turn }()
			s.answeredLate(x)
		}
	})
}

// over waits for the end of the call, or of the time that a Refresher has to end it, and
// reports whether it has ended.
func (x *sending) over() bool {
	select {
	case <-x.done:
		return true
	case <-x.ctx.Done():
	}
	select {
	case <-x.done:
		return true
	case <-time.After(obedience):
		return false
	}
}

// endLater notes that a later sending is not waited for any more.
func (s *Session) endLater(x *sending) {
	if s.later == x {
		s.later = nil
		s.releaseSaved()
	}
}

// awaitLater waits for the answer to a later sending of the token before, if one is under
// way. It lasts no longer than the answer took that has come first.
func (s *Session) awaitLater(ctx context.Context, r Run) {
	x := s.later
	if x == nil {
		return
	}
	var ended *sending
	r.Lend(func() {
		select {
		case ended = <-s.late:
			return
		case <-x.ctx.Done():
		case <-ctx.Done():
			return
		case <-r.Context().Done():
			return
		}
		select {
		case ended = <-s.late:
		case <-time.After(obedience):
		}
	})
	if ended != nil {
		s.answeredLate(ended)
	}
	s.endLater(x)
}

// answeredLate takes the answer to a sending that was given up, if the session still has
// the pair that was sent: then it is the successor, and all that there is of the session.
// It is saved also after the run, as far as the Store can be reached. The lock may have
// passed to others, so the version that it replaces is the fence: what another process has
// saved meanwhile stays. Any other answer is dropped.
func (s *Session) answeredLate(x *sending) {
	defer s.endLater(x)
	next, err := s.outcome(x, false)
	pair := x.pair
	if x.first != nil {
		pair = x.first
	}
	switch ctx := context.Background(); {
	case next == nil:
	case x.first != nil && next.RefreshToken == x.first.RefreshToken: // the same answer again
	case !s.holds(pair):
		s.cfg.Logger.Warn("a late answer to a refresh is dropped, since the session has gone on without it", "session", s.name)
	case err != nil:
		_ = s.keepRefused(ctx, pair, next, x.want, err)
	default:
		_ = s.succeed(ctx, pair, next, x.want)
	}
}
