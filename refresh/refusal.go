package refresh

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
	"github.com/evertoken/evertoken/tokenstore"
)

// This file is about refusals that do not say whether the session has ended. A dead
// refresh token is announced in many words, and so is a gateway's bad hour. Such a
// refusal ends nothing: the session is asked about at a falling rate for as long as it
// is kept, and the program is told when a login probably helps. All but the pure
// functions is called by the turn's holder.

const (
	// slowly is how many check intervals pass between attempts where somebody has to
	// do something first, and how many a refusal has to last before it is suspected to
	// be about the session: deployments and throttling are over by then.
	slowly = 10
	// severalTimes is how often it has to be heard before that.
	severalTimes = 3
	// lonely is the same as slowly for a session without others to compare with whose
	// client is refused, which most likely says nothing about the session.
	lonely = 60
	// maxRefusalWait is how rarely a session is asked about in the end: some two dozen
	// requests a day.
	maxRefusalWait = time.Hour
)

// notes reports whether the record says since when, and how often, a verdict was given.
func notes(v oauth.Verdict) bool {
	return v == oauth.VerdictUnclear || v == oauth.VerdictClient || v == oauth.VerdictUnread
}

// codeUnread is the code of the mark on a refresh token that was answered with tokens
// where none are expected.
const codeUnread = "unread_answer"

// refusedSince returns the mark that says since when a record's refresh token is being
// refused under a configuration, or nil. What an earlier version took for a verdict,
// and is none, is such a refusal.
func refusedSince(rec *tokenstore.Record, configID string) *tokenstore.Mark {
	token := rec.Tokens.RefreshToken
	if r := rec.Refused; r.On(token) && r.By == configID {
		return r
	}
	d := rec.Dead
	if !d.On(token) || d.Certain || oauth.EndsSession(d.Code) || rec.RefreshedBy != configID {
		return nil
	}
	return &tokenstore.Mark{Token: d.Token, At: d.At, Code: d.Code, Last: d.At, Count: severalTimes}
}

// refusedAgain returns the mark for another refusal of pair.
func (m *managed) refusedAgain(pair *oauth.TokenPair, err error, v oauth.Verdict) *tokenstore.Mark {
	now := m.now().Round(0).UTC()
	mark := &tokenstore.Mark{
		Token: tokenstore.Fingerprint(pair.RefreshToken), At: now, Last: now, Count: 1,
		Code: failure.Code(err), By: m.cfg.configID, Certain: v == oauth.VerdictEnded,
	}
	if v == oauth.VerdictUnread {
		mark.Code = codeUnread
	}
	old := refusedSince(m.rec, m.cfg.configID)
	if old != nil && (old.Certain || !mark.Certain) {
		mark.At, mark.Count = old.At, old.Count+1
	}
	if old != nil && old.Code == codeUnread {
		mark.Code = codeUnread // it is spent, whatever is said of it since
	}
	return mark
}

// unread reports whether the session's refresh token was answered with tokens that
// this configuration cannot find.
func (m *managed) unread() bool {
	if m.rec == nil {
		return false
	}
	mark := refusedSince(m.rec, m.cfg.configID)
	return mark != nil && mark.Code == codeUnread
}

// lasting is for how long the session has been failing, as far as the record or this
// manager knows.
func (m *managed) lasting() time.Duration {
	var lasted time.Duration
	if mark := refusedSince(m.rec, m.cfg.configID); mark != nil {
		lasted = mark.Last.Sub(mark.At).Abs()
	}
	if since := m.state.Load().since; !since.IsZero() {
		lasted = max(lasted, m.now().Sub(since))
	}
	return lasted
}

