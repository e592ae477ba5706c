package refresh_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// withDPoP turns DPoP on.
func withDPoP(cfg *refresh.Config) {
	client := cfg.OAuthClient.(*oauth.Client).Config()
	client.DPoP = true
	cfg.OAuthClient = oauth.NewClient(client)
}

// newDPoPFixture is newFixture for a session whose tokens are bound to a key.
func newDPoPFixture(t *testing.T, server oauthtest.Config, edits ...func(*refresh.Config)) *fixture {
	t.Helper()
	var client *oauth.Client
	f := newFixture(t, server, append([]func(*refresh.Config){withDPoP}, append(edits, func(cfg *refresh.Config) {
		client = cfg.OAuthClient.(*oauth.Client)
	})...)...)
	var err error
	if f.first, err = client.Password(t.Context(), "alice", "wonderland"); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestF48_DPoPSessionLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newDPoPFixture(t, oauthtest.Config{RequireDPoP: true, DPoPNonceLifetime: time.Minute}).start(t)
		client, w := f.wired()
		calls := func(n int, what string) {
			t.Helper()
			if status := get(t, client, f.server.Resource()+"/things?q=1#f"); status != http.StatusOK {
				t.Fatalf("%s: HTTP %d", what, status)
			}
			if got := len(w.requests()); got != n {
				t.Errorf("%s: %d requests in all; want %d", what, got, n)
			}
		}
		calls(2, "the first call, which learns the nonce")
		calls(3, "the next one")
		time.Sleep(5 * minute)
		calls(5, "after the nonce has died")
		if n := f.server.Refreshes(); n != 0 {
			t.Errorf("%d refreshes because of nonces; want none", n)
		}

		for f.server.Refreshes() < 3 {
			time.Sleep(minute)
			f.mustCall(t)
		}
		if n := f.events.count(refresh.EventRefreshFailed); n != 0 {
			t.Errorf("%d failures; a nonce is none", n)
		}
		f.Stop()

		again := f.sibling(t, withDPoP).resume(t)
		if again.GetTokens().DPoPKey.Thumbprint() != f.first.DPoPKey.Thumbprint() {
			t.Error("the restarted session has another key")
		}
		again.mustCall(t)
		again.server.Script(oauthtest.Fault{Status: 503, HTML: true, Times: -1})
		time.Sleep(20 * minute)
		if n := again.events.count(refresh.EventRefreshFailed); n == 0 {
			t.Error("the outage was not noticed")
		}
		again.server.ClearScript()
		time.Sleep(5 * minute)
		again.mustCall(t)
		if n := again.events.count(refresh.EventLoginRequired); n != 0 {
			t.Error("an outage ended the session")
		}
		again.server.ExpireAccess("alice")
		refreshes := again.server.Refreshes()
		again.mustCall(t) // invalid_token: renewed as with Bearer
		if n := again.server.Refreshes(); n != refreshes+1 {
			t.Errorf("%d refreshes after the API refused the token; want 1", n-refreshes)
		}
		again.clean(t)
	})
}

func TestDPoPBodyIsSentAgainWithTheNonce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newDPoPFixture(t, oauthtest.Config{DPoPNonceLifetime: time.Minute}).start(t)
		client, w := f.wired()
		req, body := post(t, f.server.Resource()) // cannot be rewound
		resp, err := client.Do(req)
		if err != nil || drain(t, resp) != http.StatusUnauthorized || !body.closed.Load() || len(w.requests()) != 1 {
			t.Errorf("a stream: error %v, %d requests; want its 401", err, len(w.requests()))
		}
		time.Sleep(5 * minute) // the nonce it brought has died
		resp, err = client.Post(f.server.Resource(), "text/plain", bytes.NewReader([]byte("payload")))
		if err != nil {
			t.Fatal(err)
		}
		var answer struct{ Bytes int }
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Bytes != len("payload") {
			t.Errorf("the API got %d bytes (error %v); want all", answer.Bytes, err)
		}
		resp.Body.Close()
		if n := f.server.Refreshes(); n != 0 {
			t.Errorf("%d refreshes; want none", n)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if first := w.bodies[1]; !first.ended.Load() || !first.closed.Load() {
			t.Error("the refusal's body was not drained and closed")
		}
		f.clean(t)
	})
}

