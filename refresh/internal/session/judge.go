package session

import (
	"errors"
	"fmt"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/internal/outside"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
	"github.com/evertoken/evertoken/refresh/internal/snapshot"
	"github.com/evertoken/evertoken/tokenstore"
)

// Judge says how the saved session of that name fares at the given time, by the rules of
// one that begins with it; see refresh.Judge.
func (c *Config) Judge(name string, rec *tokenstore.Record, now moment.Instant) (*snapshot.Snapshot, *Health) {
	if rec == nil || rec.Tokens == nil {
		return nil, &NoSession
	}
	pair := rec.Tokens.Clone()
	cur := snapshot.New(pair, c.timing(pair), 0, now)
	alive := cur.Alive(now)
	h := &Health{State: StateValid, Renewed: rec.RefreshedAt}
	if c.heed(h, rec, alive, now); !h.Ended() && c.knownSpent(name, rec, rec.Version) && !c.asksAnew(pair) {
		h.State, h.Err = StateRetrying, errWentBack
		if !alive {
			h.State, h.Err = StateLoginRequired, ErrOldCopy
		}
	}
	if why := c.endedByItself(rec.Tokens, now.Wall()); why != nil && !alive && !h.Ended() {
		h.State, h.Err = StateLoginRequired, why
	}
	return cur, h
}

// heed takes over what the marks of a record say of attempts to renew it.
func (c *Config) heed(h *Health, rec *tokenstore.Record, alive bool, now moment.Instant) {
	token, refused, wait := rec.Tokens.RefreshToken, refusedSince(rec, c.ConfigID), askedWait(rec).Left(now.Wall())
	switch {
	case c.endedBy(rec):
		h.State, h.Err = StateLoginRequired, saidSo("the server has ended the session", rec.Dead)
	case refused != nil && refused.Code == codeUnread:
		h.State, h.Err = StateMisconfigured, oauth.ErrUnreadAnswer
	case refused != nil && saysClient(refused) && (alive || !lasts(refused, lonely*c.CheckInterval) || !c.renewedBefore(rec)):
		h.State, h.Err = StateMisconfigured, saidSo("the server refuses the client", refused)
	case refused != nil && !alive && lasts(refused, schedule.Slowly*c.CheckInterval):
		h.State, h.Err = StateSuspected, saidSo(ErrSuspected.Error(), refused)
	case refused != nil:
		h.State, h.Err = StateRetrying, saidSo("the server refuses the refresh token", refused)
	case wait > 0:
		h.State, h.Err, h.Next = StateRetrying, errors.New("the server asked to wait"), now.Add(wait)
	case rec.Pending.On(token) && c.neverAgain(rec.Tokens) && !alive && now.Wall().Sub(rec.Pending.At).Abs() > c.newsWithin():
		h.State, h.Err = StateLoginRequired, errNotAgain
	case rec.Pending.On(token):
		h.State, h.Err = StateRetrying, errors.New("a renewal was begun, and its outcome is not known yet")
	}
}

// saysClient reports whether a mark is about a refusal of the client.
func saysClient(mark *tokenstore.Mark) bool {
	said := &oauth.Error{Op: "refresh", Kind: oauth.ErrMisconfigured, Code: mark.Code}
	return mark.Code != "" && said.Verdict() == oauth.VerdictClient
}

// saidSo adds the server's code, if it gave one.
func saidSo(what string, mark *tokenstore.Mark) error {
	if mark.Code == "" {
		return errors.New(what)
	}
	return fmt.Errorf("%s (%s)", what, outside.Text(mark.Code)) // a file has it, that others may have written
}

// endedByItself returns why a pair cannot be renewed, by what the server has said of
// its refresh token, or nil.
func (c *Config) endedByItself(pair *oauth.TokenPair, now time.Time) error {
	switch {
	case c.asksAnew(pair):
		return nil
	case pair.RefreshToken == "":
		return errors.New("the access token has expired, and there is no refresh token")
	case !pair.RefreshExpiresAt.IsZero() && !now.Before(pair.RefreshExpiresAt):
		return errors.New("the refresh token has expired")
	}
	return nil
}
