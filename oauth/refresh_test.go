package oauth_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

type tokens = oauth.TokenPair

func TestRefreshGivesAWorkingPair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{})
		old := mustLogin(t, s)
		before := old.Clone()
		s.Script(oauthtest.Fault{Delay: 3 * time.Second})
		start := time.Now()
		pair, err := oauth.NewClient(s.OAuthConfig()).Refresh(t.Context(), old)
		if err != nil {
			t.Fatal(err)
		}
		if pair.RefreshToken == old.RefreshToken || pair.RefreshToken == "" {
			t.Error("the refresh token was not rotated")
		}
		if want := start.Add(oauthtest.DefaultAccessTokenLifetime); !pair.ExpiresAt.Equal(want) || !pair.IssuedAt.Equal(start) {
			t.Errorf("issued %v, expires %v; want %v, %v: counted from before the request was sent", pair.IssuedAt, pair.ExpiresAt, start, want)
		}
		if fmt.Sprint(plain(old)) != fmt.Sprint(plain(before)) {
			t.Error("Refresh changed the pair it was given")
		}
		wantWorking(t, s, pair)
		wantNoMistakes(t, s)
	})
}

func TestRefreshWithoutRefreshTokenSendsNothing(t *testing.T) {
	w := answering(200, okBody)
	for _, pair := range []*oauth.TokenPair{nil, {AccessToken: "a"}} {
		_, err := over(w).Refresh(t.Context(), pair)
		if !errors.Is(err, oauth.ErrRefreshTokenRequired) || !errors.Is(err, oauth.ErrLoginRequired) {
			t.Errorf("got %v; want ErrRefreshTokenRequired", err)
		}
	}
	if n := len(w.requests()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestF32_AnswerWithoutRefreshTokenKeepsTheOldOne(t *testing.T) {
	for name, edit := range map[string]func(map[string]any){
		"absent": func(fields map[string]any) { delete(fields, "refresh_token") },
		"empty":  func(fields map[string]any) { fields["refresh_token"] = "" },
		"null":   func(fields map[string]any) { fields["refresh_token"] = nil },
	} {
		t.Run(name, func(t *testing.T) {
			s := oauthtest.New(oauthtest.Config{NoRotation: true})
			c := oauth.NewClient(s.OAuthConfig())
			old := mustLogin(t, s)
			s.Script(oauthtest.Fault{Edit: edit})
			pair, err := c.Refresh(t.Context(), old)
			if err != nil {
				t.Fatal(err)
			}
			if pair.RefreshToken != old.RefreshToken {
				t.Error("the refresh token is not the old one")
			}
			if _, err := c.RefreshToken(t.Context(), pair.RefreshToken); err != nil {
				t.Errorf("the kept refresh token does not work: %v", err)
			}
		})
	}
}

func TestWhatTheAnswerOmitsIsKept(t *testing.T) {
	end := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	old := &oauth.TokenPair{
		AccessToken: "a1", RefreshToken: "r1", TokenType: "DPoP", Scope: "read", IDToken: "i1", RefreshExpiresAt: end, ExpiresIn: 7, ExpiresAt: end,
		Extra: map[string]json.RawMessage{"tenant": json.RawMessage(`"t"`), "level": json.RawMessage(`1`)},
	}
	got, err := over(answering(200, `{"access_token":"a2","level":2}`)).Refresh(t.Context(), old)
	if err != nil {
		t.Fatal(err)
	}
	if got.AccessToken != "a2" || got.RefreshToken != "r1" || got.TokenType != "DPoP" || got.Scope != "read" || got.IDToken != "i1" || !got.RefreshExpiresAt.Equal(end) {
		t.Errorf("got %v", plain(got))
	}
	if string(got.Extra["tenant"]) != `"t"` || string(got.Extra["level"]) != `2` {
		t.Errorf("extra fields %s; want the old tenant and the new level", got.Extra)
	}
	if got.ExpiresIn != 0 || !got.ExpiresAt.IsZero() {
		t.Error("the old access token's life was given to the new one")
	}

	got, err = over(answering(200, okBody)).Refresh(t.Context(), old)
	if err != nil || got.RefreshToken != "r2" || !got.RefreshExpiresAt.IsZero() {
		t.Errorf("got %v, %v; the end of the old refresh token is not the new one's", plain(got), err)
	}
}

func TestKeepingModifiesNeither(t *testing.T) {
	old := &oauth.TokenPair{RefreshToken: "r1", Scope: "read", Extra: map[string]json.RawMessage{"tenant": json.RawMessage(`"t"`)}}
	next := &oauth.TokenPair{AccessToken: "a2"}
	kept := next.Keeping(old)
	kept.Extra["tenant"][1] = 'x'
	if next.RefreshToken != "" || next.Scope != "" || next.Extra != nil || string(old.Extra["tenant"]) != `"t"` {
		t.Errorf("Keeping changed %v or %v", plain(next), plain(old))
	}
	if alone := next.Keeping(nil); alone.AccessToken != "a2" || alone == next {
		t.Errorf("without an old pair: %v", plain(alone))
	}
}

func TestF26_AnswerLostWithinGraceIsRepaired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{Grace: 30 * time.Second})
		c := oauth.NewClient(s.OAuthConfig())
		old := mustLogin(t, s)
		s.Script(oauthtest.Fault{Reset: true, AfterCommit: true})
		_, err := c.Refresh(t.Context(), old)
		if fail := failure(t, err); !fail.Unknown() || !errors.Is(err, oauth.ErrTransient) {
			t.Fatalf("got %v (unknown: %v); want an unknown outcome", err, fail.Unknown())
		}
		time.Sleep(2 * time.Second)
		pair, err := c.Refresh(t.Context(), old)
		if err != nil {
			t.Fatalf("the same token within the grace window: %v", err)
		}
		wantWorking(t, s, pair)
		wantNoMistakes(t, s)
	})
}

