package refresh_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/internal/strayed"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

func TestRequestCarriesTheTokenAndIsNotModified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		_, w := f.wired()
		req, body := post(t, f.server.Resource())
		req.Header["X-Mine"] = []string{"a", "b"}
		headers, before := maps.Clone(req.Header), *req
		resp, err := f.Transport(w).RoundTrip(req)
		if err != nil || drain(t, resp) != http.StatusOK {
			t.Fatal(err)
		}
		if got := w.requests()[0].authorization; got != "Bearer "+f.first.AccessToken {
			t.Error("the request did not carry the token")
		}
		if !reflect.DeepEqual(req.Header, headers) || req.URL != before.URL || req.Body != before.Body {
			t.Errorf("the caller's request was changed: headers %v", req.Header)
		}
		if !body.closed.Load() {
			t.Error("the body was not closed")
		}
		f.clean(t)
	})
}

func TestRequestWithoutHeaderMapIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		_, w := f.wired()
		req, _ := post(t, f.server.Resource())
		req.Header = nil
		resp, err := f.Transport(w).RoundTrip(req)
		if err != nil || drain(t, resp) != http.StatusOK {
			t.Error(err)
		}
		if req.Header != nil {
			t.Error("the caller's request was changed")
		}
		f.clean(t)
	})
}

func TestHeaderSetByTheCallerIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}, withOrigins("https://elsewhere.test")).start(t)
		client, w := f.wired()
		for _, own := range []string{"Basic bWU6aW4=", "Bearer mine", ""} {
			req, _ := post(t, f.server.Resource())
			req.Header["Authorization"] = []string{own}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if status := drain(t, resp); status != http.StatusUnauthorized {
				t.Errorf("%q: status %d; want the resource's 401", own, status)
			}
		}
		for i, own := range []string{"Basic bWU6aW4=", "Bearer mine", ""} {
			if got := w.requests()[i].authorization; got != own {
				t.Errorf("sent %q; want the caller's %q", got, own)
			}
		}
		if n := len(w.requests()); n != 3 || f.tokenRequests() != 0 {
			t.Errorf("%d requests, %d refreshes; want 3 and none: the rejected credentials are not ours", n, f.tokenRequests())
		}
		f.clean(t)
	})
}

func TestF43_RedirectToAnotherOriginTravelsBare(t *testing.T) {
	for _, to := range []string{
		"https://other.test/", "https://sub.api.test/", "https://api.test:8443/", "http://api.test/", "http://localhost/", "https://127.0.0.1/",
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, oauthtest.Config{}).start(t)
			client, w := f.wired()
			for _, host := range []string{"api.test", "other.test", "sub.api.test", "api.test:8443", "localhost", "127.0.0.1"} {
				w.hosts[host] = func(r *http.Request) (*http.Response, error) {
					if r.URL.String() == "https://api.test/start" {
						return answering(http.StatusFound, "Location", to)(r)
					}
					return answering(http.StatusUnauthorized)(r)
				}
			}
			if status := get(t, client, "https://api.test/start"); status != http.StatusUnauthorized {
				t.Errorf("%s: status %d", to, status)
			}
			if seen := w.requests(); len(seen) != 2 || seen[1].authorization != "" {
				t.Errorf("a redirect to %s: %d requests; want 2 and no token in the second", to, len(seen))
			}
			if n := f.tokenRequests(); n != 0 {
				t.Errorf("%s: %d refreshes because of a request that carried no token", to, n)
			}
		})
	}
}

func TestAllowedOriginsBoundTheToken(t *testing.T) {
	const (
		carries = iota
		refusal
	)
	for _, tt := range []struct {
		allowed string
		url     string
		want    int
	}{
		{"https://api.test", "https://api.test/a?b=c", carries},
		{"https://api.test", "https://api.test:443/", carries},
		{"https://api.test:443", "https://api.test/", carries},
		{"https://API.test/", "https://api.test/", carries},
		{"http://localhost:8080", "http://localhost:8080/", carries},
		{"http://[::1]:8080", "http://[::1]:8080/", carries},
		{"https://api.test", "https://evil.test/", refusal},
		{"https://api.test", "https://api.test.evil.test/", refusal},
		{"https://api.test", "https://api.test:8443/", refusal},
		{"https://api.test", "http://api.test/", refusal},
		{"https://localhost:8080", "http://localhost:8080/", refusal},
		{"http://api.test", "http://api.test/", refusal}, // plain HTTP, although listed
		{"api.test", "https://api.test/", refusal},       // no origin
		{"https://api.test", "https://api.test@evil.test/", refusal},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, oauthtest.Config{}, withOrigins("https://first.test", tt.allowed)).start(t)
			_, w := f.wired()
			for _, host := range []string{"api.test", "api.test:443", "api.test:8443", "evil.test", "api.test.evil.test", "localhost:8080", "[::1]:8080"} {
				w.hosts[host] = answering(http.StatusOK)
			}
			req, body := post(t, tt.url)
			resp, err := f.Transport(w).RoundTrip(req)
			if err == nil {
				drain(t, resp)
			}
			if refused := errors.Is(err, oauth.ErrMisconfigured); refused != (tt.want == refusal) {
				t.Errorf("%s with %s allowed: error %v", tt.url, tt.allowed, err)
			}
			if n := len(w.requests()); (n == 0) != (tt.want == refusal) || w.bare() != 0 {
				t.Errorf("%s with %s allowed: %d requests, %d bare", tt.url, tt.allowed, n, w.bare())
			}
			if !body.closed.Load() {
				t.Errorf("%s: the body was not closed", tt.url)
			}
		})
	}
}