// suffer records a failure that is not over in a moment. Who waits for a token may
// have it tried four times as often as the falling rate is.
func (m *managed) suffer(state State, err error, lasted, limit time.Duration) {
	wait := schedule.FallingWait(lasted, m.cfg.CheckInterval, limit)
	wait -= time.Duration(float64(wait/10) * rand.Float64()) // sessions that fail together need not ask together
	epoch := m.cfg.server.currentEpoch()
	m.setHealth(func(h *health) {
		h.fail(m.now(), err)
		h.state, h.epoch = state, epoch
		h.next, h.callers, h.firm = h.failed.Add(wait), h.failed.Add(wait/4), false
		if asked := m.inWaiting(failure.RetryAt(err)); asked.After(h.next) {
			h.next, h.firm = asked, true
		}
	})
}

// refusal handles a refusal in words that do not decide.
func (m *managed) refusal(err error) error {
	err = undecided(err)
	alike := m.cfg.server.refuse(m.session)
	if m.lastingBeyond(slowly * m.cfg.CheckInterval) {
		if !alike {
			return m.suspect(err)
		}
		m.tellAlike(err)
	}
	state := StateRetrying
	if m.state.Load().state == StateSuspected {
		state = StateSuspected
	}
	return m.refusedOnce(err, state, maxRefusalWait)
}

// refusedOnce records a refusal that nothing follows from.
func (m *managed) refusedOnce(err error, state State, limit time.Duration) error {
	m.suffer(state, err, m.lasting(), limit)
	m.emit(Event{Kind: EventRefreshFailed, Err: err, NextAttempt: m.state.Load().next.Round(0)})
	return err
}

// lastingBeyond reports whether the session has been refused several times and for
// longer than given, and has no living token any more.
func (m *managed) lastingBeyond(limit time.Duration) bool {
	mark := refusedSince(m.rec, m.cfg.configID)
	return mark != nil && lasts(mark, limit) && !m.cur.Load().alive(m.now())
}

// lasts reports whether a refusal was heard several times and over longer than limit.
func lasts(mark *tokenstore.Mark, limit time.Duration) bool {
	return mark.Count >= severalTimes && mark.Last.Sub(mark.At).Abs() > limit
}

// suspect tells the program, once, that a login probably helps. The session goes on.
func (m *managed) suspect(err error) error {
	err = failure.WithKind(err, oauth.ErrLoginRequired, suspicionOf(err))
	m.suffer(StateSuspected, err, m.lasting(), maxRefusalWait)
	m.report(Event{Kind: EventSuspected, Err: err, NextAttempt: m.state.Load().next.Round(0)})
	return err
}

// suspicionOf returns the cause of a suspicion that err leads to, with what err itself
// knows.
func suspicionOf(err error) error {
	var fail *oauth.Error
	if !errors.As(err, &fail) || fail.Err == nil || fail.Err == errUndecided {
		return errSuspected
	}
	return fmt.Errorf("%w; its answer: %w", errSuspected, fail.Err)
}

// tellAlike reports, once, that all of a server's sessions are refused alike: that is
// nobody's session's matter.
func (m *managed) tellAlike(err error) {
	if m.cfg.server.firstToTellAlike() {
		m.setHealth(func(h *health) { h.doubted = true })
		m.emit(Event{Kind: EventMisconfigured, Err: failure.WithKind(err, oauth.ErrMisconfigured, errAllRefused), NextAttempt: m.state.Load().next.Round(0)})
	}
}

// refuseClient notes, for all sessions of the server, that it refuses the client, and
// reports whether it is the client that is refused, and not this session alone.
func (m *managed) refuseClient(ctx context.Context, err error) bool {
	life, known := m.rec.Tokens.Lifetime()
	if !known {
		life = maxRefusalWait
	}
	closed, n := m.cfg.server.refuseClient(m.cfg.configID, m.session, err, m.now(), m.cfg.CheckInterval, life)
	if n != (notice{}) {
		m.postNotice(context.WithoutCancel(ctx), n)
	}
	return closed
}