func TestF27_CutBodyIsUnknownAndNotQuoted(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	old := mustLogin(t, s)
	s.Script(oauthtest.Fault{CutBody: true})
	_, err := oauth.NewClient(s.OAuthConfig()).Refresh(t.Context(), old)
	if fail := failure(t, err); !fail.Unknown() || fail.Status != 200 {
		t.Errorf("got %v (unknown: %v); want an unknown outcome with HTTP 200", err, fail.Unknown())
	}
	if got, want := err.Error(), "oauth: refresh (HTTP 200): temporarily failed: the answer does not hold what was asked for"; got != want {
		t.Errorf("got %q; want %q", got, want)
	}
}

func TestF37_F39_OutagesAndWallsAreTransient(t *testing.T) {
	for name, fault := range map[string]oauthtest.Fault{
		"F37 503 with HTML":       {Status: 503, HTML: true},
		"F39 403 from a firewall": {Status: 403, HTML: true},
		"captive portal":          {Status: 200, HTML: true},
		"400 with nothing":        {Status: 400},
		"server down":             {Down: true},
		"500 invalid_grant":       {Status: 500, Body: `{"error":"invalid_grant"}`},
	} {
		t.Run(name, func(t *testing.T) {
			s := oauthtest.New(oauthtest.Config{})
			c := oauth.NewClient(s.OAuthConfig())
			pair := mustLogin(t, s)
			s.Script(fault)
			_, err := c.Refresh(t.Context(), pair)
			failure(t, err)
			if !errors.Is(err, oauth.ErrTransient) || errors.Is(err, oauth.ErrLoginRequired) {
				t.Errorf("got %v; want ErrTransient", err)
			}
			if _, err := c.Refresh(t.Context(), pair); err != nil {
				t.Errorf("afterwards: %v", err)
			}
			wantNoMistakes(t, s)
		})
	}
}

// Who is to wait for how long is a refresh.Manager's to know.
func TestF38_RetryAfterIsToldAndDoesNotSilenceTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{})
		c := oauth.NewClient(s.OAuthConfig())
		pair, other := mustLogin(t, s), mustLogin(t, s)
		s.Script(oauthtest.Fault{RetryAfter: 20 * time.Minute})
		_, err := c.Refresh(t.Context(), pair)
		end := time.Now().Add(20 * time.Minute)
		if fail := failure(t, err); !errors.Is(err, oauth.ErrTransient) || !fail.RetryAt.Equal(end) {
			t.Fatalf("got %v, retry at %v; want ErrTransient, %v", err, fail.RetryAt, end)
		}
		for _, p := range []*oauth.TokenPair{other, pair} {
			if _, err := c.Refresh(t.Context(), p); err != nil {
				t.Errorf("a request that the program asks for: %v", err)
			}
		}
		wantNoMistakes(t, s)
	})
}

func TestF40_DeadRefreshTokenIsOneRequest(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	pair := mustLogin(t, s)
	s.RevokeAll(oauthtest.DefaultUser)
	_, err := oauth.NewClient(s.OAuthConfig()).Refresh(t.Context(), pair)
	if fail := failure(t, err); !errors.Is(err, oauth.ErrLoginRequired) || fail.Code != "invalid_grant" || fail.Verdict() != oauth.VerdictEnded {
		t.Errorf("got %v; want ErrLoginRequired", err)
	}
	if n := s.Requests(oauthtest.TokenEndpoint); n != 1 {
		t.Errorf("%d requests; want 1", n)
	}
}

func TestConfigIDNamesWhatTheServerSees(t *testing.T) {
	base := oauth.Config{ClientID: "id", ClientSecret: secret, TokenURL: "https://auth.test/token"}
	id := oauth.NewClient(base).ConfigID()
	if leaks(id) || len(id) != 16 {
		t.Errorf("ID %q", id)
	}
	same := base
	same.Scopes, same.Timeout, same.RedirectURL = []string{"x"}, time.Second, "http://127.0.0.1/"
	if oauth.NewClient(same).ConfigID() != id {
		t.Error("what the token endpoint does not see changes the ID")
	}
	for name, change := range map[string]func(*oauth.Config){
		"client":                   func(c *oauth.Config) { c.ClientID = "other" },
		"secret":                   func(c *oauth.Config) { c.ClientSecret = "other" },
		"endpoint":                 func(c *oauth.Config) { c.TokenURL += "2" },
		"method":                   func(c *oauth.Config) { c.ClientAuth = oauth.SecretPost(secret) },
		"word for a session's end": func(c *oauth.Config) { c.Preset.EndCodes = []string{"gone"} },
	} {
		changed := base
		change(&changed)
		if oauth.NewClient(changed).ConfigID() == id {
			t.Errorf("another %s has the same ID", name)
		}
	}
}
