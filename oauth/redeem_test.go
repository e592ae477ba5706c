package oauth_test

import (
	"errors"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// The person has logged in; the token endpoint has a bad moment.
func TestACodeThatWasCertainlyNotRedeemedIsSentAgain(t *testing.T) {
	const grant = "authorization_code"
	for name, tt := range map[string]struct {
		fault oauthtest.Fault
		fails bool
		sent  int // requests that reach the token endpoint
		takes time.Duration
	}{
		"503":                              {oauthtest.Fault{Grant: grant, Status: 503, Body: `{}`, Times: 3}, false, 4, 7 * time.Second},
		"503 for good":                     {oauthtest.Fault{Grant: grant, Status: 503, Body: `{}`, Times: -1}, true, 6, 31 * time.Second},
		"429 with Retry-After":             {oauthtest.Fault{Grant: grant, Status: 429, RetryAfter: 20 * time.Second}, false, 2, 20 * time.Second},
		"429 until the code is dead":       {oauthtest.Fault{Grant: grant, Status: 429, RetryAfter: 2 * time.Minute}, true, 1, 0},
		"nobody listens":                   {oauthtest.Fault{Grant: grant, Down: true, Times: 2}, false, 1, 3 * time.Second},
		"a connection that breaks":         {oauthtest.Fault{Grant: grant, Reset: true}, true, 1, 0},
		"an answer that is lost":           {oauthtest.Fault{Grant: grant, Reset: true, AfterCommit: true}, true, 1, 0},
		"trouble that may be of any kind":  {oauthtest.Fault{Grant: grant, Status: 500, Body: `{}`}, true, 1, 0},
		"a gateway that has lost somebody": {oauthtest.Fault{Grant: grant, Status: 502, HTML: true}, true, 1, 0},
		"a word":                           {oauthtest.Fault{Grant: grant, Status: 400, Body: `{"error":"invalid_grant"}`}, true, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := oauthtest.New(oauthtest.Config{})
				cfg := s.OAuthConfig()
				cfg.HTTPClient, cfg.Output, cfg.RedirectURL = s.Client(), new(screen), "http://127.0.0.1/callback"
				c := oauth.NewClient(cfg)
				req, err := c.AuthCodeURL()
				if err != nil {
					t.Fatal(err)
				}
				location, err := s.Allow(t.Context(), req.URL, oauthtest.DefaultUser)
				if err != nil {
					t.Fatal(err)
				}
				u, err := url.Parse(location)
				if err != nil {
					t.Fatal(err)
				}
				req.Answer = u.Query()
				s.Script(tt.fault)
				began := time.Now()
				pair, err := c.ResumeLogin(t.Context(), req, nil)
				if (err != nil) != tt.fails || err == nil && pair.RefreshToken == "" {
					t.Errorf("%v, %v; want an error: %t", pair, err, tt.fails)
				}
				if took := time.Since(began); took != tt.takes {
					t.Errorf("it takes %v; want %v", took, tt.takes)
				}
				if n := s.Requests(oauthtest.TokenEndpoint); n != tt.sent {
					t.Errorf("the code is sent %d times; want %d", n, tt.sent)
				}
			})
		})
	}
}

// A login that another one has refused, or that is over, is not tried again.
func TestACallbackWithTroubleIsNotRedeemed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{})
		cfg := s.OAuthConfig()
		cfg.HTTPClient, cfg.RedirectURL = s.Client(), "http://127.0.0.1/callback"
		c := oauth.NewClient(cfg)
		req, err := c.AuthCodeURL()
		if err != nil {
			t.Fatal(err)
		}
		req.Answer = url.Values{"state": {req.State}, "iss": {s.Issuer()}, "error": {"temporarily_unavailable"}}
		began := time.Now()
		if _, err := c.ResumeLogin(t.Context(), req, nil); !errors.Is(err, oauth.ErrTransient) || time.Since(began) != 0 {
			t.Errorf("%v after %v; want ErrTransient at once", err, time.Since(began))
		}
	})
}
