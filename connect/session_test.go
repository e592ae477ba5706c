package connect_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/connect"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// together has n processes call at once.
func (p *person) together(t *testing.T, when string, n int, change ...func(*connect.Config)) []*connect.Session {
	t.Helper()
	var sessions []*connect.Session
	var calls sync.WaitGroup
	for range n {
		s := p.process(t, change...)
		sessions = append(sessions, s)
		calls.Go(func() { mustCall(t, when, s) })
	}
	calls.Wait()
	return sessions
}

func closeAll(sessions []*connect.Session) {
	for _, s := range sessions {
		s.Close()
	}
}

func TestF90_ManyProcessesLogInOnce(t *testing.T) {
	for name, cfg := range map[string]oauthtest.Config{
		"as the specification has it": {},
		"metadata at the root":        {API: oauthtest.APIShape{MetadataAtRoot: true, ResourceIsOrigin: true}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPerson(cfg)
				p.takes = 10 * time.Minute // the others wait, however long the person takes
				closeAll(p.together(t, "first start", 10))
				p.want(t, "first start", 1, 1)

				closeAll(p.together(t, "second start", 10))
				p.want(t, "second start", 1, 1)
			})
		})
	}
}

func TestF90_ManyProcessesWithADeadTokenRefreshOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		closeAll(p.together(t, "first start", 1))
		p.age(t, time.Hour)
		metadata, before := p.server.Requests(oauthtest.MetadataEndpoint), p.server.Refreshes()
		closeAll(p.together(t, "after a night", 10))
		p.want(t, "after a night", 1, 1)
		if n := p.server.Refreshes() - before; n != 1 {
			t.Errorf("%d refreshes; want 1", n)
		}
		if n := p.server.Requests(oauthtest.MetadataEndpoint) - metadata; n != 0 {
			t.Errorf("%d requests for metadata; want none", n)
		}
	})
}

func TestF90_ManyProcessesOfAnEndedSessionLogInOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		running := p.together(t, "first start", 5)
		time.Sleep(5 * time.Minute)
		p.server.RevokeAll(oauthtest.DefaultUser)
		var calls sync.WaitGroup
		for _, s := range running {
			calls.Go(func() { mustCall(t, "the running ones", s) })
		}
		p.together(t, "new ones", 5)
		calls.Wait()
		p.want(t, "after the server has ended the session", 2, 1)
	})
}

func TestF90_AForgottenRegistrationIsReplacedOnce(t *testing.T) {
	for name, running := range map[string]bool{"in running processes": true, "before they start": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPerson(oauthtest.Config{})
				sessions := p.together(t, "first start", 5)
				first := p.registration(t).ClientID
				if !running {
					closeAll(sessions)
				}
				p.forget(t) // which ends the sessions too
				deletes := p.server.Requests(oauthtest.RegistrationEndpoint) - 1
				p.age(t, time.Hour)
				if running {
					time.Sleep(20 * time.Minute)
					var calls sync.WaitGroup
					for _, s := range sessions {
						calls.Go(func() { mustCall(t, "the running ones", s) })
					}
					calls.Wait()
				}
				closeAll(p.together(t, "new ones", 5))
				p.want(t, "afterwards", 2, 2+deletes)
				if p.registration(t).ClientID == first {
					t.Error("the client is still the one that the server has forgotten")
				}
			})
		})
	}
}

// A database that is away for a moment makes servers say that they do not know the client.
func TestARefusalThatPassesCostsNoLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		closeAll(p.together(t, "first start", 1))
		p.age(t, time.Hour)
		p.server.Script(oauthtest.Fault{Status: 401, Body: `{"error":"invalid_client"}`})
		closeAll(p.together(t, "while it passes", 3))
		p.want(t, "afterwards", 1, 1)
	})
}

// The first process ends in the middle of its login, as by a kill: another one, which has
// waited, asks the person.
func TestF90_AProcessThatIsGoneLeavesTheLoginToAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		p.takes = time.Minute
		first := p.process(t)
		var calls sync.WaitGroup
		calls.Go(func() { _ = call(first) })
		time.Sleep(10 * time.Second)
		for range 5 {
			s := p.process(t)
			calls.Go(func() { mustCall(t, "who waited", s) })
		}
		time.Sleep(10 * time.Second)
		first.Close()
		calls.Wait()
		p.want(t, "afterwards", 2, 1)
	})
}

func TestF90_ARefusalOfThePersonIsForAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		p.refuses.Store(true)
		var calls sync.WaitGroup
		var told sync.Map
		for i := range 5 {
			s := p.process(t, func(cfg *connect.Config) { cfg.OnOtherLogin = func() { told.Store(i, true) } })
			calls.Go(func() {
				if err := call(s); !errors.Is(err, oauth.ErrAccessDenied) {
					t.Errorf("%v; want ErrAccessDenied", err)
				}
			})
		}
		calls.Wait()
		p.want(t, "afterwards", 1, 1)
		n := 0
		told.Range(func(any, any) bool { n++; return true })
		if n != 4 {
			t.Errorf("%d processes said that they wait for another; want 4", n)
		}
		p.refuses.Store(false)
		p.together(t, "the next time", 1)
		p.want(t, "the next time", 2, 1)
	})
}

func TestALoginEndsAfterItsTimeForAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		p.takes = time.Hour
		began := time.Now()
		var calls sync.WaitGroup
		for range 3 {
			s := p.process(t, func(cfg *connect.Config) { cfg.LoginTimeout = time.Minute })
			calls.Go(func() {
				if err := call(s); err == nil {
					t.Error("a call has gone well")
				}
			})
		}
		calls.Wait()
		if d := time.Since(began); d > 2*time.Minute {
			t.Errorf("they waited for %v", d)
		}
		p.want(t, "afterwards", 1, 1)
	})
}

func TestCloseEndsALoginAndAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		p.takes = time.Hour
		sessions := []*connect.Session{p.process(t), p.process(t)}
		var calls sync.WaitGroup
		for _, s := range sessions {
			calls.Go(func() {
				if err := call(s); !errors.Is(err, context.Canceled) {
					t.Errorf("%v; want context.Canceled", err)
				}
			})
			time.Sleep(5 * time.Second)
		}
		began := time.Now()
		closeAll([]*connect.Session{sessions[1], sessions[0]})
		calls.Wait()
		if d := time.Since(began); d > time.Second {
			t.Errorf("Close took %v", d)
		}
	})
}

func TestAccountsHaveSessionsOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		for _, account := range []string{"", "bob", "", "bob"} {
			closeAll(p.together(t, account, 1, func(cfg *connect.Config) { cfg.Account = account }))
		}
		p.want(t, "two accounts", 2, 1)
	})
}

func TestOpenIsOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		for range 2 {
			s, err := connect.Open(t.Context(), p.config())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Token(t.Context()); err != nil || s.Status() == nil {
				t.Error(err)
			}
			s.Close()
		}
		p.want(t, "opened twice", 1, 1)
	})
}

// What a forgotten client has left is not shown to the server by its successor.
func TestF90_APairOfAForgottenClientIsNotSpentByItsSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		closeAll(p.together(t, "first start", 1))
		p.age(t, time.Hour)
		p.server.Script(oauthtest.Fault{Grant: "refresh_token", Status: 401, Body: `{"error":"invalid_client"}`, Times: -1})
		sessions := p.together(t, "afterwards", 3)
		p.want(t, "afterwards", 2, 2)
		began := time.Now()
		for _, s := range sessions {
			mustCall(t, "with the new client", s)
		}
		if d := time.Since(began); d > time.Second {
			t.Errorf("the calls took %v", d)
		}
	})
}

// A process that learns of the new client from the Store needs no second opinion.
func TestASuccessorOfAForgottenClientIsTakenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		sessions := p.together(t, "first start", 2)
		p.forget(t)
		p.age(t, time.Hour)
		time.Sleep(20 * time.Minute)
		mustCall(t, "the first", sessions[0])
		mustCall(t, "the second, with the first one's login", sessions[1])
		sessions[0].Close()
		time.Sleep(20 * time.Minute) // the second renews as the client that it has been so far
		began := time.Now()
		mustCall(t, "the second", sessions[1])
		if d := time.Since(began); d > time.Second {
			t.Errorf("the second took %v", d)
		}
		if n := p.windows.Load(); n != 2 {
			t.Errorf("%d windows; want 2", n)
		}
	})
}

// opaqueTokens makes tokens JWTs again that have "~" for their dots.
type opaqueTokens struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (o opaqueTokens) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", strings.ReplaceAll(req.Header.Get("Authorization"), "~", "."))
	return o.RoundTripper.RoundTrip(req)
}

// A server that does not say when its tokens end shows it by a refusal alone.
func TestF90_WithoutAnEndManyProcessesRefreshOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		p.server.Script(oauthtest.Fault{Times: -1, Edit: func(fields map[string]any) {
			delete(fields, "expires_in")
			delete(fields, "id_token")
			fields["access_token"] = strings.ReplaceAll(fmt.Sprint(fields["access_token"]), ".", "~") // no JWT, which tells its end
		}})
		opaque := func(cfg *connect.Config) { cfg.Transport = opaqueTokens{cfg.Transport} }
		sessions := p.together(t, "first start", 5, opaque)
		for round := range 3 {
			time.Sleep(10 * time.Minute)
			p.server.ExpireAccess(oauthtest.DefaultUser)
			var calls sync.WaitGroup
			for _, s := range sessions {
				calls.Go(func() { mustCall(t, "a running one", s) })
			}
			sessions = append(sessions, p.together(t, "a new one", 5, opaque)...)
			calls.Wait()
			p.want(t, "after a refusal", 1, 1)
			if n := p.server.Refreshes(); n != round+1 {
				t.Errorf("round %d: %d refreshes; want %d", round, n, round+1)
			}
		}
	})
}

// Trouble of the authorization server is not a reason to ask a person.
func TestF90_TroubleOfTheServerOpensNoWindow(t *testing.T) {
	for name, fault := range map[string]oauthtest.Fault{
		"503":         {Status: 503, HTML: true, Times: 5},
		"down":        {Down: true, Times: 5},
		"lost answer": {Reset: true, AfterCommit: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPerson(oauthtest.Config{Grace: 30 * time.Second})
				closeAll(p.together(t, "first start", 1))
				p.age(t, time.Hour)
				p.server.Script(fault)
				closeAll(p.together(t, "meanwhile", 10))
				p.want(t, "afterwards", 1, 1)
			})
		})
	}
}
