package refresh_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// everywhere answers for every host, by its name in the table or else with 200.
type everywhere map[string]roundTripFunc

func (e everywhere) on(w *wire) *wire {
	w.base = roundTripFunc(func(r *http.Request) (*http.Response, error) {
		if answer := e[r.URL.Host]; answer != nil {
			return answer(r)
		}
		return answering(http.StatusOK)(r)
	})
	return w
}

// try sends a POST through the transport, and returns its error.
func try(t *testing.T, transport http.RoundTripper, url string) error {
	t.Helper()
	req, body := post(t, url)
	resp, err := transport.RoundTrip(req)
	if err == nil {
		drain(t, resp)
	}
	if !body.closed.Load() {
		t.Errorf("%s: the body was not closed", url)
	}
	return err
}

// refusedFor fails the test unless err says that the token is not for the origin, and names
// the setting.
func refusedFor(t *testing.T, err error, origins ...string) {
	t.Helper()
	if !errors.Is(err, oauth.ErrMisconfigured) {
		t.Errorf("error %v; want one that matches ErrMisconfigured", err)
		return
	}
	for _, part := range append(origins, "AllowedOrigins") {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q; want %s in it", err, part)
		}
	}
}

func TestF92_TokenIsForTheFirstOriginUsed(t *testing.T) {
	for _, tt := range []struct {
		first, next string
		carries     bool
	}{
		{"https://api.test/a", "https://api.test/b?c", true},
		{"https://api.test/", "https://API.test:443/", true},
		{"https://api.test/", "https://api.test./", true},
		{"https://bücher.test/", "https://xn--bcher-kva.test/", true},
		{"https://[2001:db8::1]/", "https://[2001:DB8:0::1]:443/", true},
		{"https://localhost:8080/", "https://LOCALHOST:8080/x", true},
		{"https://api.test/", "https://apl.test/", false},
		{"https://api.test/", "https://api.test.evil.test/", false},
		{"https://api.test/", "https://sub.api.test/", false},
		{"https://sub.api.test/", "https://api.test/", false},
		{"https://api.test/", "https://api.test:8443/", false},
		{"https://api.test/", "http://localhost/", false},
		{"https://api.test/", "https://аpi.test/", false}, // a Cyrillic letter
		{"https://api.test/", "https://api.test@evil.test/", false},
		{"http://localhost:8080/", "http://localhost:8081/", false},
		{"http://localhost:8080/", "http://127.0.0.1:8080/", false},
		{"http://localhost:8080/", "https://localhost:8080/", false},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, oauthtest.Config{}).start(t)
			_, w := f.wired()
			everywhere{}.on(w)
			transport := f.Transport(w)
			if err := try(t, transport, tt.first); err != nil {
				t.Fatalf("%s, the first: %v", tt.first, err)
			}
			err := try(t, f.Transport(w), tt.next) // another transport of the same session
			if tt.carries && err != nil {
				t.Errorf("%s after %s: %v", tt.next, tt.first, err)
			}
			if !tt.carries {
				refusedFor(t, err)
				if n := len(w.requests()); n != 1 {
					t.Errorf("%s after %s: %d requests were sent; want the first alone", tt.next, tt.first, n)
				}
			}
			if w.bare() != 0 {
				t.Errorf("%s after %s: a request was sent without the token", tt.next, tt.first)
			}
		})
	}
}

func TestF92_RefusalNamesBothOriginsAndTheSetting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		_, w := f.wired()
		everywhere{}.on(w)
		transport := f.Transport(w)
		if err := try(t, transport, "https://api.test/"); err != nil {
			t.Fatal(err)
		}
		refusedFor(t, try(t, transport, "https://xn--bcher-kva.test:8443/path?secret=1"), "https://api.test,", "https://xn--bcher-kva.test:8443:")
		refusedFor(t, try(t, transport, "https://bücher.test/"), "https://xn--bcher-kva.test:")
		listed := f.sibling(t, withOrigins("https://a.test", "https://b.test:8443")).resume(t)
		refusedFor(t, try(t, listed.Transport(w), "https://c.test/path?secret=1"), "https://a.test", "https://b.test:8443", "https://c.test,")
		for _, url := range []string{"https://c.test/?secret=1", "https://c.test/secret"} {
			if err := try(t, transport, url); err == nil || strings.Contains(err.Error(), "secret") {
				t.Errorf("error %v; want one without path and query", err)
			}
		}
	})
}

func TestOriginThatGotNoTokenBindsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		_, w := f.wired()
		everywhere{}.on(w)
		transport := f.Transport(w)
		if err := try(t, transport, "https://typo.test/"); !errors.Is(err, refresh.ErrStopped) {
			t.Fatalf("error %v; want ErrStopped, as there is no token", err)
		}
		f.start(t)
		if err := try(t, transport, "http://typo.test/"); !errors.Is(err, oauth.ErrMisconfigured) {
			t.Fatalf("error %v; want ErrMisconfigured", err)
		}
		own, _ := post(t, "https://typo.test/")
		own.Header.Set("Authorization", "Basic eDp5")
		resp, err := transport.RoundTrip(own)
		if err != nil {
			t.Fatal(err)
		}
		drain(t, resp)
		if err := try(t, transport, "https://api.test/"); err != nil {
			t.Errorf("the first request with the token: %v", err)
		}
	})
}

func TestOneOfManyOriginsUsedAtOnceIsTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		f.server.Script(oauthtest.Fault{Delay: time.Second}) // all wait for one token
		f.first.ExpiresAt = time.Now()
		f.start(t)
		_, w := f.wired()
		everywhere{}.on(w)
		transport := f.Transport(w)
		var callers sync.WaitGroup
		for i := range 40 {
			callers.Go(func() {
				err := try(t, transport, "https://"+string(rune('a'+i%20))+".test/")
				if err != nil && !errors.Is(err, oauth.ErrMisconfigured) {
					t.Error(err)
				}
			})
		}
		callers.Wait()
		for _, r := range w.requests() {
			if r.url != w.requests()[0].url {
				t.Errorf("the token went to %s and %s", r.url, w.requests()[0].url)
			}
		}
		if len(w.requests()) == 0 {
			t.Error("no request was sent")
		}
	})
}

func TestSessionsOfAPoolHaveAFirstOriginEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		pool := refresh.NewPool(refresh.PoolConfig{Config: refresh.Config{OAuthClient: oauth.NewClient(f.server.OAuthConfig()), Store: new(tokenstore.Memory)}})
		if err := pool.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer pool.Stop()
		_, w := f.wired()
		everywhere{}.on(w)
		for name, host := range map[string]string{"a": "https://a.test", "b": "https://b.test"} {
			pair, err := f.server.Login("alice")
			if err != nil {
				t.Fatal(err)
			}
			m, err := pool.Add(t.Context(), name, pair)
			if err != nil {
				t.Fatal(err)
			}
			if err := try(t, m.Transport(w), host+"/"); err != nil {
				t.Error(err)
			}
		}
		m, err := pool.Session(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		refusedFor(t, try(t, m.Transport(w), "https://b.test/"), "https://a.test", "https://b.test")
	})
}

func TestAnyOriginIsSaidOutLoud(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}, withOrigins(refresh.AnyOrigin)).start(t)
		client, w := f.wired()
		everywhere{
			"a.test": func(r *http.Request) (*http.Response, error) {
				if r.URL.Path == "/away" {
					return answering(http.StatusFound, "Location", "https://b.test/")(r)
				}
				return answering(http.StatusOK)(r)
			},
		}.on(w)
		for _, url := range []string{"https://a.test/", "https://b.test/", "https://a.test/away"} {
			get(t, client, url)
		}
		if w.bare() != 1 || w.requests()[3].authorization != "" {
			t.Error("want the token with what the program's requests name, and not along a redirect")
		}
		if err := try(t, f.Transport(w), "http://c.test/"); !errors.Is(err, oauth.ErrMisconfigured) {
			t.Errorf("plain HTTP: %v", err)
		}
	})
}