func TestAllowedOriginsThatAreNoneAllowNothing(t *testing.T) {
	for _, allowed := range []string{"", "api.test", "https://[api.test", "https://api.test:port", "%", "https://user@api.test", "https://other.test@api.test/", "wss://api.test", "//api.test"} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, oauthtest.Config{}, withOrigins(allowed)).start(t)
			_, w := f.wired()
			req, _ := post(t, "https://api.test/")
			_, err := f.Transport(w).RoundTrip(req) //nolint:bodyclose // it fails
			if !errors.Is(err, oauth.ErrMisconfigured) || len(w.requests()) != 0 {
				t.Errorf("%q allowed: error %v, %d requests", allowed, err, len(w.requests()))
			}
		})
	}
}

func TestRedirectBetweenAllowedOriginsCarriesTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}, withOrigins("https://api.test", "https://eu.test")).start(t)
		client, w := f.wired()
		w.hosts["api.test"] = answering(http.StatusFound, "Location", "https://eu.test/")
		w.hosts["eu.test"] = answering(http.StatusFound, "Location", "https://other.test/")
		w.hosts["other.test"] = answering(http.StatusOK)
		if status := get(t, client, "https://api.test/"); status != http.StatusOK {
			t.Errorf("status %d; want a redirect that leaves the origins to go on, bare", status)
		}
		for i, carries := range []bool{true, true, false} {
			if r := w.requests()[i]; (r.authorization != "") != carries {
				t.Errorf("%s: token sent %v; want %v", r.url, !carries, carries)
			}
		}
	})
}

func TestTokenIsNotSentOverPlainHTTP(t *testing.T) {
	for url, ok := range map[string]bool{
		"http://api.test/": false, "http://10.0.0.1/": false, "http://localhost.evil.test/": false, "ftp://api.test/": false,
		// Which net/http sends by the proxy that the environment names.
		"http://LOCALHOST:1/": false, "http://Localhost/": false,
		// What may lead here, and need not: a resolver decides.
		"http://localhost./": false, "http://a.localhost/": false, "http://localhost.localdomain/": false, "http://127.1/": false, "http://2130706433/": false,
		"http://0.0.0.0/": false, "http://[::]/": false, "http://[::1%25lo]/": false, "http://\uff4cocalhost/": false, "http://169.254.169.254/": false,
		"http://localhost:1/": true, "http://127.0.0.1:1/": true, "http://127.9.9.9/": true, "http://[::1]:1/": true,
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, oauthtest.Config{}).start(t)
			_, w := f.wired()
			req, body := post(t, url)
			w.hosts[req.URL.Host] = answering(http.StatusOK)
			resp, err := f.Transport(w).RoundTrip(req)
			if err == nil {
				drain(t, resp)
			}
			if ok != (err == nil) || (!ok && !errors.Is(err, oauth.ErrMisconfigured)) || ok != (len(w.requests()) == 1) {
				t.Errorf("%s: error %v, %d requests", url, err, len(w.requests()))
			}
			if !body.closed.Load() {
				t.Errorf("%s: the body was not closed", url)
			}
		})
	}
}

// Where no hosts file has localhost, the DNS says where it leads.
func TestTokenForLocalhostStaysOnThisMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		base, got := strayed.Transport()
		req, _ := post(t, "http://localhost:1/")
		_, err := f.Transport(base).RoundTrip(req)
		is(t, err, oauth.ErrMisconfigured)
		if sent := got(); sent != "" || !strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("%v after %q was sent to another machine", err, sent)
		}
	})
}

func TestF49b_NoTokenNoRequest(t *testing.T) {
	for name, arrange := range map[string]func(*testing.T, *fixture){
		"session ended":   func(t *testing.T, f *fixture) { f.loseToken(t) },
		"never started":   func(*testing.T, *fixture) {},
		"outage and dead": func(t *testing.T, f *fixture) { f.start(t); f.outlive(t) },
		"stopped and dead": func(t *testing.T, f *fixture) {
			f.start(t)
			f.Stop()
			time.Sleep(time.Hour)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{})
				arrange(t, f)
				_, w := f.wired()
				req, body := post(t, f.server.Resource())
				resp, err := f.Transport(w).RoundTrip(req)
				if err == nil {
					resp.Body.Close()
					t.Fatal("RoundTrip succeeded without a token")
				}
				if !errors.Is(err, oauth.ErrLoginRequired) && !errors.Is(err, oauth.ErrTransient) && !errors.Is(err, refresh.ErrStopped) {
					t.Errorf("error %v; want the cause", err)
				}
				if n := len(w.requests()); n != 0 || !body.closed.Load() {
					t.Errorf("%d requests, body closed: %v; want silence, true", n, body.closed.Load())
				}
				f.clean(t)
			})
		})
	}
}