// Each answer is given to every request of one call: want is how many there are.
func TestWhatAnAPISaysOfAProof(t *testing.T) {
	const nonce = `DPoP error="use_dpop_nonce"`
	for _, tt := range []struct {
		name      string
		status    int
		headers   []string
		want      int
		refreshes int
	}{
		{"a nonce", 401, []string{"WWW-Authenticate", nonce, "DPoP-Nonce", "n"}, 2, 0},
		{"among others", 401, []string{"WWW-Authenticate", `Bearer, ` + nonce + `, algs="ES256"`, "DPoP-Nonce", "n"}, 2, 0},
		{"no nonce", 401, []string{"WWW-Authenticate", nonce}, 1, 0},
		{"a bad proof", 401, []string{"WWW-Authenticate", `DPoP error="invalid_dpop_proof"`, "DPoP-Nonce", "n"}, 1, 0},
		{"a bad token", 401, []string{"WWW-Authenticate", `DPoP error="invalid_token"`, "DPoP-Nonce", "n"}, 2, 1},
		{"no reason", 401, []string{"DPoP-Nonce", "n"}, 2, 1},
		{"403", 403, []string{"WWW-Authenticate", nonce, "DPoP-Nonce", "n"}, 1, 0},
		{"200", 200, []string{"WWW-Authenticate", nonce, "DPoP-Nonce", "n"}, 1, 0},
		{"no scope", 401, []string{"WWW-Authenticate", `DPoP error="insufficient_scope", scope="s"`, "DPoP-Nonce", "n"}, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newDPoPFixture(t, oauthtest.Config{}).start(t)
				client, w := f.wired()
				w.hosts["api.test"] = answering(tt.status, tt.headers...)
				if status := get(t, client, "https://api.test/"); status != tt.status {
					t.Errorf("HTTP %d; want %d", status, tt.status)
				}
				if n := len(w.requests()); n != tt.want || f.server.Refreshes() != tt.refreshes {
					t.Errorf("%d requests and %d refreshes; want %d and %d", n, f.server.Refreshes(), tt.want, tt.refreshes)
				}
				f.clean(t)
			})
		})
	}
}

func TestNoncesStayWithTheirOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newDPoPFixture(t, oauthtest.Config{}, withOrigins("https://a.test", "https://b.test")).start(t)
		var nonces []string
		noting := func(nonce string) roundTripFunc {
			return func(r *http.Request) (*http.Response, error) {
				nonces = append(nonces, claim(t, r, "nonce"))
				return answering(200, "DPoP-Nonce", nonce)(r)
			}
		}
		client, w := f.wired()
		w.hosts["a.test"], w.hosts["b.test"] = noting("n-a"), noting("n-b")
		for _, url := range []string{"https://a.test/", "https://b.test/", "https://a.test/", "https://a.test:443/other", "https://b.test/"} {
			if strings.Contains(url, ":443") {
				w.hosts["a.test:443"] = noting("n-a")
			}
			get(t, client, url)
		}
		if got := strings.Join(nonces, " "); got != "  n-a n-a n-b" {
			t.Errorf("nonces %q; want none at first, then each origin's own", got)
		}
	})
}

// claim returns a string claim of the request's proof, or "".
func claim(t *testing.T, r *http.Request, name string) string {
	t.Helper()
	parts := strings.Split(r.Header.Get("DPoP"), ".")
	if len(parts) != 3 {
		t.Fatalf("%s carries no proof", r.URL)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	value, _ := claims[name].(string)
	return value
}

// The origin check has seen the URL. A proof for whatever Host says could be shown to a
// server to which no token may go.
func TestProofIsForTheURLWhateverHostSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newDPoPFixture(t, oauthtest.Config{}, withOrigins("https://10.0.0.1")).start(t)
		_, w := f.wired()
		var htu, htm string
		w.hosts["10.0.0.1"] = func(r *http.Request) (*http.Response, error) {
			htu, htm = claim(t, r, "htu"), claim(t, r, "htm")
			return answering(200)(r)
		}
		req, err := http.NewRequestWithContext(t.Context(), "", "https://10.0.0.1/x?y", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host, req.Method = "api.test", ""
		resp, err := f.Transport(w).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if htu != "https://10.0.0.1/x" || htm != "GET" || req.Header.Get("DPoP") != "" {
			t.Errorf("proof for %s %s, the caller's header has %q", htm, htu, req.Header)
		}
	})
}

func TestProofsAreDatedByTheAPIsClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ahead := 10 * minute
		f := newDPoPFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) {
			client := cfg.OAuthClient.(*oauth.Client).Config()
			client.Now = func() time.Time { return time.Now().Add(ahead) }
			cfg.OAuthClient = oauth.NewClient(client)
		})
		f.first.Skew = -ahead // as if the pair came while the clock was right, and it was moved
		f.start(t)
		client, w := f.wired()
		for want := 2; want <= 3; want++ { // the first one learns
			if status := get(t, client, f.server.Resource()); status != http.StatusOK || len(w.requests()) != want {
				t.Errorf("HTTP %d after %d requests; want 200 after %d", status, len(w.requests()), want)
			}
		}
		f.clean(t)
	})
}

func TestF48b_DowngradeLosesNoRefreshTokenAndShowsNoBearerToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newDPoPFixture(t, oauthtest.Config{RevokeOldAccess: false}).start(t)
		f.server.Script(oauthtest.Fault{Grant: "refresh_token", Times: 8, Edit: func(fields map[string]any) { fields["token_type"] = "Bearer" }})
		err := f.ForceRefresh(t.Context())
		is(t, err, oauth.ErrDowngraded, oauth.ErrMisconfigured)
		f.inState(t, refresh.StateMisconfigured)
		kept := f.saved(t)
		if kept.RefreshToken == f.first.RefreshToken || kept.AccessToken != f.first.AccessToken || kept.Type() != "DPoP" {
			t.Errorf("saved is %v; want the living token with the new refresh token", kept)
		}
		f.mustCall(t) // law 7

		f.untilExpired()
		if _, err := f.TokenContext(t.Context()); !errors.Is(err, oauth.ErrDowngraded) {
			t.Errorf("after the token's end: %v; want the reason", err)
		}
		if n := f.events.count(refresh.EventLoginRequired); n != 0 {
			t.Error("the session was given up")
		}
		time.Sleep(time.Hour) // eight are through: the server does DPoP again
		f.mustCall(t)
		f.clean(t) // in particular, no bound token went out bare
	})
}

// A pair beside any other error is nobody's.
func TestPairBesideAnotherErrorIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) {
			cfg.OAuthClient = refresh.RefresherFunc(func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
				return &oauth.TokenPair{AccessToken: "x", RefreshToken: "y"}, &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Status: 503, Sent: true}
			})
		}).start(t)
		is(t, f.ForceRefresh(t.Context()), oauth.ErrTransient)
		if f.saved(t).RefreshToken != f.first.RefreshToken {
			t.Error("the pair was taken")
		}
	})
}

func TestLostDPoPKeyNeedsALogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newDPoPFixture(t, oauthtest.Config{})
		f.first.DPoPKey = oauth.DPoPKey{}
		f.start(t)
		client, w := f.wired()
		if _, err := client.Get(f.server.Resource()); !errors.Is(err, oauth.ErrMisconfigured) || len(w.requests()) != 0 { //nolint:bodyclose // it fails
			t.Errorf("error %v after %d requests; want the wire silent", err, len(w.requests()))
		}
		before := f.requests()
		is(t, f.ForceRefresh(t.Context()), oauth.ErrLoginRequired)
		if f.requests() != before || f.saved(t).RefreshToken != f.first.RefreshToken {
			t.Error("a request was sent, or the pair is gone")
		}
	})
}

func TestGRPCRefusesDPoPTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newDPoPFixture(t, oauthtest.Config{}).start(t)
		if md, err := f.GetRequestMetadata(t.Context()); !errors.Is(err, oauth.ErrMisconfigured) || md != nil || !strings.Contains(err.Error(), "DPoP") {
			t.Errorf("got %d headers, error %v", len(md), err)
		}
	})
}

func TestDPoPTokenForAResourceOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newDPoPFixture(t, oauthtest.Config{DPoPNonceLifetime: time.Minute}).start(t)
		client := &http.Client{Transport: f.Resource(f.server.Resource()).Transport(f.server.Client().Transport)}
		if status := get(t, client, f.server.Resource()); status != http.StatusOK {
			t.Errorf("HTTP %d", status)
		}
		f.mustCall(t)
		f.clean(t)
	})
}