// Whoever answers elsewhere has chosen where the next request goes, and its path.
func TestF91_WhatLeftTheOriginStaysBare(t *testing.T) {
	type hop struct {
		status int
		to     string
	}
	for name, tt := range map[string]struct {
		origins []string
		hops    []hop
		carries []bool
	}{
		"there and back":                {nil, []hop{{302, "https://b.test/1"}, {302, "https://a.test/2"}}, []bool{true, false, false}},
		"back by 307, with the body":    {nil, []hop{{307, "https://b.test/1"}, {307, "https://a.test/2"}}, []bool{true, false, false}},
		"back by 308, with the body":    {nil, []hop{{308, "https://b.test/1"}, {308, "https://a.test/2"}}, []bool{true, false, false}},
		"mixed":                         {nil, []hop{{301, "https://b.test/1"}, {308, "https://a.test/2"}, {303, "https://a.test/3"}}, []bool{true, false, false, false}},
		"far away and back":             {nil, []hop{{302, "https://b.test/1"}, {302, "https://c.test/2"}, {302, "https://a.test/3"}, {302, "https://a.test/4"}}, []bool{true, false, false, false, false}},
		"another port and back":         {nil, []hop{{302, "https://a.test:8443/1"}, {302, "https://a.test/2"}}, []bool{true, false, false}},
		"plain HTTP and back":           {nil, []hop{{302, "http://a.test/1"}, {302, "https://a.test/2"}}, []bool{true, false, false}},
		"plain HTTP of a listed origin": {[]string{"https://a.test", "http://a.test"}, []hop{{302, "http://a.test/1"}, {302, "https://a.test/2"}}, []bool{true, false, false}},
		"loopback and back":             {nil, []hop{{302, "http://127.0.0.1/1"}, {302, "https://a.test/2"}}, []bool{true, false, false}},
		"a subdomain and back":          {nil, []hop{{302, "https://x.a.test/1"}, {302, "https://a.test/2"}}, []bool{true, false, false}},
		"a look-alike and back":         {nil, []hop{{302, "https://а.test/1"}, {302, "https://a.test/2"}}, []bool{true, false, false}},
		"user information":              {nil, []hop{{302, "https://a.test@b.test/1"}, {302, "https://a.test/2"}}, []bool{true, false, false}},
		"within the origin":             {nil, []hop{{302, "/1"}, {307, "https://A.test:443/2"}, {308, "https://a.test./3"}}, []bool{true, true, true, true}},
		"listed there and back":         {[]string{"https://a.test", "https://b.test"}, []hop{{307, "https://b.test/1"}, {307, "https://a.test/2"}}, []bool{true, true, true}},
		"listed, by another":            {[]string{"https://a.test", "https://b.test"}, []hop{{302, "https://b.test/1"}, {302, "https://c.test/2"}, {302, "https://b.test/3"}}, []bool{true, true, false, false}},
		"any, there and back":           {[]string{refresh.AnyOrigin}, []hop{{302, "https://b.test/1"}, {302, "https://a.test/2"}}, []bool{true, false, false}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{}, withOrigins(tt.origins...)).start(t)
				client, w := f.wired()
				w.base = roundTripFunc(func(r *http.Request) (*http.Response, error) {
					n := len(w.requests()) - 1
					if n < len(tt.hops) {
						return answering(tt.hops[n].status, "Location", tt.hops[n].to)(r)
					}
					return answering(http.StatusOK)(r)
				})
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://a.test/", strings.NewReader("body"))
				if err != nil {
					t.Fatal(err)
				}
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				drain(t, resp)
				seen := w.requests()
				if len(seen) != len(tt.carries) {
					t.Fatalf("%d requests; want %d", len(seen), len(tt.carries))
				}
				for i, want := range tt.carries {
					if got := seen[i].authorization == "Bearer "+f.first.AccessToken; got != want {
						t.Errorf("request %d, to %s: token sent %v; want %v", i, seen[i].url, got, want)
					}
				}
				if n := f.tokenRequests(); n != 0 {
					t.Errorf("%d refreshes", n)
				}
			})
		})
	}
}

// httptest.ResponseRecorder and many fakes and caches do not say which request an answer
// is for, so the next one may be from anywhere.
func TestF91_RedirectOfUnknownOriginTravelsBare(t *testing.T) {
	for _, origins := range [][]string{nil, {"https://a.test"}, {refresh.AnyOrigin}} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, oauthtest.Config{}, withOrigins(origins...)).start(t)
			client, w := f.wired()
			w.base = roundTripFunc(func(r *http.Request) (*http.Response, error) {
				status := http.StatusOK
				if r.URL.Path == "/" {
					status = http.StatusFound
				}
				resp, err := answering(status, "Location", "/next")(r)
				resp.Request = nil
				return resp, err
			})
			get(t, client, "https://a.test/")
			if seen := w.requests(); len(seen) != 2 || seen[1].authorization != "" {
				t.Errorf("%v: %d requests; want a second one without the token", origins, len(seen))
			}
		})
	}
}