// outlive makes the server unavailable for good and the token die.
func (f *fixture) outlive(t *testing.T) {
	t.Helper()
	f.server.Script(oauthtest.Fault{Status: http.StatusServiceUnavailable, Times: -1})
	time.Sleep(time.Hour)
}

func TestCallerWhoLeavesWhileWaitingForATokenHasItsBodyClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		f.server.Script(oauthtest.Fault{Delay: 25 * time.Second, Times: -1})
		f.Stop()
		time.Sleep(time.Hour)
		if err := f.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		_, w := f.wired()
		req, body := post(t, f.server.Resource())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := f.Transport(w).RoundTrip(req.WithContext(ctx)) //nolint:bodyclose // it fails
		if !errors.Is(err, context.DeadlineExceeded) || !body.closed.Load() || len(w.requests()) != 0 {
			t.Errorf("error %v, body closed: %v, %d requests", err, body.closed.Load(), len(w.requests()))
		}
		time.Sleep(minute)
		f.clean(t)
	})
}

func TestTokenThatIsNotBearerIsNotPresentedAsOne(t *testing.T) {
	for kind, ok := range map[string]bool{"": true, "bearer": true, "BEARER": true, "User Access Token": true, "N_A": true, "DPoP": false, "mac": false} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, oauthtest.Config{})
			f.first.TokenType = kind
			f.start(t)
			_, w := f.wired()
			req, body := post(t, f.server.Resource())
			resp, err := f.Transport(w).RoundTrip(req)
			if err == nil {
				drain(t, resp)
			}
			if ok != (err == nil) || (!ok && !errors.Is(err, oauth.ErrMisconfigured)) || !body.closed.Load() {
				t.Errorf("type %q: error %v, body closed: %v", kind, err, body.closed.Load())
			}
			for _, r := range w.requests() {
				if !ok || !strings.HasPrefix(r.authorization, "Bearer ") {
					t.Errorf("type %q: sent with scheme %.6q; want the registered spelling", kind, r.authorization)
				}
			}
		})
	}
}

func TestF55b_ClientBuiltBeforeARotationUsesTheCurrentToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{RevokeOldAccess: true})
		client, w := f.wired() // before the manager even runs
		f.start(t)
		for range 48 {
			time.Sleep(30 * minute)
			if status := get(t, client, f.server.Resource()); status != http.StatusOK {
				t.Fatalf("status %d", status)
			}
		}
		if n := len(w.requests()); n != 48 {
			t.Errorf("%d requests for 48 calls; want no retry, as each reads the current token", n)
		}
		f.served(t)
		f.clean(t)
	})
}

func TestManyGoroutinesThroughManyRotations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{RevokeOldAccess: true, AccessTokenLifetime: minute}).start(t)
		client, w := f.wired()
		f.server.Script(oauthtest.Fault{Endpoint: oauthtest.ResourceEndpoint, Times: -1, Delay: 3 * time.Second})
		var callers sync.WaitGroup
		for i := range 20 {
			callers.Go(func() {
				time.Sleep(time.Duration(i) * 171 * time.Millisecond)
				for range 100 {
					if status, err := fetch(client, f.server.Resource()); status != http.StatusOK || err != nil {
						t.Errorf("%d, %v; want 200", status, err)
					}
				}
			})
		}
		callers.Wait()
		if w.bare() != 0 {
			t.Error("a request went out without a token")
		}
		if n := f.server.Refreshes(); n > 12 {
			t.Errorf("%d refreshes in five minutes of one-minute tokens; rejections of old ones must not add any", n)
		}
		f.clean(t)
	})
}

// A transport that hands out what net/http/httptest records, as tests of
// programs do.
func TestTransportWorksOverARecorder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		f.server.ExpireAccess("alice")
		client := &http.Client{Transport: f.Transport(roundTripFunc(func(r *http.Request) (*http.Response, error) {
			rec, in := httptest.NewRecorder(), r.Clone(r.Context())
			in.Body = io.NopCloser(strings.NewReader(""))
			f.server.ServeHTTP(rec, in)
			return rec.Result(), nil
		}))}
		if status := get(t, client, f.server.Resource()); status != http.StatusOK {
			t.Errorf("status %d", status)
		}
		f.clean(t)
	})
}

type idler struct {
	http.RoundTripper
	closed bool
}

func (i *idler) CloseIdleConnections() { i.closed = true }

func TestIdleConnectionsOfTheBaseAreClosed(t *testing.T) {
	base := new(idler)
	m := refresh.NewManager(refresh.Config{})
	client := &http.Client{Transport: m.Transport(base)}
	client.CloseIdleConnections()
	if !base.closed {
		t.Error("CloseIdleConnections was not passed on")
	}
	m.Transport(answering(http.StatusOK)).CloseIdleConnections() // has none: nothing happens
}
