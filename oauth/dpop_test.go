package oauth_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// dpopClient returns a client with DPoP for s.
func dpopClient(s *oauthtest.Server, change ...func(*oauth.Config)) *oauth.Client {
	cfg := s.OAuthConfig()
	cfg.DPoP, cfg.RedirectURL, cfg.Output = true, "http://127.0.0.1:9/callback", new(screen)
	for _, f := range change {
		f(&cfg)
	}
	return oauth.NewClient(cfg)
}

// proven asks the protected resource with a proof of pair's key.
func proven(t *testing.T, s *oauthtest.Server, pair *oauth.TokenPair) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.Resource(), nil)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := pair.DPoPKey.Proof(r.Method, r.URL, pair.AccessToken, "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", pair.Type()+" "+pair.AccessToken)
	r.Header.Set("DPoP", proof)
	resp, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// dpopLogins are the ways to get a first pair.
var dpopLogins = map[string]func(*testing.T, *oauthtest.Server, *oauth.Client) (*oauth.TokenPair, error){
	"password": func(t *testing.T, _ *oauthtest.Server, c *oauth.Client) (*oauth.TokenPair, error) {
		return c.Password(t.Context(), "alice", "wonderland")
	},
	"client credentials": func(t *testing.T, _ *oauthtest.Server, c *oauth.Client) (*oauth.TokenPair, error) {
		return c.ClientCredentials(t.Context())
	},
	"browser": func(t *testing.T, s *oauthtest.Server, c *oauth.Client) (*oauth.TokenPair, error) {
		req, err := c.AuthCodeURL()
		if err != nil {
			t.Fatal(err)
		}
		stored, err := json.Marshal(req) // with the browser's session
		if err != nil {
			t.Fatal(err)
		}
		var kept oauth.LoginRequest
		if err := json.Unmarshal(stored, &kept); err != nil {
			t.Fatal(err)
		}
		return c.Exchange(t.Context(), &kept, allowed(t, s, req.URL))
	},
	"device": func(t *testing.T, s *oauthtest.Server, c *oauth.Client) (*oauth.TokenPair, error) {
		code, err := c.DeviceAuth(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		decides(t, s, code, 12*time.Second, false)
		return c.DeviceToken(t.Context(), code)
	},
}

// allowed returns the callback's query after alice has said yes.
func allowed(t *testing.T, s *oauthtest.Server, address string) url.Values {
	t.Helper()
	location, err := s.Allow(t.Context(), address, "alice")
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

func TestEveryLoginMakesAKeyThatTheSessionKeeps(t *testing.T) {
	for name, login := range dpopLogins {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := oauthtest.Config{RequireDPoP: true}
				if name == "client credentials" {
					server.ClientSecret = "s"
				}
				s := oauthtest.New(server)
				c := dpopClient(s)
				pair, err := login(t, s, c)
				if err != nil {
					t.Fatal(err)
				}
				if pair.Type() != "DPoP" || pair.DPoPKey.IsZero() || proven(t, s, pair) != http.StatusOK {
					t.Errorf("the pair %v of type %s does not work", pair, pair.Type())
				}
				if other, err := login(t, s, c); err != nil || other.DPoPKey.Thumbprint() == pair.DPoPKey.Thumbprint() {
					t.Errorf("another login has the same key, or failed: %v", err)
				}
				if pair.RefreshToken == "" {
					return
				}
				next, err := c.Refresh(t.Context(), pair)
				if err != nil || next.DPoPKey != pair.DPoPKey || proven(t, s, next) != http.StatusOK {
					t.Errorf("the pair cannot be renewed with its key: %v", err)
				}
				wantNoMistakes(t, s)
			})
		})
	}
}

// Whoever intercepts a code, and even the verifier, still lacks the key (RFC 9449
// section 10).
func TestCodeIsBoundToTheKey(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	c := dpopClient(s)
	req, err := c.AuthCodeURL()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(req.URL, "dpop_jkt="+req.DPoPKey.Thumbprint()) || req.DPoPKey.IsZero() {
		t.Errorf("the authorization request does not name the key: %s", req.URL)
	}
	stolen := *req
	stolen.DPoPKey = oauth.DPoPKey{}
	if _, err := c.Exchange(t.Context(), &stolen, allowed(t, s, req.URL)); failure(t, err).Code != "invalid_grant" {
		t.Errorf("another key redeems the code: %v", err)
	}
	off := dpopClient(s, func(cfg *oauth.Config) { cfg.DPoP = false })
	if req, err := off.AuthCodeURL(); err != nil || strings.Contains(req.URL, "dpop") || !req.DPoPKey.IsZero() {
		t.Errorf("without DPoP: %v, error %v", req.URL, err)
	}
}

