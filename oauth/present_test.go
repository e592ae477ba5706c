package oauth_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

func TestUserinfoProvesABoundToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, ahead := range []time.Duration{0, 10 * time.Minute} {
			s := oauthtest.New(oauthtest.Config{RequireDPoP: true, DPoPNonceLifetime: time.Minute})
			c := dpopClient(s, func(cfg *oauth.Config) { cfg.Now = func() time.Time { return time.Now().Add(ahead) } })
			pair, err := c.Password(t.Context(), "alice", "wonderland")
			if err != nil {
				t.Fatal(err)
			}
			for step, want := range []struct {
				pause    time.Duration
				requests int
			}{{0, 2}, {0, 3}, {3 * time.Minute, 5}} { // learns the nonce, has it, learns the next
				time.Sleep(want.pause)
				info, err := c.Userinfo(t.Context(), pair)
				if err != nil || info.Subject == "" || s.Requests(oauthtest.UserinfoEndpoint) != want.requests {
					t.Errorf("step %d: %v, %v after %d requests; want %d", step, info, err, s.Requests(oauthtest.UserinfoEndpoint), want.requests)
				}
			}
			// Its nonces are none of the token endpoint's.
			before := s.Requests(oauthtest.TokenEndpoint)
			if _, err := c.Refresh(t.Context(), pair); err != nil || s.Requests(oauthtest.TokenEndpoint)-before > 2 {
				t.Errorf("refresh: %v", err)
			}
			wantNoMistakes(t, s)
		}
	})
}

func TestUserinfoGoesByThePairsClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{RequireDPoP: true})
		wrong := func(cfg *oauth.Config) { cfg.Now = func() time.Time { return time.Now().Add(time.Hour) } }
		pair, err := dpopClient(s, wrong).Password(t.Context(), "alice", "wonderland")
		if err != nil {
			t.Fatal(err)
		}
		// Another process has the pair, and no answer yet.
		if _, err := dpopClient(s, wrong).Userinfo(t.Context(), pair); err != nil || s.Requests(oauthtest.UserinfoEndpoint) != 1 {
			t.Errorf("%d requests, error %v; want one that works", s.Requests(oauthtest.UserinfoEndpoint), err)
		}
	})
}

func TestRefusedProofIsNotTakenForARejectedToken(t *testing.T) {
	pair := &oauth.TokenPair{AccessToken: "a", TokenType: "DPoP", DPoPKey: plantedKey()}
	for _, tt := range []struct {
		status    int
		challenge string
		code      string
		want      error
		hint      string
	}{
		{401, `DPoP error="invalid_dpop_proof"`, "invalid_dpop_proof", oauth.ErrMisconfigured, "clock"},
		{401, `dpop Error="USE_DPOP_NONCE"`, "use_dpop_nonce", oauth.ErrTransient, ""},
		{401, `DPoP error="invalid_token"`, "", oauth.ErrTransient, "renew"},
		{401, `Bearer error="invalid_dpop_proof"`, "", oauth.ErrTransient, "renew"},
		{403, `DPoP error="invalid_dpop_proof"`, "", oauth.ErrTransient, ""},
	} {
		w := answering(tt.status, "", "WWW-Authenticate", tt.challenge)
		c := over(w, func(cfg *oauth.Config) { cfg.Endpoints.Userinfo = "https://auth.test/userinfo?x=1" })
		_, err := c.Userinfo(t.Context(), pair)
		fail := failure(t, err)
		if !errors.Is(err, tt.want) || fail.Code != tt.code || !strings.Contains(fail.Hint, tt.hint) || (tt.hint == "") != (fail.Hint == "") {
			t.Errorf("%d %s: %v; want %v with code %q", tt.status, tt.challenge, err, tt.want, tt.code)
		}
		sent := w.requests()
		if len(sent) != 1 || sent[0].Header.Get("Authorization") != "DPoP a" || sent[0].Header.Get("Accept") != "application/json" {
			t.Errorf("%s: %d requests; want one", tt.challenge, len(sent))
		}
		header, proof := sent[0].Header.Get("DPoP"), ""
		if parts := strings.Split(header, "."); len(parts) == 3 {
			proof = header
		}
		if proof == "" || sent[0].Method != http.MethodGet {
			t.Errorf("%s: the request carries no proof: %q", tt.challenge, header)
		}
	}
}

func TestKeylessDPoPTokenIsNotPresented(t *testing.T) {
	w := answering(200, `{"sub":"u"}`)
	c := over(w, func(cfg *oauth.Config) { cfg.Endpoints.Userinfo = "https://auth.test/userinfo" })
	for kind, want := range map[string]string{"DPoP": "without its key", "mac": `type "mac"`} {
		_, err := c.Userinfo(t.Context(), &oauth.TokenPair{AccessToken: "a", TokenType: kind})
		if !errors.Is(err, oauth.ErrMisconfigured) || !strings.Contains(err.Error(), want) || len(w.requests()) != 0 {
			t.Errorf("%s: %v; want ErrMisconfigured that says %s, and no request", kind, err, want)
		}
	}
}
