package oauthtest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
)

const (
	exchangeGrant = "urn:ietf:params:oauth:grant-type:token-exchange"
	accessType    = "urn:ietf:params:oauth:token-type:access_token"
	idType        = "urn:ietf:params:oauth:token-type:id_token"
)

// exchange sends a token exchange of alice's access token, with more fields.
func exchange(t *testing.T, s *oauthtest.Server, access string, pairs ...string) result {
	t.Helper()
	f := form("grant_type", exchangeGrant, "subject_token", access, "subject_token_type", accessType)
	for i := 0; i < len(pairs); i += 2 {
		f.Set(pairs[i], pairs[i+1])
	}
	return post(t.Context(), s.Client(), s.Endpoint(oauthtest.TokenEndpoint), f)
}

func TestExchangeIsStrict(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{Clients: []oauthtest.RegisteredClient{{ID: "other"}}})
	access, refresh := login(t, s)
	for name, tc := range map[string]struct {
		change []string
		code   string
	}{
		"no subject":                  {[]string{"subject_token", ""}, "invalid_request"},
		"an unknown subject":          {[]string{"subject_token", "x"}, "invalid_request"},
		"a refresh token":             {[]string{"subject_token", refresh}, "invalid_request"},
		"a token under another type":  {[]string{"subject_token_type", idType}, "invalid_request"},
		"an unknown type":             {[]string{"subject_token_type", "urn:x"}, "invalid_request"},
		"another client's token":      {[]string{"client_id", "other"}, "invalid_request"},
		"an actor without type":       {[]string{"actor_token", access}, "invalid_request"},
		"a type without actor":        {[]string{"actor_token_type", accessType}, "invalid_request"},
		"an unknown actor":            {[]string{"actor_token", "x", "actor_token_type", accessType}, "invalid_request"},
		"what is not issued":          {[]string{"requested_token_type", idType}, "invalid_request"},
		"more scope than the subject": {[]string{"scope", "profile admin"}, "invalid_scope"},
		"a relative resource":         {[]string{"resource", "one"}, "invalid_target"},
	} {
		t.Run(name, func(t *testing.T) { exchange(t, s, access, tc.change...).wantError(t, 400, tc.code) })
	}
	wantMistakes(t, s)
}

func TestExchangedTokenNamesTheActor(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{Users: map[string]string{"alice": "a", "bob": "b"}})
	access, _ := login(t, s)
	bob, err := s.Login("bob")
	if err != nil {
		t.Fatal(err)
	}
	r := exchange(t, s, access, "actor_token", bob.AccessToken, "actor_token_type", accessType).wantOK(t)
	claims := claimsOf(t, r.text(t, "access_token"))
	if act, _ := claims["act"].(map[string]any); claims["sub"] != "alice" || act["sub"] != "bob" {
		t.Errorf("claims %v; want alice's, used by bob", claims)
	}
	if _, given := r.field(t, "refresh_token").(string); given {
		t.Error("a refresh token was given")
	}
	s.RevokeAll("alice")
	if got := resourceStatus(t, s, r.text(t, "access_token")); got != 401 {
		t.Errorf("after alice's end: HTTP %d; want 401", got)
	}
}

func TestExpiredTokensAreNotExchanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{})
		pair, err := s.Login("alice")
		if err != nil {
			t.Fatal(err)
		}
		exchange(t, s, pair.IDToken, "subject_token_type", idType).wantOK(t)
		time.Sleep(15 * time.Minute)
		exchange(t, s, pair.IDToken, "subject_token_type", idType).wantError(t, 400, "invalid_request")
		exchange(t, s, pair.AccessToken).wantError(t, 400, "invalid_request")
	})
}