func TestNonceIsSentInTheSameAttemptAndKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{DPoPNonceLifetime: time.Minute})
		c := dpopClient(s)
		wantRequests := func(n int, what string) {
			t.Helper()
			if got := s.Requests(oauthtest.TokenEndpoint); got != n {
				t.Errorf("%d token requests after %s; want %d", got, what, n)
			}
		}
		pair, err := c.Password(t.Context(), "alice", "wonderland")
		if err != nil {
			t.Fatal(err)
		}
		wantRequests(2, "the first login")
		for range 3 { // the newest comes with each answer
			time.Sleep(50 * time.Second)
			if pair, err = c.Refresh(t.Context(), pair); err != nil {
				t.Fatal(err)
			}
		}
		wantRequests(5, "three refreshes while the nonce lived")
		time.Sleep(time.Hour)
		if _, err = c.Refresh(t.Context(), pair); err != nil {
			t.Fatal(err)
		}
		wantRequests(7, "a refresh with a dead nonce")
		if spends := s.Spends(); spends[3].TokenHash != spends[4].TokenHash || spends[3].Committed || !spends[4].Committed {
			t.Errorf("spends %+v", spends)
		}
		wantNoMistakes(t, s) // so the proofs were all different
	})
}

func TestServerWithEverNewNoncesIsTransient(t *testing.T) {
	sent := 0
	c := over(roundTripper(func(*http.Request) (*http.Response, error) {
		sent++
		return response(400, `{"error":"use_dpop_nonce"}`, "DPoP-Nonce", strings.Repeat("n", sent)), nil
	}), func(cfg *oauth.Config) { cfg.DPoP = true })
	_, err := c.RefreshToken(t.Context(), "r")
	if fail := failure(t, err); !errors.Is(err, oauth.ErrTransient) || fail.Verdict() != oauth.VerdictTrouble || sent != 2 {
		t.Errorf("%d requests, %v (%v); want 2 and a transient error", sent, err, fail.Verdict())
	}
}

// SERVERS.md: a nonce in an answer is not a wish to be asked again.
func TestOnlyItsCodeAsksForTheNonce(t *testing.T) {
	for _, answer := range []*http.Response{
		response(400, `{"error":"invalid_grant"}`, "DPoP-Nonce", "n"),
		response(401, ``, "DPoP-Nonce", "n"),
		response(200, `{"error":"use_dpop_nonce"}`, "DPoP-Nonce", "n"),
		response(503, `{"error":"use_dpop_nonce"}`, "DPoP-Nonce", "n"),
		response(400, `{"error":"use_dpop_nonce"}`),
		response(400, `{"error":"use_dpop_nonce"}`, "DPoP-Nonce", "not a nonce"),
	} {
		sent := 0
		c := over(roundTripper(func(*http.Request) (*http.Response, error) { sent++; return answer, nil }),
			func(cfg *oauth.Config) { cfg.DPoP = true })
		if _, err := c.RefreshToken(t.Context(), "r"); err == nil || sent != 1 {
			t.Errorf("HTTP %d: %d requests, error %v; want 1 and an error", answer.StatusCode, sent, err)
		}
	}
}

func TestProofIsDatedByTheServersClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, ahead := range []time.Duration{10 * time.Minute, -3 * time.Hour} {
			s := oauthtest.New(oauthtest.Config{})
			wrong := func(cfg *oauth.Config) { cfg.Now = func() time.Time { return time.Now().Add(ahead) } }
			pair, err := dpopClient(s, wrong).Password(t.Context(), "alice", "wonderland")
			if err != nil {
				t.Fatalf("with a clock %v ahead: %v", ahead, err)
			}
			if n := s.Requests(oauthtest.TokenEndpoint); pair.Skew != ahead || n != 2 {
				t.Errorf("skew %v after %d requests; want %v after 2", pair.Skew, n, ahead)
			}
			// Another process has the pair, which knows.
			if _, err := dpopClient(s, wrong).Refresh(t.Context(), pair); err != nil || s.Requests(oauthtest.TokenEndpoint) != 3 {
				t.Errorf("%d requests, error %v; want a third one that works", s.Requests(oauthtest.TokenEndpoint), err)
			}
			wantNoMistakes(t, s)
		}
	})
}

func TestRefusedProofIsNoWordOnTheSession(t *testing.T) {
	c := over(answering(400, `{"error":"invalid_dpop_proof"}`), func(cfg *oauth.Config) { cfg.DPoP = true })
	_, err := c.RefreshToken(t.Context(), "r")
	if fail := failure(t, err); !errors.Is(err, oauth.ErrMisconfigured) || fail.Verdict() != oauth.VerdictSettings || fail.Hint == "" {
		t.Errorf("%v, %v", err, fail.Verdict())
	}
}

