package refresh

import (
	"errors"
	"fmt"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

// Judge says how a saved session fares at the given time, as a manager with this
// configuration would that starts with it: by the same rules, but for the jitter by
// which each process renews a little earlier. It asks nobody, starts nothing, and
// leaves rec alone, so it suits a command that looks at a session and ends. Nothing
// of cfg is required; its OAuthClient tells how long an unused refresh token lives.
// A nil rec, or one without tokens, is no session ([StateNone]).
//
// IsRunning, Failures, Unsaved and SaveError are about managers and stay zero. A
// session whose tokens have both expired by what the server said of them counts as
// ended (StateLoginRequired), although a manager would ask the server once more.
func Judge(cfg Config, rec *tokenstore.Record, now time.Time) *RefreshStatus {
	set := &setup{Config: cfg.withDefaults()}
	set.ask()
	if rec == nil || rec.Tokens == nil {
		return statusOf(set.Session, nil, &noSession, now)
	}
	pair := rec.Tokens.Clone()
	s := newSnapshot(pair, set.timing(pair), now)
	return statusOf(set.Session, s, set.healthOf(rec, s.alive(now), now), now)
}

// healthOf says how a saved session fares whose access token is alive or not.
func (s *setup) healthOf(rec *tokenstore.Record, alive bool, now time.Time) *health {
	h := &health{state: StateValid, renewed: rec.RefreshedAt}
	s.heed(h, rec, alive, now)
	if why := s.endedByItself(rec.Tokens, now); why != nil && !alive && !h.ended() {
		h.state, h.err = StateLoginRequired, why
	}
	return h
}

// heed takes over what the marks of a record say of attempts to renew it.
func (s *setup) heed(h *health, rec *tokenstore.Record, alive bool, now time.Time) {
	refused := s.refusedSince(rec, rec.Tokens)
	switch {
	case s.condemned(rec):
		h.state, h.err = StateLoginRequired, saidSo("the server has ended the session", rec.Dead)
	case refused != nil && !alive && refusedBeyond(refused, slowly*s.CheckInterval):
		h.state, h.err = StateSuspected, saidSo("the server keeps refusing the session, which has probably ended", refused)
	case refused != nil:
		h.state, h.err = StateRetrying, saidSo("the server refuses the refresh token", refused)
	case now.Before(rec.NotBefore) && rec.NotBefore.Sub(now) <= maxAsked:
		h.state, h.err, h.next = StateRetrying, errors.New("the server asked to wait"), rec.NotBefore
	case rec.Pending.On(rec.Tokens.RefreshToken):
		h.state, h.err = StateRetrying, errors.New("a renewal was begun, and its outcome is not known yet")
	}
}

// condemned reports whether the server has ended a saved session, for this
// configuration.
func (s *setup) condemned(rec *tokenstore.Record) bool {
	return rec.Condemned(s.configID) && !s.asksAnew(rec.Tokens)
}

// refusedBeyond reports whether a mark is of several refusals over longer than given.
func refusedBeyond(mark *tokenstore.Mark, limit time.Duration) bool {
	return mark.Count >= severalTimes && mark.Last.Sub(mark.At).Abs() > limit
}

// saidSo adds the server's code, if it gave one.
func saidSo(what string, mark *tokenstore.Mark) error {
	if mark.Code == "" {
		return errors.New(what)
	}
	return fmt.Errorf("%s (%s)", what, mark.Code)
}

// endedByItself returns why a pair cannot be renewed, by what the server has said of
// its refresh token, or nil.
func (s *setup) endedByItself(pair *oauth.TokenPair, now time.Time) error {
	switch {
	case s.asksAnew(pair):
		return nil
	case pair.RefreshToken == "":
		return errors.New("the access token has expired, and there is no refresh token")
	case !pair.RefreshExpiresAt.IsZero() && !now.Before(pair.RefreshExpiresAt):
		return errors.New("the refresh token has expired")
	}
	return nil
}
