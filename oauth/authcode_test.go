package oauth_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// webClient is a program with a callback of its own.
func webClient(s *oauthtest.Server, change ...func(*oauth.Config)) *oauth.Client {
	cfg := s.OAuthConfig()
	cfg.RedirectURL = "http://127.0.0.1:8085/login/return"
	for _, f := range change {
		f(&cfg)
	}
	return oauth.NewClient(cfg)
}

// codeLogin logs in by a callback of the program's own.
func codeLogin(t *testing.T, s *oauthtest.Server, c *oauth.Client) *oauth.TokenPair {
	t.Helper()
	req, err := c.AuthCodeURL()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := c.Exchange(t.Context(), req, newPerson(s, s.Client().Transport).callback(t, req.URL))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func TestLoginThroughACallbackOfTheProgramsOwn(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	c := webClient(s, func(cfg *oauth.Config) { cfg.RequireIss = true })
	req, err := c.AuthCodeURL()
	if err != nil {
		t.Fatal(err)
	}
	query := newPerson(s, s.Client().Transport).callback(t, req.URL)

	// The request waits in the browser's session meanwhile.
	kept, err := json.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	var back oauth.LoginRequest
	if err := json.Unmarshal(kept, &back); err != nil {
		t.Fatal(err)
	}
	pair, err := c.Exchange(t.Context(), &back, query)
	if err != nil {
		t.Fatal(err)
	}
	if pair.RefreshToken == "" || pair.IDToken == "" || pair.ExpiresAt.IsZero() {
		t.Errorf("got %v", plain(pair))
	}
	wantWorking(t, s, pair)
	wantNoMistakes(t, s)
}

func TestAuthCodeURLAsksForWhatTheFlowNeeds(t *testing.T) {
	c := over(answering(200, okBody), func(cfg *oauth.Config) {
		cfg.AuthURL = "https://auth.test/auth?tenant=t&state=forged"
		cfg.RedirectURL = "https://app.test/cb"
		cfg.Scopes = []string{"openid", "offline_access"}
		cfg.Resources = []string{"https://one.test", "https://two.test"}
		cfg.AuthParams = url.Values{"prompt": {"consent"}, "code_challenge_method": {"plain"}, "response_type": {"token"}, "client_id": {"other"}}
	})
	req, err := c.AuthCodeURL()
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(req.URL)
	if err != nil {
		t.Fatal(err)
	}
	want := url.Values{
		"tenant": {"t"}, "prompt": {"consent"}, "response_type": {"code"}, "client_id": {"id"},
		"redirect_uri": {"https://app.test/cb"}, "scope": {"openid offline_access"},
		"resource": {"https://one.test", "https://two.test"}, "state": {req.State}, "nonce": {req.Nonce},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(req.Verifier)}, "code_challenge_method": {"S256"},
	}
	if got := u.Query().Encode(); got != want.Encode() {
		t.Errorf("got  %s\nwant %s", got, want.Encode())
	}
	if strings.Contains(req.URL, req.Verifier) {
		t.Error("the verifier is in the URL")
	}
	if n := len(req.Verifier); n < 43 || n > 128 { // RFC 7636 section 4.1
		t.Errorf("verifier of %d characters", n)
	}
	if len(req.State) < 22 || len(req.Nonce) < 22 { // 128 bits
		t.Errorf("state of %d characters, nonce of %d", len(req.State), len(req.Nonce))
	}
	other, _ := c.AuthCodeURL()
	if other.State == req.State || other.Verifier == req.Verifier {
		t.Error("two logins share state or verifier")
	}
}

func TestAuthCodeURLReportsMistakes(t *testing.T) {
	for name, change := range map[string]func(*oauth.Config){
		"no redirect":      func(c *oauth.Config) { c.RedirectURL = "" },
		"no endpoint":      func(c *oauth.Config) { c.AuthURL = "" },
		"plain http":       func(c *oauth.Config) { c.AuthURL = "http://auth.example.com/" },
		"iss of nobody":    func(c *oauth.Config) { c.RequireIss, c.Issuer = true, "" },
		"client id absent": func(c *oauth.Config) { c.ClientID = "" },
	} {
		req, err := webClient(oauthtest.New(oauthtest.Config{}), change).AuthCodeURL()
		if !errors.Is(err, oauth.ErrMisconfigured) || req != nil {
			t.Errorf("%s: got %v, %v; want ErrMisconfigured", name, req, err)
		}
	}
}

