package snapshot

import (
	"encoding/json"
	"maps"
	"time"

	"golang.org/x/oauth2"

	"github.com/evertoken/evertoken/internal/moment"
)

// This file hands tokens to programs that keep them. Most libraries put a cache
// around a token source, as oauth2.NewClient does, and ask again when the token is
// about to expire. A renewal is due minutes before that, and some servers end the
// old access token with it. So the Expiry that is handed out is not the token's
// end: it is when a renewal is due, which makes every cache ask again in time.
//
// Caches differ in when they do so: that of x/oauth2 ten seconds before Expiry,
// one of client-go at Expiry, that of cloud.google.com/go/auth behind the caller's
// back from 225 seconds before Expiry on, while it serves what it has until then.
// A later Expiry would do for the first of them only.

const (
	// cacheMargin is how long before its Expiry x/oauth2 calls a token invalid
	// (expiryDelta). Programs may ask Valid of what they get.
	cacheMargin = 10 * time.Second
	// passingFor is how long x/oauth2's cache keeps a token that may be renewed any
	// moment: long enough to spare a busy program the copies, and too short for
	// many calls to carry a token that has been replaced.
	passingFor = 100 * time.Millisecond
)

// HandOut returns a living token for a caller that may keep it: the same one each
// time, until a renewal is so near that x/oauth2 would call it invalid. It must not be
// modified.
func (s *Snapshot) HandOut(now moment.Instant) *oauth2.Token {
	if s.ask.IsZero() || !now.Add(cacheMargin).Reached(s.ask) {
		return s.lasting()
	}
	return s.passing(now)
}

// lasting returns the pair as an x/oauth2 token that caches keep until a renewal is
// due, always the same one.
func (s *Snapshot) lasting() *oauth2.Token {
	if token := s.token.Load(); token != nil {
		return token
	}
	expiry := s.Pair.ExpiresAt
	if !s.ask.IsZero() {
		expiry = moment.Earlier(expiry, s.ask.Wall())
	}
	s.token.CompareAndSwap(nil, s.expiring(expiry))
	return s.token.Load()
}

// passing returns the pair as a valid x/oauth2 token for the time from shortly
// before a renewal is due until it has come. x/oauth2's cache keeps it until the
// renewal is due, or, after that, for a moment. A copy of the lasting token would
// not do: caches write to what they keep.
func (s *Snapshot) passing(now moment.Instant) *oauth2.Token {
	keep := min(max(s.ask.Wall().Sub(now.Wall()), passingFor), cacheMargin)
	return s.expiring(moment.Earlier(s.Pair.ExpiresAt, now.Wall().Add(keep+cacheMargin)))
}

// expiring returns the pair as an x/oauth2 token with the given Expiry, and with
// its real end as an extra field, which oauth.FromOAuth2 reads. A field of this
// name that the server sent is left alone.
func (s *Snapshot) expiring(expiry time.Time) *oauth2.Token {
	const name = "expires_at"
	pair := *s.Pair
	if _, taken := pair.Extra[name]; !taken && !pair.ExpiresAt.IsZero() {
		extra := map[string]json.RawMessage{name: json.RawMessage(pair.ExpiresAt.Format(`"` + time.RFC3339Nano + `"`))}
		maps.Copy(extra, pair.Extra)
		pair.Extra = extra
	}
	token := pair.OAuth2()
	token.Expiry = expiry
	return token
}
