package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/dialect"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// TestGinJWTAndItsImitationAnswerAlike asks gin-jwt and the backend that oauthtest
// plays the same things.
func TestGinJWTAndItsImitationAnswerAlike(t *testing.T) {
	t.Parallel()
	imitation := oauthtest.NewServer(oauthtest.Config{
		NoReuseDetection: true, AccessTokenLifetime: defaultLife * time.Second, Users: map[string]string{"alice": ginJWTPassword},
	})
	t.Cleanup(imitation.Close)
	real := asker{t, startGinJWT(t, serverOptions{life: defaultLife}).origin(), ""}
	played := asker{t, imitation.Issuer() + string(oauthtest.GinJWTBackend), ""}

	const asJSON, asForm = "application/json", "application/x-www-form-urlencoded"
	login, _ := json.Marshal(map[string]string{"username": "alice", "password": ginJWTPassword})
	for _, tt := range []struct{ name, path, kind, body string }{
		{"login", "/login", asJSON, string(login)},
		{"wrong password", "/login", asJSON, `{"username":"alice","password":"x"}`},
		{"nobody", "/login", asJSON, `{"username":"bob","password":"x"}`},
		{"login by form", "/login", asForm, url.Values{"username": {"alice"}, "password": {ginJWTPassword}}.Encode()},
		{"refresh", "/refresh", asJSON, `{"refresh_token":"TOKEN"}`},
		{"refresh by form", "/refresh", asForm, `refresh_token=TOKEN`},
		{"spent", "/refresh", asJSON, `{"refresh_token":"SPENT"}`},
		{"unknown", "/refresh", asJSON, `{"refresh_token":"nonsense"}`},
		{"empty", "/refresh", asJSON, `{"refresh_token":""}`},
		{"nothing", "/refresh", asJSON, ``},
		{"another field", "/refresh", asForm, `token=TOKEN`},
		{"logout with nothing", "/logout", asJSON, ``},
		{"logout with an unknown token", "/logout", asJSON, `{"refresh_token":"nonsense"}`},
		{"logout with a spent token", "/logout", asJSON, `{"refresh_token":"SPENT"}`},
		{"refresh after all that", "/refresh", asJSON, `{"refresh_token":"TOKEN"}`},
		{"logout", "/logout", asForm, `refresh_token=TOKEN`},
		{"refresh after it", "/refresh", asJSON, `{"refresh_token":"TOKEN"}`},
	} {
		if got, want := played.ask(tt.path, tt.kind, tt.body), real.ask(tt.path, tt.kind, tt.body); got != want {
			t.Errorf("%s:\noauthtest answers %s\n  gin-jwt answers %s", tt.name, got, want)
		}
	}
}

// An asker is a client that knows one session at a backend.
type asker struct {
	t     *testing.T
	base  string
	token string // the newest refresh token, and after a space the one before
}

// ask sends a request with the tokens that it has in place of TOKEN and SPENT. It
// returns what the answer says but for what is random in it.
func (a *asker) ask(path, kind, body string) string {
	a.t.Helper()
	newest, spent, _ := strings.Cut(a.token, " ")
	if strings.HasSuffix(kind, "urlencoded") {
		newest, spent = url.QueryEscape(newest), url.QueryEscape(spent)
	}
	body = strings.NewReplacer("TOKEN", newest, "SPENT", spent).Replace(body)
	resp, err := http.Post(a.base+path, kind, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		a.t.Fatalf("%s%s answers %q: %v", a.base, path, raw, err)
	}
	if token, ok := fields["refresh_token"].(string); ok {
		last, _, _ := strings.Cut(a.token, " ")
		a.token = token + " " + last
	}
	for _, random := range []string{"access_token", "refresh_token"} {
		if text, ok := fields[random].(string); ok && text != "" {
			fields[random] = "…"
		}
	}
	// gin-jwt tells what is left when the answer is made, rounded down.
	if left, ok := fields["expires_in"].(float64); ok && left > defaultLife-60 && left <= defaultLife {
		fields["expires_in"] = "a life"
	}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	challenge, _, _ := strings.Cut(resp.Header.Get("WWW-Authenticate"), `"`)
	text, _ := json.Marshal(fields)
	return fmt.Sprintf("%d %s, challenge %q, %s", resp.StatusCode, media, challenge, text)
}

