package connect_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/connect"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// guarded has the API want of each request the scope that its X-Scope header names.
func guarded(p *person) func(*connect.Config) {
	p.server.Script(oauthtest.Fault{Endpoint: oauthtest.ResourceMetadataEndpoint, Times: -1, Edit: func(f map[string]any) { delete(f, "scopes_supported") }})
	var scopes sync.Map // by token
	e := &edit{
		RoundTripper: p.server.Client().Transport,
		before: func(req *http.Request) *http.Response {
			want, token := req.Header.Get("X-Scope"), strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
			granted, known := scopes.Load(token)
			if want == "" || !known || slices.Contains(strings.Fields(granted.(string)), want) {
				return nil
			}
			return rejecting(http.StatusForbidden, `Bearer error="insufficient_scope", scope="`+want+`"`)
		},
		after: func(_ string, answer map[string]any) {
			if token, is := answer["access_token"].(string); is {
				scopes.Store(token, answer["scope"])
			}
		},
	}
	return func(cfg *connect.Config) { cfg.Transport, cfg.OAuth.HTTPClient = e, &http.Client{Transport: e} }
}

// callFor calls what needs a scope.
func callFor(s *connect.Session, scope string) error {
	req, err := http.NewRequest(http.MethodPost, s.URL(), strings.NewReader("hello"))
	if err != nil {
		return err
	}
	req.Header.Set("X-Scope", scope)
	resp, err := s.Client().Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("HTTP %d", resp.StatusCode)
	}
	return nil
}

func needing(cfg *connect.Config) { cfg.OAuth.Scopes = []string{"profile"} }

// Calls that need different scopes at once lead to one login for the first, and one for all others.
func TestCallsWithDifferentNeedsAreAskedForTogether(t *testing.T) {
	for name, processes := range map[string]int{"one process": 1, "two processes": 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				scopes := []string{"s1", "s2", "s3", "s4", "s5", "s6"}
				p := newPerson(oauthtest.Config{})
				sessions := p.together(t, "first", processes, guarded(p), needing)
				time.Sleep(2 * time.Minute)
				var calls sync.WaitGroup
				for i, scope := range scopes {
					calls.Go(func() {
						time.Sleep(time.Duration(i) * time.Second)
						if err := callFor(sessions[i%processes], scope); err != nil {
							t.Errorf("%s: %v", scope, err)
						}
					})
				}
				calls.Wait()
				p.want(t, "six needs", int32(2+processes), 1)
				for _, s := range sessions {
					for _, scope := range scopes {
						if err := callFor(s, scope); err != nil {
							t.Errorf("once more, %s: %v", scope, err)
						}
					}
				}
				p.want(t, "once more", int32(2+processes), 1)
			})
		})
	}
}

// Nor does a program that finds another's session take it for what it would have asked for itself.
func TestAProgramThatFindsAnothersSessionAsksForWhatThatLacks(t *testing.T) {
	for name, gap := range map[string]time.Duration{"at once": 0, "while the person is at the browser": 5 * time.Second, "later": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPerson(oauthtest.Config{})
				e := guarded(p)
				scopes := []string{"s1", "s2"}
				var sessions []*connect.Session
				for _, scope := range scopes {
					sessions = append(sessions, p.process(t, e, func(cfg *connect.Config) { cfg.OAuth.Scopes = []string{scope} }))
				}
				var programs sync.WaitGroup
				for i, scope := range scopes {
					programs.Go(func() {
						time.Sleep(time.Duration(i) * gap)
						for range 3 {
							if err := callFor(sessions[i], scope); err != nil {
								t.Errorf("%s: %v", scope, err)
							}
						}
					})
				}
				programs.Wait()
				p.want(t, "two programs", 2, 1)
			})
		})
	}
}

