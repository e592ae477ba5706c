package connect_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/connect"
	"github.com/evertoken/evertoken/internal/taint"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/oauth/register"
)

// roads answers for all hosts but the API's own, and notes who was shown a token.
type roads struct {
	api   http.RoundTripper
	leads map[string]string // from a URL to another

	mu   sync.Mutex
	seen []string // "URL" or "URL with a token", in order
}

// RoundTrip implements http.RoundTripper.
func (r *roads) RoundTrip(req *http.Request) (*http.Response, error) {
	address := req.URL.String()
	r.mu.Lock()
	if req.Header.Get("Authorization") != "" {
		r.seen = append(r.seen, address+" with a token")
	} else {
		r.seen = append(r.seen, address)
	}
	r.mu.Unlock()
	if to := r.leads[address]; to != "" {
		return replied(req, http.StatusTemporaryRedirect, "", "Location", to), nil
	}
	if r.api != nil && strings.HasPrefix(address, "https://auth.test/") {
		return r.api.RoundTrip(req)
	}
	return replied(req, http.StatusOK, "hello"), nil
}

// The API's origin gets the token. Others get what the program sends them as it is, by the
// program or by a redirect, and who was sent there by another origin gets none either.
func TestTokenIsForTheAPIsOriginAlone(t *testing.T) {
	const api = "https://auth.test/resource" // oauthtest's API is at its server
	for name, tt := range map[string]struct {
		leads map[string]string
		asked string
		want  []string
	}{
		"the API":                 {nil, api, []string{api + " with a token"}},
		"another path":            {nil, "https://auth.test/x", []string{"https://auth.test/x with a token"}},
		"another spelling":        {nil, "https://AUTH.test:443/x", []string{"https://AUTH.test:443/x with a token"}},
		"another host":            {nil, "https://evil.test/x", []string{"https://evil.test/x"}},
		"a host that begins so":   {nil, "https://auth.test.evil.test/", []string{"https://auth.test.evil.test/"}},
		"a host below":            {nil, "https://a.auth.test/", []string{"https://a.auth.test/"}},
		"another port":            {nil, "https://auth.test:8443/", []string{"https://auth.test:8443/"}},
		"plain HTTP":              {nil, "http://auth.test/", []string{"http://auth.test/"}},
		"a look-alike":            {nil, "https://\u0430uth.test/", []string{"https://%D0%B0uth.test/"}},
		"led away":                {map[string]string{api: "https://evil.test/x"}, api, []string{api + " with a token", "https://evil.test/x"}},
		"led away and back":       {map[string]string{api: "https://evil.test/x", "https://evil.test/x": "https://auth.test/y"}, api, []string{api + " with a token", "https://evil.test/x", "https://auth.test/y"}},
		"led here from elsewhere": {map[string]string{"https://evil.test/x": "https://auth.test/y"}, "https://evil.test/x", []string{"https://evil.test/x", "https://auth.test/y"}},
		"led to plain HTTP":       {map[string]string{api: "http://auth.test/x"}, api, []string{api + " with a token", "http://auth.test/x"}},
		"led within":              {map[string]string{api: "https://auth.test/y"}, api, []string{api + " with a token", "https://auth.test/y with a token"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPerson(oauthtest.Config{})
				r := new(roads)
				s := p.process(t, func(cfg *connect.Config) { cfg.Transport = r })
				r.api = p.server.Client().Transport
				if err := s.Connect(t.Context()); err != nil {
					t.Fatal(err)
				}
				r.leads, r.seen, r.api = tt.leads, nil, nil
				resp, err := s.Client().Post(tt.asked, "text/plain", strings.NewReader("hello"))
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if !slices.Equal(r.seen, tt.want) {
					t.Errorf("got %q; want %q", r.seen, tt.want)
				}
			})
		})
	}
}

// A client that another server has made is not shown to this one, neither its ID nor its secret.
func TestKeptClientOfAnotherServerIsNotShownToThisOne(t *testing.T) {
	for name, other := range map[string]register.Registration{
		"another host":    {Issuer: "https://third.test"},
		"a path":          {Issuer: "https://auth.test/tenant"},
		"another port":    {Issuer: "https://auth.test:8443"},
		"without issuer":  {},
		"what begins so":  {Issuer: "https://auth.test.evil.test"},
		"plain HTTP":      {Issuer: "http://auth.test"},
		"a person before": {Issuer: "https://auth.test@evil.test"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPerson(oauthtest.Config{})
				other.ClientID, other.ClientSecret = "client-of-another", "s3cret-of-another"
				b := new(taint.Book)
				b.Secret("another's ID", other.ClientID)
				b.Secret("another's secret", other.ClientSecret)
				world := &taint.Servers{Book: b, Else: p.server.Client().Transport}
				s := p.process(t, func(cfg *connect.Config) {
					cfg.OAuth.HTTPClient, cfg.Transport = &http.Client{Transport: world}, world
					cfg.Client.Kept = []*register.Registration{&other}
				})
				mustCall(t, "with a client of its own", s)
				p.want(t, "with a client of its own", 1, 1)
				b.Check(t, 2, 4)
			})
		})
	}
}

// The page of a login is looked at before the person sees it, and whatever it redirects to is
// for the browser: this program's own port, too, which would take it for the person's answer.
func TestLookAtTheLoginsPageFollowsNoRedirect(t *testing.T) {
	d := newDesk(t, oauthtest.Config{})
	first := d.process(t, d.byBrowser)
	go func() { d.allow(t, <-d.window) }()
	mustCall(t, "first start", first)
	first.Close()
	d.server.RevokeAll(oauthtest.DefaultUser)
	d.age(t, time.Hour)

	errElsewhere := errors.New("elsewhere")
	looked := 0
	second := d.process(t, d.byBrowser, func(cfg *connect.Config) {
		cfg.OAuth.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			switch {
			case r.URL.Host == "elsewhere.test":
				t.Error("the redirect was followed")
				return nil, errElsewhere
			case r.Method == http.MethodGet && strings.Contains(r.URL.RawQuery, "response_type=code"):
				looked++
				return replied(r, http.StatusFound, "", "Location", "https://elsewhere.test/?error=x&"+r.URL.RawQuery), nil
			}
			return http.DefaultTransport.RoundTrip(r)
		})}
	})
	go func() { d.allow(t, <-d.window) }()
	mustCall(t, "after the session's end", second)
	if looked != 1 {
		t.Errorf("the login's page was looked at %d times; want once", looked)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