// TestGinJWTRefusals has the answers that are not tokens mean what they should.
func TestGinJWTRefusals(t *testing.T) {
	t.Parallel()
	s := startGinJWT(t, serverOptions{life: defaultLife})
	good := s.login(t, nil)
	cookie, behind := dialect.GinJWT().InCookie("refresh_token"), dialect.GinJWT()
	behind.Logout.Path = "/auth/logout"
	clientOf := func(d dialect.Dialect) *dialect.Client {
		return dialect.NewClient(d, dialect.Config{BaseURL: s.origin()})
	}
	for _, tt := range []struct {
		name   string
		do     func() error
		kinds  []error
		status int
	}{
		{"login with a wrong password", func() error { _, err := s.dialectClient(nil).Login(t.Context(), "alice", "x"); return err },
			[]error{oauth.ErrLoginRequired}, http.StatusUnauthorized},
		{"refresh with an unknown token", func() error {
			_, err := s.renewer(t, nil).Refresh(t.Context(), &oauth.TokenPair{RefreshToken: "nonsense"})
			return err
		}, []error{oauth.ErrTransient, oauth.ErrTokenInvalid}, http.StatusUnauthorized},
		{"logout with a dead access token", func() error {
			return clientOf(behind).Revoke(t.Context(), &oauth.TokenPair{AccessToken: "dead", RefreshToken: good.RefreshToken})
		}, []error{oauth.ErrTransient}, http.StatusUnauthorized},
	} {
		err := tt.do()
		var fail *oauth.Error
		if !errors.As(err, &fail) || fail.Status != tt.status {
			t.Errorf("%s: error %v, want one with HTTP %d", tt.name, err, tt.status)
		}
		for _, kind := range []error{oauth.ErrLoginRequired, oauth.ErrTransient, oauth.ErrMisconfigured, oauth.ErrTokenInvalid} {
			if got := errors.Is(err, kind); got != slices.Contains(tt.kinds, kind) {
				t.Errorf("%s: error %v, which matches %q: %t", tt.name, err, kind, got)
			}
		}
	}
	next, err := s.renewer(t, nil).Refresh(t.Context(), good)
	if err != nil {
		t.Fatalf("after all refusals the session is gone: %v", err)
	}
	// Since 3.4 it reads a cookie, too, before the body.
	if _, err := clientOf(cookie).Refresh(t.Context(), next); err != nil {
		t.Errorf("refresh by cookie: %v", err)
	}
}

// TestLaw6_GinJWTWithoutItsRedisIsNotALogout takes the Redis away in which gin-jwt
// keeps refresh tokens. By its own store, it waits for as long as somebody asks; by
// ours, it says 401 as to a dead token.
func TestLaw6_GinJWTWithoutItsRedisIsNotALogout(t *testing.T) {
	t.Parallel()
	for name, ours := range map[string]bool{"its own store": false, "our store": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			outliveRedis(t, ours)
		})
	}
}

func outliveRedis(t *testing.T, ours bool) {
	t.Helper()
	network := newRelay(t)
	network.admit(startRedis(t))
	s := newGinJWT(t, dialect.GinJWT(), serverOptions{life: defaultLife}, ginJWTStore{redis: network.addr, ours: ours})
	k := s.keep(t, newStore(t), s.login(t, nil), func(cfg *refresh.Config) {
		cfg.OAuthClient, cfg.RefreshTimeout = s.renewer(t, nil), 3*time.Second
		cfg.CheckInterval = time.Minute // a 401 that lasts longer is believed
	})
	last := k.refresh()
	network.refuse()
	done := make(chan error, 1)
	go func() { done <- k.ForceRefresh(t.Context()) }()
	if e := k.await(refresh.EventRefreshFailed); !errors.Is(e.Err, oauth.ErrTransient) || errors.Is(e.Err, oauth.ErrLoginRequired) {
		t.Errorf("without Redis the attempt fails with %v, want an error that matches ErrTransient alone", e.Err)
	}
	network.admitAgain()
	// On a busy machine an attempt may need more than its time.
	for limit, err := time.Now().Add(stepLimit), <-done; err != nil; err = k.ForceRefresh(t.Context()) {
		if !errors.Is(err, oauth.ErrTransient) || time.Now().After(limit) {
			t.Fatalf("with Redis again, a refresh fails with %v", err)
		}
	}
	if k.GetTokens().RefreshToken == last.RefreshToken {
		t.Error("the pair is the one from before the outage")
	}
	k.well()
}
