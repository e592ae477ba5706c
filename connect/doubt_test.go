package connect_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/connect"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// A server without refresh tokens, whose access tokens live for a month.
func newPersonWithoutRefreshTokens(cfg oauthtest.Config) *person {
	cfg.AccessTokenLifetime = 30 * 24 * time.Hour
	p := newPerson(cfg)
	p.server.Script(oauthtest.Fault{Times: -1, Edit: func(f map[string]any) { delete(f, "refresh_token") }})
	return p
}

// rejecting is an answer to a request that the API does not take.
func rejecting(status int, challenge string) *http.Response {
	header := http.Header{}
	if challenge != "" {
		header.Set("Www-Authenticate", challenge)
	}
	return &http.Response{StatusCode: status, Header: header, Body: http.NoBody}
}

// Nothing but 2xx says that an API has taken a token: a 405 or a 404 can come before it looks.
func TestF90_NoAnswerButASuccessSaysThatATokenWasTaken(t *testing.T) {
	for _, status := range []int{301, 400, 403, 404, 405, 406, 500, 503} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPersonWithoutRefreshTokens(oauthtest.Config{})
				e := &edit{before: func(req *http.Request) *http.Response {
					switch {
					case req.URL.Path != "/resource":
						return nil
					case req.Method == http.MethodGet:
						return rejecting(status, "")
					}
					return rejecting(401, `Bearer error="invalid_token"`)
				}}
				s := p.process(t, e.use)
				for range 5 {
					_ = call(s)
					if resp, err := s.Client().Get(s.URL()); err == nil {
						resp.Body.Close()
					}
					time.Sleep(time.Minute)
				}
				p.want(t, "after five rounds", 1, 1)
			})
		})
	}
}

// A bad moment of the API does not have the person log in again for a token that cannot be renewed.
func TestF90_ABareRefusalOfALivingTokenIsAskedAboutOnceMore(t *testing.T) {
	for times, windows := range map[int]int32{1: 1, 2: 2} {
		for _, calls := range []int{1, 3} {
			t.Run(fmt.Sprint(times, " refusals, ", calls, " calls"), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := newPersonWithoutRefreshTokens(oauthtest.Config{})
					var left atomic.Int32
					s := p.process(t, (&edit{before: func(req *http.Request) *http.Response {
						if req.URL.Path == "/resource" && req.Header.Get("Authorization") != "" && left.Add(-1) >= 0 {
							return rejecting(401, "")
						}
						return nil
					}}).use)
					mustCall(t, "first", s)
					time.Sleep(time.Hour)
					left.Store(int32(times * calls))
					done := make(chan error, calls)
					for range calls {
						go func() { done <- call(s) }()
					}
					for range calls {
						if err := <-done; err != nil {
							t.Errorf("a call fails: %v", err)
						}
					}
					p.want(t, "afterwards", windows, 1)
				})
			})
		}
	}
}

// A proof that an API wants made anew says nothing of the token.
func TestF90_ARefusedProofOpensNoWindow(t *testing.T) {
	for _, code := range []string{"use_dpop_nonce", "invalid_dpop_proof"} {
		t.Run(code, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPersonWithoutRefreshTokens(oauthtest.Config{RequireDPoP: true})
				var left atomic.Int32
				e := &edit{after: func(_ string, answer map[string]any) {
					if _, is := answer["authorization_servers"]; is {
						answer["dpop_bound_access_tokens_required"] = true
					}
				}}
				e.before = func(req *http.Request) *http.Response {
					if req.URL.Path != "/resource" || req.Header.Get("DPoP") == "" || left.Add(-1) < 0 {
						return nil
					}
					resp := rejecting(401, `DPoP error="`+code+`"`)
					resp.Header.Set("DPoP-Nonce", fmt.Sprint("nonce", left.Load()))
					return resp
				}
				s := p.process(t, e.use)
				mustCall(t, "first", s)
				left.Store(4)
				for range 3 {
					_ = call(s)
				}
				p.want(t, "afterwards", 1, 1)
				left.Store(0)
				mustCall(t, "last", s)
			})
		})
	}
}

// What an API says of credentials of the program's own concerns no session.
func TestF90_ARefusalOfTheProgramsOwnCredentialsConcernsNoSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPersonWithoutRefreshTokens(oauthtest.Config{})
		s := p.process(t)
		own := func(when string) {
			t.Helper()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL(), strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Basic c29tZTpvbmU=")
			resp, err := s.Client().Do(req)
			if err != nil {
				t.Fatalf("%s: %v", when, err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s: HTTP %d; want 401", when, resp.StatusCode)
			}
		}
		own("without a session")
		p.want(t, "without a session", 0, 0)
		mustCall(t, "with the session", s)
		token := shownToken(t, s)
		own("beside a session")
		own("beside a session, again")
		mustCall(t, "with the session again", s)
		p.want(t, "afterwards", 1, 1)
		if shownToken(t, s) != token {
			t.Error("the session has another token than before")
		}
	})
}

func shownToken(t *testing.T, s *connect.Session) string {
	t.Helper()
	pair, err := s.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return pair.AccessToken
}

// A body that cannot be sent again.
type streamed struct{ io.Reader }

func (s streamed) Close() error { return nil }

// stream sends a request with a body that cannot be sent again, and returns its status.
func stream(t *testing.T, s *connect.Session) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL(), streamed{strings.NewReader("hello")})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// A program whose requests all stream logs in too: the refused request is over, the next one works.
func TestF90_ARequestThatCannotBeSentAgainLeadsToALogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		s := p.process(t)
		if got := stream(t, s); got != http.StatusUnauthorized {
			t.Errorf("the first ends with %d; want 401", got)
		}
		p.want(t, "after the first", 1, 1)
		if got := stream(t, s); got != http.StatusOK {
			t.Errorf("the second ends with %d; want 200", got)
		}
		time.Sleep(5 * time.Minute)
		p.server.RevokeAll(oauthtest.DefaultUser)
		time.Sleep(time.Hour)
		_ = stream(t, s)
		if got := stream(t, s); got != http.StatusOK {
			t.Errorf("after the session's end the second ends with %d; want 200", got)
		}
		p.want(t, "afterwards", 2, 1)
	})
}

// A counted body tells when it is closed.
type counted struct {
	io.Reader
	once sync.Once
	open *atomic.Int32
}

func (c *counted) Close() error { c.once.Do(func() { c.open.Add(-1) }); return nil }

func TestBodiesOfRefusedRequestsAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		s := p.process(t)
		mustCall(t, "first", s)
		var open atomic.Int32
		p.server.Script(oauthtest.Fault{Endpoint: oauthtest.ResourceEndpoint, Status: 401, Times: -1, Body: `{}`})
		for range 5 {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL(), nil)
			if err != nil {
				t.Fatal(err)
			}
			req.GetBody = func() (io.ReadCloser, error) {
				open.Add(1)
				return &counted{Reader: strings.NewReader("hello"), open: &open}, nil
			}
			req.Body, _ = req.GetBody()
			if resp, err := s.Client().Do(req); err == nil {
				resp.Body.Close()
			}
		}
		if n := open.Load(); n != 0 {
			t.Errorf("%d bodies are open", n)
		}
	})
}
