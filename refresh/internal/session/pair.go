package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/oauth"
)

// Pairs come from oauth.Client, which has judged them, and from programs and Refreshers of
// any kind, which have not: everything in this file looks at those.

var (
	errAccessToken  = errors.New("the access token has characters that no header can carry: hand in the token alone, without spaces or line breaks around it")
	errRefreshToken = errors.New("the refresh token is not printable ASCII (RFC 6749 appendix A.17): hand in the token alone, without spaces or line breaks around it")
	errExtra        = errors.New("the pair cannot be saved, since its field Extra holds what is not JSON")
	// errUncarried is what becomes of a Refresher's answer whose access token cannot be used.
	errUncarried = errors.New("OAuthClient returned no access token that a header can carry")
)

// checkPair returns what is wrong with a pair that a program hands in, or nil. Nothing is
// mended: a token that was cut or copied wrongly would lose its session at the first
// refresh, and its program can still tell a person.
func checkPair(t *oauth.TokenPair) error {
	switch {
	case t.AccessToken != "" && !carried(t.AccessToken):
		return fmt.Errorf("%w: %w", errAccessToken, oauth.ErrMisconfigured)
	case t.RefreshToken != "" && !carried(t.RefreshToken):
		return fmt.Errorf("%w: %w", errRefreshToken, oauth.ErrMisconfigured)
	}
	for _, raw := range t.Extra {
		if !json.Valid(raw) {
			return fmt.Errorf("%w: %w", errExtra, oauth.ErrMisconfigured)
		}
	}
	return nil
}

// carried reports whether a token can travel in a header, and none of it gets lost there.
func carried(token string) bool {
	return member.UsableToken(token) && token == strings.TrimSpace(token)
}

// answered returns the pair that a Refresher has answered old with. If its access token
// cannot be used, the pair is old with the new refresh token, which is all that is left of
// the session, beside an error.
func answered(next, old *oauth.TokenPair) (*oauth.TokenPair, error) {
	next = next.Keeping(old)
	maps.DeleteFunc(next.Extra, func(_ string, raw json.RawMessage) bool { return !json.Valid(raw) })
	if next.AccessToken = member.BareToken(next.AccessToken); member.UsableToken(next.AccessToken) {
		return next, nil
	}
	kept := old.Clone()
	kept.RefreshToken, kept.RefreshExpiresAt = next.RefreshToken, next.RefreshExpiresAt
	return kept, &oauth.Error{Op: "refresh", Kind: oauth.ErrMisconfigured, Sent: true, Err: errUncarried}
}

// maxLife is the longest life that is believed of a token, as in package oauth. More is an
// error of units, or means "never"; both say nothing about the end.
const maxLife = 10 * 365 * 24 * time.Hour

// settle completes a pair that a program or a Refresher hands in, which it modifies and
// returns. A life that is known becomes an end, if no end is given: it counts from the
// issue, if that is known; otherwise now is the best guess that errs on the long side, and
// IssuedAt stays open. Ends that cannot be meant count as unknown, as do times that cannot
// be saved. Times are to be compared by the wall clock, so a monotonic reading is removed.
func settle(t *oauth.TokenPair, now time.Time) *oauth.TokenPair {
	never := t.ExpiresAt.Sub(now) > maxLife // some write it as a year
	for _, end := range []*time.Time{&t.ExpiresAt, &t.RefreshExpiresAt} {
		if end.Sub(now) > maxLife {
			*end = time.Time{}
		}
	}
	moment.EditTimes(t, func(at time.Time) time.Time { return member.InRange(at.Round(0), true) })
	if t.ExpiresAt.IsZero() && !never && t.ExpiresIn > 0 && t.ExpiresIn <= int64(maxLife/time.Second) {
		from := t.IssuedAt
		if from.IsZero() {
			from = now
		}
		t.ExpiresAt = from.Add(time.Duration(t.ExpiresIn) * time.Second)
	}
	return t
}
