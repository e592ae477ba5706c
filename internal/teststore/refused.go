package teststore

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

// RefuseWhatCannotBeKept has a store save nil, and records that cannot be written as JSON.
// All are refused, which is neither an outage nor a conflict, and nothing changes.
func RefuseWhatCannotBeKept(t *testing.T, s tokenstore.Store) {
	t.Helper()
	version := Set(t, s, "default", &tokenstore.Record{Tokens: &oauth.TokenPair{AccessToken: "a", RefreshToken: "r"}})
	good := Get(t, s, "default")
	for name, rec := range map[string]*tokenstore.Record{
		"none":            nil,
		"a field":         {Version: version, Tokens: &oauth.TokenPair{AccessToken: "b", Extra: map[string]json.RawMessage{"odd": json.RawMessage("{")}}},
		"a time too late": {Version: version, Tokens: good.Tokens, NotBefore: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		refused := func(what string, err error) {
			t.Helper()
			if err == nil || errors.Is(err, tokenstore.ErrConflict) || errors.Is(err, tokenstore.ErrUnavailable) {
				t.Errorf("%s of what cannot be kept (%s): %v", what, name, err)
			}
		}
		_, err := s.Set(t.Context(), "default", rec)
		refused("Set", err)
		var created *tokenstore.Record
		if rec != nil {
			created = rec.Clone()
			created.Version = 0
		}
		_, err = s.Set(t.Context(), "new", created)
		refused("Set of a new session", err)
		if _, err := s.Get(t.Context(), "new"); !errors.Is(err, tokenstore.ErrNotFound) {
			t.Errorf("%s: a session was made of it: %v", name, err)
		}
		spender, ok := s.(tokenstore.Spender)
		if !ok {
			continue
		}
		_, _, err = spender.BeginSpend(t.Context(), s, "default", rec, false)
		if errors.Is(err, errors.ErrUnsupported) {
			continue
		}
		refused("BeginSpend", err)
		spend, announced, err := spender.BeginSpend(t.Context(), s, "default", Get(t, s, "default"), false)
		if err != nil {
			t.Fatalf("BeginSpend afterwards: %v", err)
		}
		_, err = spend.Settle(t.Context(), rec)
		refused("Settle", err)
		if err := spend.Err(); err != nil {
			t.Errorf("%s: a Settle that is refused ends the lease: %v", name, err)
		}
		if got := Get(t, s, "default"); got.Version != announced || got.Tokens.AccessToken != "a" {
			t.Errorf("%s: the record was changed", name)
		}
		if version, err = spend.Settle(t.Context(), Get(t, s, "default")); err != nil {
			t.Errorf("Settle afterwards: %v", err)
		}
	}
	if got := Get(t, s, "default"); got.Version != version || got.Tokens.AccessToken != "a" {
		t.Errorf("the record is %v", got)
	}
}