// A redirect does not make the first origin, and no redirect reaches it that does not begin there.
func TestF91_RequestWithOtherCredentialsDoesNotBind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		client, w := f.wired()
		everywhere{"a.test": answering(http.StatusFound, "Location", "https://b.test/")}.on(w)
		req, _ := post(t, "https://a.test/")
		req.Method, req.Body = http.MethodGet, nil
		req.Header.Set("Authorization", "Basic eDp5")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		drain(t, resp)
		if seen := w.requests(); len(seen) != 2 || seen[1].authorization != "" {
			t.Errorf("%d requests, %q; want the second one bare", len(seen), seen)
		}
		if err := try(t, f.Transport(w), "https://c.test/"); err != nil {
			t.Errorf("nothing was bound, and yet: %v", err)
		}
	})
}

func TestResourceTokenGoesToItsOwnOriginAlone(t *testing.T) {
	for _, tt := range []struct {
		resource string
		origins  []string
		url      string
		carries  bool
	}{
		{"https://mail.test", nil, "https://mail.test/inbox", true},
		{"https://mail.test/v1?x", nil, "https://MAIL.test:443/v2", true},
		{"https://mail.test", nil, "https://files.test/", false},
		{"https://mail.test", nil, "https://mail.test:8443/", false},
		{"https://mail.test", []string{"https://files.test"}, "https://files.test/", false},
		{"https://mail.test", []string{"https://files.test"}, "https://mail.test/", true},
		{"https://mail.test", []string{refresh.AnyOrigin}, "https://files.test/", true},
		{"http://127.0.0.1:8080", nil, "http://127.0.0.1:8080/", true},
		{"http://mail.test", nil, "https://mail.test/", false}, // not its origin
		{"urn:mail", []string{"https://mail.test"}, "https://mail.test/", true},
		{"urn:mail", []string{"https://mail.test"}, "https://files.test/", false},
		{"api://guid", nil, "https://mail.test/", true},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, oauthtest.Config{}, withOrigins(tt.origins...)).start(t)
			_, w := f.wired()
			everywhere{}.on(w)
			err := try(t, f.Resource(tt.resource).Transport(w), tt.url)
			if tt.carries && (err != nil || w.bare() != 0) {
				t.Errorf("the token of %s, allowed %v, to %s: %v", tt.resource, tt.origins, tt.url, err)
			}
			if !tt.carries {
				refusedFor(t, err)
				if n := len(w.requests()); n != 0 {
					t.Errorf("the token of %s, allowed %v, to %s: %d requests", tt.resource, tt.origins, tt.url, n)
				}
			}
		})
	}
}

// What a resource was used for does not bind the session, nor the other way round.
func TestResourcesAndTheSessionAreBoundApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		_, w := f.wired()
		everywhere{}.on(w)
		mail, files := f.Resource("https://mail.test").Transport(w), f.Resource("https://files.test").Transport(w)
		for _, tt := range []struct {
			transport http.RoundTripper
			url       string
		}{{mail, "https://mail.test/"}, {files, "https://files.test/"}, {f.Transport(w), "https://api.test/"}, {mail, "https://mail.test/"}} {
			if err := try(t, tt.transport, tt.url); err != nil {
				t.Errorf("%s: %v", tt.url, err)
			}
		}
		refusedFor(t, try(t, f.Transport(w), "https://mail.test/"), "https://api.test")
	})
}

// Host says which site at the URL's host is meant, and changes nothing about where the token
// may go.
func TestHostHeaderDoesNotDecideWhereTheTokenGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}, withOrigins("https://api.test")).start(t)
		_, w := f.wired()
		everywhere{}.on(w)
		for url, carries := range map[string]bool{"https://api.test/": true, "https://evil.test/": false} {
			req, _ := post(t, url)
			req.Host = "api.test"
			if carries {
				req.Host = "evil.test"
			}
			resp, err := f.Transport(w).RoundTrip(req)
			if err == nil {
				drain(t, resp)
			}
			if (err == nil) != carries {
				t.Errorf("%s with Host %s: %v", url, req.Host, err)
			}
		}
	})
}