func TestExchangeSendsNothingUnlessTheAnswerFits(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	c := webClient(s)
	req, _ := c.AuthCodeURL()
	for name, tt := range map[string]struct {
		req   *oauth.LoginRequest
		query url.Values
		kind  error
	}{
		"wrong state":   {req, url.Values{"code": {secret}, "state": {secret}}, oauth.ErrLoginRequired},
		"other issuer":  {req, url.Values{"code": {secret}, "state": {req.State}, "iss": {secret}}, oauth.ErrMisconfigured},
		"refused":       {req, url.Values{"error": {"access_denied"}, "error_description": {secret}, "state": {req.State}}, oauth.ErrAccessDenied},
		"no request":    {nil, url.Values{"code": {secret}, "state": {""}}, oauth.ErrMisconfigured},
		"empty request": {&oauth.LoginRequest{}, url.Values{"code": {secret}, "state": {""}}, oauth.ErrMisconfigured},
	} {
		pair, err := c.Exchange(t.Context(), tt.req, tt.query)
		if fail := failure(t, err); pair != nil || !errors.Is(err, tt.kind) || fail.Sent {
			t.Errorf("%s: got %v, %v; want %v and nothing sent", name, pair, err, tt.kind)
		}
	}
	if n := s.Requests(oauthtest.TokenEndpoint); n != 0 {
		t.Errorf("%d token requests; want none", n)
	}
}

func TestRefusedLoginIsAccessDenied(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	c := webClient(s)
	req, _ := c.AuthCodeURL()
	p := newPerson(s, s.Client().Transport)
	p.denies = true
	_, err := c.Exchange(t.Context(), req, p.callback(t, req.URL))
	if fail := failure(t, err); !errors.Is(err, oauth.ErrAccessDenied) || !errors.Is(err, oauth.ErrLoginRequired) || fail.Op != "authorize" {
		t.Errorf("got %v; want ErrAccessDenied", err)
	}
}

func TestExchangeFailuresAreToldApart(t *testing.T) {
	for name, tt := range map[string]struct {
		fault   oauthtest.Fault
		kind    error
		unknown bool
	}{
		"answer lost":    {oauthtest.Fault{Reset: true, AfterCommit: true}, oauth.ErrTransient, true},
		"server down":    {oauthtest.Fault{Down: true}, oauth.ErrTransient, false},
		"503":            {oauthtest.Fault{Status: 503, HTML: true}, oauth.ErrTransient, false},
		"code is dead":   {oauthtest.Fault{Status: 400, Body: `{"error":"invalid_grant"}`}, oauth.ErrLoginRequired, false},
		"client unknown": {oauthtest.Fault{Status: 401, Body: `{"error":"invalid_client"}`}, oauth.ErrMisconfigured, false},
		"redirect":       {oauthtest.Fault{Redirect: "https://evil.test/"}, oauth.ErrMisconfigured, false},
		"cut":            {oauthtest.Fault{CutBody: true}, oauth.ErrTransient, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := oauthtest.New(oauthtest.Config{})
			c := webClient(s)
			req, _ := c.AuthCodeURL()
			query := newPerson(s, s.Client().Transport).callback(t, req.URL)
			s.Script(tt.fault)
			_, err := c.Exchange(t.Context(), req, query)
			fail := failure(t, err)
			if !errors.Is(err, tt.kind) || fail.Unknown() != tt.unknown || fail.Op != "exchange" {
				t.Errorf("got %v (unknown: %v); want %v", err, fail.Unknown(), tt.kind)
			}
			for what, value := range map[string]string{"code": query.Get("code"), "verifier": req.Verifier, "state": req.State} {
				if strings.Contains(fmt.Sprintf("%+v %#v", err, err), value) {
					t.Errorf("the %s is in the error", what)
				}
			}
			if n := s.Requests(oauthtest.TokenEndpoint); n > 1 {
				t.Errorf("the code was sent %d times", n)
			}
		})
	}
}

func TestWrongVerifierIsRefusedByTheServer(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	c := webClient(s)
	req, _ := c.AuthCodeURL()
	query := newPerson(s, s.Client().Transport).callback(t, req.URL)
	other, _ := c.AuthCodeURL()
	other.State = req.State
	if _, err := c.Exchange(t.Context(), other, query); !errors.Is(err, oauth.ErrLoginRequired) {
		t.Errorf("got %v; want ErrLoginRequired: the code was asked for with another challenge", err)
	}
}
