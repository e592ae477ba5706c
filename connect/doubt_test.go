package connect_test

import (
	"fmt"
	"net/http"
	"strings"
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

// One bad moment of the API's is no reason to ask a person for whose token there is no other.
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