// clientRefused handles the refusal of the client: told once for all sessions. A
// session that stands alone has nothing to be compared with; there servers that say so
// of a dead token are told from others by how long it lasts, if the client was in order
// before.
func (m *managed) clientRefused(err error) error {
	if m.cfg.server.alone() && m.renewedBefore() && m.lastingBeyond(lonely*m.cfg.CheckInterval) && !errors.Is(err, oauth.ErrClientSecretExpired) {
		return m.suspect(err)
	}
	m.suffer(StateMisconfigured, err, m.lasting(), slowly*m.cfg.CheckInterval)
	if m.cfg.server.firstToTellClient(m.cfg.configID) {
		m.emit(Event{Kind: EventMisconfigured, Err: err, NextAttempt: m.state.Load().next.Round(0)})
	}
	return err
}

// hearOfClient looks whether another process has found that the server accepts the
// client again.
func (m *managed) hearOfClient(ctx context.Context) {
	if m.cfg.server.clientRefusal(m.cfg.configID) != nil {
		m.heedNotice(ctx)
	}
}

// stillUnread is why a refresh token is left alone that was answered with tokens where
// none are expected: it is spent, and sent again it would count as reuse.
func (m *managed) stillUnread() error {
	if h := m.state.Load(); h.hopeless() {
		return h.err
	}
	return m.misconfigured(&oauth.Error{Op: "refresh", Kind: oauth.ErrMisconfigured, Err: oauth.ErrUnreadAnswer, Sent: true,
		Hint: "say in the configuration where the tokens are (Config.TokenPath, Dialect), or log in again"})
}

// renewedBefore reports whether the session was ever renewed with this configuration.
func (m *managed) renewedBefore() bool {
	return !m.rec.RefreshedAt.IsZero() && m.rec.RefreshedBy == m.cfg.configID
}

// nextOwn returns when the manager tries again by itself: at once if the server has
// shown since the last attempt that it is not what it was.
func (m *managed) nextOwn(h *health) time.Time {
	if m.cleared(h) {
		return time.Time{}
	}
	return h.next
}

// nextForCaller returns when to try again for a caller without a living token: sooner
// than by itself, unless the server has asked to wait.
func (m *managed) nextForCaller(h *health) time.Time {
	if next := m.nextOwn(h); !h.firm {
		return earliest(next, h.callers)
	}
	return h.next
}

// cleared reports whether a success of another session has taken back what h says.
func (m *managed) cleared(h *health) bool {
	return h.err != nil && !h.firm && m.cfg.server.currentEpoch() != h.epoch
}

// lifted reports that a session which was in doubt is good again, whoever has renewed
// it, and that it is to be reported anew should it be refused again.
func (m *managed) lifted(before *health) {
	if before.inDoubt() {
		m.reported = ""
		m.emit(Event{Kind: EventRecovered})
	}
}

// asksElsewhere is when a refresh token that somebody else has just asked about may be
// asked about again: those who share a session share the falling rate. Each may ask
// once by itself, so that a restart does, and when a success has shown that the server
// is not what it was.
func (m *managed) asksElsewhere() time.Time {
	mark := refusedSince(m.rec, m.cfg.configID)
	if mark == nil || mark.Certain || m.asked != mark.Token || m.cleared(m.state.Load()) {
		return time.Time{}
	}
	return m.inWaiting(mark.Last.Add(schedule.FallingWait(mark.Last.Sub(mark.At), m.cfg.CheckInterval, maxRefusalWait) * 9 / 10))
}

var (
	// errDoubted is the cause until a word that ends the session is heard again.
	errDoubted = errors.New("the server says that the session has ended, which may pass; it is asked once more")
	// errUndecided is the cause of a refusal that says nothing clear.
	errUndecided = errors.New("the server, or something in front of it, refuses in words that do not say why; the session is kept and tried again")
	// errAllRefused is the cause when that is so of all sessions.
	errAllRefused = errors.New("all sessions of the server are refused alike: check the address, and what stands in front of the server")
)
