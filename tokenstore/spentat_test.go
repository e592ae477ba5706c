package tokenstore_test

import (
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

// A store that keeps SpentAt in an index finds exactly what Spent says.
func TestSpentAtIsWhenARecordBecomesSpent(t *testing.T) {
	at := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	const month = 30 * 24 * time.Hour
	dead := func(since time.Time) *tokenstore.Mark {
		return &tokenstore.Mark{Token: tokenstore.Fingerprint("r"), At: since, Certain: true}
	}
	pair := func(expires, refreshExpires time.Time) *oauth.TokenPair {
		return &oauth.TokenPair{AccessToken: "a", RefreshToken: "r", ExpiresAt: expires, RefreshExpiresAt: refreshExpires}
	}
	for what, rec := range map[string]tokenstore.Record{
		"nothing to renew with":         {Tokens: &oauth.TokenPair{AccessToken: "a", ExpiresAt: at}},
		"refresh token expires":         {Tokens: pair(at.Add(-1), at)},
		"access token lives longer":     {Tokens: pair(at, at.Add(-1))},
		"dead":                          {Tokens: pair(at.Add(-1), time.Time{}), Dead: dead(at.Add(-month))},
		"dead, and expires before that": {Tokens: pair(at.Add(-1), at), Dead: dead(at)},
		"dead, and expires after that":  {Tokens: pair(at.Add(-1), at.Add(month)), Dead: dead(at.Add(-month))},
	} {
		got, ever := rec.SpentAt()
		if !ever || !got.Equal(at) || rec.Spent(at.Add(-1)) || !rec.Spent(at) {
			t.Errorf("%s: spent at %v, %v; want %v", what, got, ever, at)
		}
	}
	for what, rec := range map[string]tokenstore.Record{
		"good for ever": {Tokens: &oauth.TokenPair{AccessToken: "a"}},
		"renewable":     {Tokens: pair(at, time.Time{})},
		"declared dead for an unclear word": {Tokens: pair(at, time.Time{}),
			Dead: &tokenstore.Mark{Token: tokenstore.Fingerprint("r"), At: at.Add(-month), Code: "invalid_request"}},
	} {
		if got, ever := rec.SpentAt(); ever {
			t.Errorf("%s: spent at %v; want never", what, got)
		}
	}
}