// bearer makes the server answer as if it knew nothing of DPoP.
func bearer(fields map[string]any) { fields["token_type"] = "Bearer" }

func TestSilentDowngradeIsRefused(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	c := dpopClient(s)
	for _, edit := range []func(map[string]any){bearer, func(fields map[string]any) { delete(fields, "token_type") }} {
		s.Script(oauthtest.Fault{Edit: edit})
		if pair, err := c.Password(t.Context(), "alice", "wonderland"); !errors.Is(err, oauth.ErrMisconfigured) || pair != nil || failure(t, err).Hint == "" {
			t.Errorf("a login gives %v, error %v; want ErrMisconfigured", pair, err)
		}
	}

	first, err := c.Password(t.Context(), "alice", "wonderland")
	if err != nil {
		t.Fatal(err)
	}
	s.Script(oauthtest.Fault{Edit: bearer})
	kept, err := c.Refresh(t.Context(), first)
	if fail := failure(t, err); !errors.Is(err, oauth.ErrMisconfigured) || !errors.Is(err, oauth.ErrDowngraded) || fail.Verdict() != oauth.VerdictSettings {
		t.Errorf("a refresh: error %v", err)
	}
	if kept == nil || kept.AccessToken != first.AccessToken || kept.Type() != "DPoP" || kept.DPoPKey != first.DPoPKey {
		t.Fatalf("the pair is %v; want the first with a new refresh token", kept)
	}
	if kept.RefreshToken == first.RefreshToken || first.RefreshToken == "" {
		t.Error("the new refresh token is lost")
	}
	if next, err := c.Refresh(t.Context(), kept); err != nil || proven(t, s, next) != http.StatusOK {
		t.Errorf("the session does not go on: %v", err)
	}
	wantNoMistakes(t, s)
}

func TestTypeThatARefreshOmitsStaysDPoP(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	c := dpopClient(s)
	pair, err := c.Password(t.Context(), "alice", "wonderland")
	if err != nil {
		t.Fatal(err)
	}
	s.Script(oauthtest.Fault{Edit: func(fields map[string]any) { delete(fields, "token_type") }})
	if next, err := c.Refresh(t.Context(), pair); err != nil || next.Type() != "DPoP" {
		t.Errorf("got %v, error %v", next, err)
	}
}

// Turning Config.DPoP off ends nothing: refresh tokens stay bound.
func TestSessionWithAKeyGoesOnWithoutConfigDPoP(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	pair, err := dpopClient(s).Password(t.Context(), "alice", "wonderland")
	if err != nil {
		t.Fatal(err)
	}
	off := dpopClient(s, func(cfg *oauth.Config) { cfg.DPoP = false })
	if pair, err = off.Refresh(t.Context(), pair); err != nil || pair.Type() != "DPoP" {
		t.Fatalf("got %v, error %v", pair, err)
	}
	s.Script(oauthtest.Fault{Edit: bearer})
	if pair, err = off.Refresh(t.Context(), pair); err != nil || pair.Type() != "Bearer" || pair.DPoPKey.IsZero() {
		t.Errorf("got %v, error %v; want what the server gave, and the key kept", pair, err)
	}
	wantNoMistakes(t, s)
}

func TestBearerSessionIsBoundWhenDPoPIsTurnedOn(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	pair, err := s.Login("alice")
	if err != nil {
		t.Fatal(err)
	}
	next, err := dpopClient(s).Refresh(t.Context(), pair)
	if err != nil || next.Type() != "DPoP" || proven(t, s, next) != http.StatusOK {
		t.Errorf("got %v, error %v", next, err)
	}
}

func TestLostKeyNeedsALoginAndNoRequest(t *testing.T) {
	for secret, want := range map[string]error{"": oauth.ErrLoginRequired, "s": nil} {
		s := oauthtest.New(oauthtest.Config{ClientSecret: secret})
		c := dpopClient(s)
		pair, err := c.Password(t.Context(), "alice", "wonderland")
		if err != nil {
			t.Fatal(err)
		}
		before := s.Requests(oauthtest.TokenEndpoint)
		pair.DPoPKey = oauth.DPoPKey{}
		next, err := c.Refresh(t.Context(), pair)
		if !errors.Is(err, want) {
			t.Errorf("secret %q: error %v; want %v", secret, err, want)
		}
		if want != nil && s.Requests(oauthtest.TokenEndpoint) != before {
			t.Error("a request was sent that could not succeed")
		}
		if want == nil && proven(t, s, next) != http.StatusOK {
			t.Error("a confidential client cannot take a new key")
		}
	}
}

func TestConfigIDTellsDPoPApart(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	if dpopClient(s).ConfigID() == oauth.NewClient(s.OAuthConfig()).ConfigID() {
		t.Error("the server sees a difference, the ID does not")
	}
}
