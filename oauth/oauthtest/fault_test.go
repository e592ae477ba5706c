package oauthtest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// transports runs a test in process and over sockets.
func transports(t *testing.T, cfg oauthtest.Config, test func(t *testing.T, s *oauthtest.Server, c *http.Client)) {
	t.Run("in process", func(t *testing.T) {
		s := oauthtest.New(cfg)
		test(t, s, s.Client())
	})
	t.Run("socket", func(t *testing.T) {
		s := oauthtest.NewServer(cfg)
		defer s.Close()
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		test(t, s, &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }})
	})
}

func refreshBy(t *testing.T, s *oauthtest.Server, c *http.Client, token string) result {
	return post(t.Context(), c, s.Endpoint(oauthtest.TokenEndpoint), form("grant_type", "refresh_token", "refresh_token", token))
}

func TestResets(t *testing.T) {
	for _, after := range []bool{false, true} {
		transports(t, oauthtest.Config{}, func(t *testing.T, s *oauthtest.Server, c *http.Client) {
			_, token := login(t, s)
			s.Script(oauthtest.Fault{Reset: true, AfterCommit: after})
			r := refreshBy(t, s, c, token)
			var op *net.OpError
			if !errors.As(r.err, &op) || !errors.Is(r.err, syscall.ECONNRESET) {
				t.Fatalf("error %v; want a *net.OpError with ECONNRESET", r.err)
			}
			wantSpent(t, s, c, token, after)
		})
	}
}

// wantSpent checks whether a refresh token was spent, which a refresh tells.
func wantSpent(t *testing.T, s *oauthtest.Server, c *http.Client, token string, spent bool) {
	t.Helper()
	want, n := 200, 0
	if spent {
		want, n = 400, 1
	}
	if got := s.Refreshes(); got != n {
		t.Errorf("the server carried out %d refreshes; want %d", got, n)
	}
	if r := refreshBy(t, s, c, token); r.status != want {
		t.Errorf("refresh after the fault: HTTP %d (%v); want %d", r.status, r.err, want)
	}
	wantMistakes(t, s) // the client could not know
}

func TestCutBodies(t *testing.T) {
	transports(t, oauthtest.Config{}, func(t *testing.T, s *oauthtest.Server, c *http.Client) {
		_, token := login(t, s)
		s.Script(oauthtest.Fault{CutBody: true})
		r := refreshBy(t, s, c, token)
		if r.status != 200 || !errors.Is(r.err, io.ErrUnexpectedEOF) || len(r.body) == 0 || strings.HasSuffix(r.body, "}") {
			t.Errorf("HTTP %d, %d bytes, error %v; want 200, half of the body, unexpected EOF", r.status, len(r.body), r.err)
		}
		wantSpent(t, s, c, token, true)
	})
}

func TestCutBodyOfAScriptedAnswerDoesNotCommit(t *testing.T) {
	transports(t, oauthtest.Config{}, func(t *testing.T, s *oauthtest.Server, c *http.Client) {
		_, token := login(t, s)
		s.Script(oauthtest.Fault{CutBody: true, Body: "12345678"})
		if r := refreshBy(t, s, c, token); r.body != "1234" || !errors.Is(r.err, io.ErrUnexpectedEOF) {
			t.Errorf("body %q, error %v; want half of the script's", r.body, r.err)
		}
		wantSpent(t, s, c, token, false)
	})
}

func TestScriptedAnswers(t *testing.T) {
	cases := map[string]struct {
		fault  oauthtest.Fault
		status int
		header string // name: value
		body   string // part of it
	}{
		"status":      {oauthtest.Fault{Status: 503}, 503, "Content-Type: application/json", ""},
		"body":        {oauthtest.Fault{Status: 400, Body: `{"error":"x"}`}, 400, "", `{"error":"x"}`},
		"html":        {oauthtest.Fault{HTML: true}, 200, "Content-Type: text/html; charset=utf-8", "<h1>"},
		"html 403":    {oauthtest.Fault{HTML: true, Status: 403}, 403, "", "<h1>"},
		"redirect":    {oauthtest.Fault{Redirect: "https://elsewhere.test/token"}, 307, "Location: https://elsewhere.test/token", ""},
		"retry after": {oauthtest.Fault{RetryAfter: 1500 * time.Millisecond}, 429, "Retry-After: 2", ""},
		"503 wait":    {oauthtest.Fault{Status: 503, RetryAfter: time.Hour}, 503, "Retry-After: 3600", ""},
		"header":      {oauthtest.Fault{Status: 400, Header: http.Header{"content-type": {"text/plain"}}}, 400, "Content-Type: text/plain", ""},
	}
	for name, tc := range cases {
		for _, after := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				transports(t, oauthtest.Config{}, func(t *testing.T, s *oauthtest.Server, c *http.Client) {
					c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
					_, token := login(t, s)
					tc.fault.AfterCommit = after
					s.Script(tc.fault)
					r := refreshBy(t, s, c, token)
					key, value, _ := strings.Cut(tc.header, ": ")
					if r.err != nil || r.status != tc.status || !strings.Contains(r.body, tc.body) || r.header.Get(key) != value {
						t.Errorf("HTTP %d %v %q (%v); want %d with %q and %q", r.status, r.header, r.body, r.err, tc.status, tc.header, tc.body)
					}
					wantSpent(t, s, c, token, after)
				})
			})
		}
	}
}

