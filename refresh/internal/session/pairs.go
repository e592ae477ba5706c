package session

import (
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
	"github.com/evertoken/evertoken/tokenstore"
)

// newLogin reports whether tokens are a login that stored does not know of, and
// not an earlier state of the same session.
func newLogin(stored *tokenstore.Record, tokens *oauth.TokenPair, now time.Time) bool {
	switch {
	case stored.Descends(tokens.RefreshToken), !differs(stored.Tokens, tokens):
		return false
	case tokens.RefreshToken != "" && tokens.RefreshToken == stored.Tokens.RefreshToken:
		return tokens.IssuedAt.After(stored.Tokens.IssuedAt)
	}
	issued := stored.Tokens.IssuedAt
	if issued.After(now) {
		return true // by a clock that was set back since: it proves nothing
	}
	return tokens.IssuedAt.IsZero() || !issued.After(tokens.IssuedAt)
}

// differs reports whether two pairs are not the same one.
func differs(a, b *oauth.TokenPair) bool {
	return a.AccessToken != b.AccessToken || a.RefreshToken != b.RefreshToken
}

// settle fills in the absolute times of a pair that has none: a fresh one, or
// one that a program has put together. The lifetime counts from the issue, if
// that is known; otherwise now is the best guess that errs on the long side, and
// IssuedAt stays open. All of them are to be compared by the wall clock, so a
// monotonic reading is removed.
func settle(t *oauth.TokenPair, now time.Time) *oauth.TokenPair {
	moment.EditTimes(t, func(at time.Time) time.Time { return at.Round(0) })
	if t.ExpiresAt.IsZero() && t.ExpiresIn > 0 {
		from := t.IssuedAt
		if from.IsZero() {
			from = now
		}
		t.ExpiresAt = from.Add(time.Duration(min(t.ExpiresIn, int64(schedule.MaxLife/time.Second))) * time.Second)
	}
	return t
}