// What a person says to one login is no answer for callers that need something else.
func TestALoginThatIsRefusedIsNoAnswerForOtherNeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		s := p.process(t, guarded(p), needing)
		mustCall(t, "first", s)
		time.Sleep(2 * time.Minute)
		p.refuses.Store(true)
		p.takes = time.Minute
		var calls sync.WaitGroup
		calls.Go(func() {
			if err := callFor(s, "s1"); !errors.Is(err, oauth.ErrAccessDenied) {
				t.Errorf("what the person has refused: %v; want ErrAccessDenied", err)
			}
			p.refuses.Store(false)
		})
		for i := range 2 { // which share one
			calls.Go(func() {
				time.Sleep(time.Duration(i+1) * time.Second)
				if err := callFor(s, "s2"); err != nil {
					t.Errorf("what the person was not asked for: %v", err)
				}
			})
		}
		calls.Go(func() {
			time.Sleep(10 * time.Second)
			p.server.Script(oauthtest.Fault{Endpoint: oauthtest.ResourceEndpoint, Status: 401, Times: 2, Body: `{}`})
			if err := call(s); err != nil && !strings.Contains(err.Error(), "HTTP 401") {
				t.Errorf("a token that the API refuses meanwhile: %v", err)
			}
		})
		calls.Wait()
		p.want(t, "afterwards", 3, 1)
	})
}

// Nor is a login for more scope one of another kind.
func TestALoginOfAnotherKindIsAskedForBesides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		s := p.process(t, guarded(p), needing)
		mustCall(t, "first", s)
		time.Sleep(2 * time.Minute)
		var calls sync.WaitGroup
		calls.Go(func() {
			if err := callFor(s, "s1"); err != nil {
				t.Error(err)
			}
		})
		calls.Go(func() {
			time.Sleep(time.Second)
			p.server.Script(oauthtest.Fault{Endpoint: oauthtest.ResourceEndpoint, Status: 401,
				Header: http.Header{"Www-Authenticate": {`Bearer error="insufficient_user_authentication", acr_values="gold"`}}})
			mustCall(t, "a stronger login", s)
		})
		calls.Wait()
		p.want(t, "afterwards", 3, 1)
	})
}

// A login becomes older than an API wants again and again; one that an API does not take when it
// is new is not repeated.
func TestALoginOfLateIsAskedForEachTimeItHasGrownOld(t *testing.T) {
	for name, refusesAll := range map[string]bool{"wants one of five minutes": false, "takes none": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPerson(oauthtest.Config{})
				var wants atomic.Bool
				var loggedIn atomic.Int64
				old := func(req *http.Request) *http.Response {
					if req.Header.Get("Authorization") == "" || !wants.Load() || !refusesAll && time.Since(time.Unix(0, loggedIn.Load())) < 5*time.Minute {
						return nil
					}
					return rejecting(http.StatusUnauthorized, `Bearer error="insufficient_user_authentication", max_age="300"`)
				}
				sessions := p.together(t, "first start", 3, func(cfg *connect.Config) {
					cfg.Transport = &edit{RoundTripper: cfg.Transport, before: old}
					log := cfg.Login
					cfg.Login = func(ctx context.Context, client *oauth.Client) (*oauth.TokenPair, error) {
						pair, err := log(ctx, client)
						loggedIn.Store(time.Now().UnixNano())
						return pair, err
					}
				})
				for round := range 3 {
					wants.Store(false)
					time.Sleep(2 * time.Hour)
					for _, s := range sessions {
						mustCall(t, "what needs no login of late", s)
					}
					wants.Store(true)
					var calls sync.WaitGroup
					for _, s := range sessions {
						calls.Go(func() {
							if err := call(s); err != nil && !refusesAll {
								t.Error(err)
							}
						})
					}
					calls.Wait()
					if refusesAll {
						for range 10 {
							_ = call(sessions[0])
						}
					}
					p.want(t, fmt.Sprint("round ", round), int32(round+2), 1)
				}
			})
		})
	}
}

// A process finds that the session has ended, and takes up the login of another one before it
// knows where to log in itself.
func TestALoginElsewhereIsTakenUpWhileMetadataIsOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		p.launch(t, "first")
		p.server.RevokeAll(oauthtest.DefaultUser)
		p.age(t, time.Hour)
		var calls sync.WaitGroup
		calls.Go(func() { mustCall(t, "the one that logs in", p.process(t)) })
		time.Sleep(time.Second)
		calls.Go(func() {
			mustCall(t, "the one that takes it up", p.process(t, func(cfg *connect.Config) {
				cfg.Refresh.CheckInterval = 5 * time.Second
				cfg.OAuth.HTTPClient = &http.Client{Transport: &edit{RoundTripper: cfg.Transport, before: func(req *http.Request) *http.Response {
					if strings.Contains(req.URL.Path, "oauth-protected-resource") {
						time.Sleep(25 * time.Second)
					}
					return nil
				}}}
			}))
		})
		calls.Wait()
		p.want(t, "afterwards", 2, 1)
	})
}