func TestF47_OddExpiresIn(t *testing.T) {
	for raw, want := range map[string]any{
		oauthtest.Missing: nil, `"3600"`: "3600", "0": 0.0, "-3": -3.0, "1e12": 1e12, "5000000000": 5e9, "null": nil,
	} {
		s := oauthtest.New(oauthtest.Config{})
		_, token := login(t, s)
		s.Script(oauthtest.Fault{ExpiresIn: raw})
		r := refresh(t.Context(), s, token).wantOK(t)
		if got := r.field(t, "expires_in"); got != want {
			t.Errorf("expires_in = %v; want %v", got, want)
		}
		refresh(t.Context(), s, r.text(t, "refresh_token")).wantOK(t)
		wantMistakes(t, s)
	}
}

func TestEditChangesTheAnswer(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	_, token := login(t, s)
	s.Script(oauthtest.Fault{Edit: func(f map[string]any) { delete(f, "access_token"); f["token_type"] = "mac" }})
	r := refresh(t.Context(), s, token).wantOK(t)
	if r.field(t, "access_token") != nil || r.text(t, "token_type") != "mac" {
		t.Errorf("body %s; want it edited", r.body)
	}
	refresh(t.Context(), s, token)
	wantMistakes(t, s) // an answer without an access token told the client nothing
}

func TestDownIsADialError(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	_, token := login(t, s)
	s.Script(oauthtest.Fault{Down: true, Times: 2})
	var wrote bool
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteHeaders: func() { wrote = true }})
	for range 2 {
		var op *net.OpError
		if r := refresh(ctx, s, token); !errors.As(r.err, &op) || op.Op != "dial" || !errors.Is(r.err, syscall.ECONNREFUSED) {
			t.Fatalf("error %v; want a *net.OpError of dial with ECONNREFUSED", r.err)
		}
	}
	if n := s.Requests(oauthtest.TokenEndpoint); wrote || n != 0 || len(s.Spends()) != 0 {
		t.Errorf("headers written: %v, %d requests, %d spends; a request that could not connect never arrives", wrote, n, len(s.Spends()))
	}
	refresh(ctx, s, token).wantOK(t)
	if !wrote {
		t.Error("the trace was not told of a request that arrived")
	}
}

func TestOverSocketsDownIsAResetBeforeCommit(t *testing.T) {
	s := oauthtest.NewServer(oauthtest.Config{})
	defer s.Close()
	_, token := login(t, s)
	s.Script(oauthtest.Fault{Down: true})
	if r := refreshBy(t, s, http.DefaultClient, token); !errors.Is(r.err, syscall.ECONNRESET) {
		t.Errorf("error %v; want ECONNRESET", r.err)
	}
	if n := s.Refreshes(); n != 0 {
		t.Errorf("%d refreshes; want 0", n)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestDelay(t *testing.T) {
	for _, after := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := oauthtest.New(oauthtest.Config{})
			_, token := login(t, s)
			s.Script(oauthtest.Fault{Delay: 5 * time.Second, AfterCommit: after})
			start := time.Now()
			go refresh(t.Context(), s, token)
			time.Sleep(4 * time.Second)
			synctest.Wait()
			if got := s.Refreshes() == 1; got != after {
				t.Errorf("AfterCommit %v: refreshed before the delay was over: %v", after, got)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			spends := s.Spends()
			if len(spends) != 1 || !spends[0].Delivered || spends[0].Ended.Sub(start) != 5*time.Second {
				t.Errorf("spends %+v; want one that was delivered after 5 s", spends)
			}
		})
	}
}

func TestAClientThatLeavesDoesNotStopTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{})
		_, token := login(t, s)
		s.Script(oauthtest.Fault{Delay: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if r := refresh(ctx, s, token); !errors.Is(r.err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("error %v after %v; want the deadline after 1 s", r.err, time.Since(start))
		}
		synctest.Wait()
		if n := s.Refreshes(); n != 1 {
			t.Errorf("%d refreshes; the server goes on without the client", n)
		}
		refresh(t.Context(), s, token)
		wantMistakes(t, s)
	})
}

func TestHang(t *testing.T) {
	for _, after := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := oauthtest.New(oauthtest.Config{})
			_, token := login(t, s)
			s.Script(oauthtest.Fault{Hang: true, AfterCommit: after})
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			if r := refresh(ctx, s, token); !errors.Is(r.err, context.DeadlineExceeded) {
				t.Errorf("error %v; want the deadline", r.err)
			}
			synctest.Wait()
			wantSpent(t, s, s.Client(), token, after)
		})
	}
}

func TestHangOverASocketEndsWithTheClient(t *testing.T) {
	s := oauthtest.NewServer(oauthtest.Config{})
	defer s.Close()
	_, token := login(t, s)
	s.Script(oauthtest.Fault{Hang: true})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { cancel() }})
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	r := post(ctx, &http.Client{Transport: transport}, s.Endpoint(oauthtest.TokenEndpoint), form("grant_type", "refresh_token", "refresh_token", token))
	if !errors.Is(r.err, context.Canceled) {
		t.Errorf("error %v; want context.Canceled", r.err)
	}
}

func TestFaultsFindTheirRequests(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	access, token := login(t, s)
	s.Script(
		oauthtest.Fault{Endpoint: oauthtest.ResourceEndpoint, Status: 500},
		oauthtest.Fault{Grant: "refresh_token", Status: 501},
		oauthtest.Fault{Status: 502, Times: 2},
		oauthtest.Fault{Endpoint: oauthtest.AnyEndpoint, Status: 503, Times: -1},
	)
	password := func() int {
		return post(t.Context(), s.Client(), s.Endpoint(oauthtest.TokenEndpoint), form("grant_type", "password")).status
	}
	got := []int{
		password(), refresh(t.Context(), s, token).status, password(), password(),
		resourceStatus(t, s, access), resourceStatus(t, s, access), password(),
	}
	want := []int{502, 501, 502, 503, 500, 503, 503}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("statuses %v; want %v", got, want)
		}
	}
	if n := s.ClearScript(); n != 1 {
		t.Errorf("ClearScript() = %d; want the 1 that lasts", n)
	}
	refresh(t.Context(), s, token).wantOK(t)
}

func TestFaultsFindTheirUsers(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{Users: map[string]string{"alice": "", "bob": ""}})
	_, alices := login(t, s)
	bob, err := s.Login("bob")
	if err != nil {
		t.Fatal(err)
	}
	s.Script(oauthtest.Fault{User: "bob", Status: 503, Times: 2})
	for _, want := range []int{503, 503, 200} {
		if r := refresh(t.Context(), s, bob.RefreshToken); r.status != want {
			t.Errorf("bob's refresh: HTTP %d; want %d", r.status, want)
		}
		alices = refresh(t.Context(), s, alices).wantOK(t).text(t, "refresh_token")
	}
}

func TestInProcessClientReachesNothingElse(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	var dns *net.DNSError
	for _, target := range []string{"https://elsewhere.test/", "http://auth.test/token", "http://127.0.0.1:1/"} {
		if r := get(t.Context(), s.Client(), target, ""); !errors.As(r.err, &dns) {
			t.Errorf("%s: error %v; want a *net.DNSError", target, r.err)
		}
	}
}

// closeCounter tells whether a request body was closed.
type closeCounter struct {
	io.Reader
	closed chan struct{}
}

func (c closeCounter) Close() error { close(c.closed); return nil }

func TestInProcessClientClosesTheBodyOnEveryPath(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tc := range map[string]struct {
		ctx    context.Context
		target string
	}{
		"answered":     {t.Context(), s.Endpoint(oauthtest.TokenEndpoint)},
		"unknown host": {t.Context(), "https://elsewhere.test/"},
		"ended":        {ended, s.Endpoint(oauthtest.TokenEndpoint)},
	} {
		body := closeCounter{strings.NewReader("x"), make(chan struct{})}
		u, _ := url.Parse(tc.target)
		r := (&http.Request{Method: http.MethodPost, URL: u, Header: http.Header{}, Body: body}).WithContext(tc.ctx)
		resp, err := s.Client().Transport.RoundTrip(r)
		if err == nil {
			resp.Body.Close()
		}
		select {
		case <-body.closed:
		default:
			t.Errorf("%s: the request body is not closed", name)
		}
	}
}

func TestMountedWhereConnectionsCannotBeHijackedResetsAbort(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	s.Script(oauthtest.Fault{Reset: true})
	defer func() {
		if got := recover(); got != http.ErrAbortHandler {
			t.Errorf("panic %v; want http.ErrAbortHandler", got)
		}
	}()
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "/token", nil)
	s.ServeHTTP(plainWriter{}, r)
}

// plainWriter is a ResponseWriter that can do nothing else.
type plainWriter struct{}

func (plainWriter) Header() http.Header         { return http.Header{} }
func (plainWriter) Write(b []byte) (int, error) { return len(b), nil }
func (plainWriter) WriteHeader(int)             {}
