package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

var (
	unclear = oauthtest.Fault{Status: 400, Body: `{"message":"no"}`}
	unread  = oauthtest.Fault{Status: 200, Body: `{"token":"abcdefghijklmnopqrstuvwxyz012345","renew":"abcdefghijklmnopqrstuvwxyz012345"}`}
)

// another starts a second process over the same store.
func (h *household) another(t *testing.T) *household {
	t.Helper()
	other := *h
	t.Cleanup(func() { other.stop() })
	other.begin(t)
	return &other
}

// passWanting lets time pass, in which somebody wants each session's token every
// five seconds, without much patience.
func (h *household) passWanting(t *testing.T, d time.Duration) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); pass(5 * time.Second) {
		for _, m := range h.managers {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				_, _ = m.TokenContext(ctx)
			}()
		}
	}
}

// well counts the sessions that have a living token.
func (h *household) well() (n int) {
	for _, m := range h.managers {
		if m.GetRefreshStatus().State == refresh.StateValid && m.GetExpiresAt().After(time.Now()) {
			n++
		}
	}
	return n
}

// However long many sessions have been refused, the first that is renewed brings all
// of them back: within a check interval, and the half of one over which a crowd is
// spread.
func TestF66_FirstSuccessBringsAllSessionsBack(t *testing.T) {
	for name, refusal := range map[string]oauthtest.Fault{"client": {Status: 401, Body: `{"error":"invalid_client"}`}, "unclear": unclear} {
		for _, lasts := range []time.Duration{10 * minute, time.Hour, 6 * time.Hour} {
			for _, callers := range []bool{false, true} {
				inBubble(t, fmt.Sprintf("%s/%v/callers %v", name, lasts, callers), func(t *testing.T) {
					h := newHousehold(t, 8)
					h.renewAll(t)
					other := h.another(t)
					pass(beforeDue)
					h.refuse(t, refusal)
					if callers {
						h.passWanting(t, lasts)
					} else {
						pass(lasts)
					}
					h.server.ClearScript()
					for range 2 * 60 {
						if pass(minute / 2); h.well()+other.well() > 0 {
							break
						}
					}
					pass(2 * minute)
					if n := h.well() + other.well(); n != 16 {
						t.Errorf("%d of 8 sessions in two processes are well two minutes after the first was renewed", n)
					}
					h.heard(t, 0, "while all were refused alike")
					for _, process := range []*household{h, other} {
						if process.events.count(refresh.EventMisconfigured) > 0 && process.events.count(eventRecovered) == 0 {
							t.Error("told that something has to be changed, and not that it is over")
						}
					}
					h.clean(t)
				})
			}
		}
	}
}

// The client of one configuration is refused, and that of another, too: what they say
// of each other in the store is not taken for a success.
func TestF66_TwoConfigurationsAreRefusedSideBySide(t *testing.T) {
	for _, n := range []int{1, 20} {
		inBubble(t, fmt.Sprintf("%d sessions", n), func(t *testing.T) {
			h := newHousehold(t, n)
			h.renewAll(t)
			h.server.SetClientSecret(oauthtest.DefaultClientID, "second")
			other := h.another(t)
			pass(beforeDue)
			asked := h.requests()
			h.server.SetClientSecret(oauthtest.DefaultClientID, "third")
			pass(time.Hour)
			h.toldOfTheClient(t, 1)
			other.toldOfTheClient(t, 1)
			if n := h.requests() - asked; n > 30 {
				t.Errorf("%d requests in an hour; want one now and then", n)
			}

			h.server.SetClientSecret(oauthtest.DefaultClientID, "second")
			pass(15 * minute)
			// Either may be the one that asks first the next time, and be refused.
			for _, m := range append(h.managers, other.managers...) {
				if !m.GetExpiresAt().After(time.Now()) {
					t.Errorf("the token is dead after one client was accepted: %s", m.GetRefreshStatus().LastError)
				}
			}
			h.clean(t)
		})
	}
}

// A noticeless is a store that fails with what it knows of servers, but not of
// sessions.
type noticeless struct {
	*tokenstore.Memory
	get, set atomic.Bool // which fails
}

func (s *noticeless) Get(ctx context.Context, name string) (*tokenstore.Record, error) {
	if s.get.Load() && s.ofServer(name) {
		return nil, tokenstore.ErrUnavailable
	}
	return s.Memory.Get(ctx, name)
}

func (s *noticeless) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	if s.set.Load() && s.ofServer(name) {
		return 0, tokenstore.ErrUnavailable
	}
	return s.Memory.Set(ctx, name, rec)
}

func (s *noticeless) ofServer(name string) bool { return !strings.HasPrefix(name, "user") }

// What a store cannot tell or take is not a sign that the client is accepted again.
func TestF66_StoreThatFailsSaysNothingOfTheClient(t *testing.T) {
	for what, fail := range map[string]func(s *noticeless){
		"reads":  func(s *noticeless) { s.get.Store(true) },
		"writes": func(s *noticeless) { s.set.Store(true) },
	} {
		for _, later := range []bool{false, true} {
			inBubble(t, fmt.Sprintf("%s/later %v", what, later), func(t *testing.T) {
				h := newHousehold(t, 20)
				h.renewAll(t)
				h.stop()
				store := &noticeless{Memory: h.store.(*tokenstore.Memory)}
				h.store = store
				h.begin(t)
				pass(beforeDue)
				h.server.SetClientSecret(oauthtest.DefaultClientID, "second")
				if later {
					pass(20 * minute)
				}
				fail(store)
				asked := h.requests()
				pass(2 * time.Hour)
				h.toldOfTheClient(t, 1)
				if n := h.requests() - asked; n > 30 {
					t.Errorf("%d requests in two hours; want one now and then", n)
				}
			})
		}
	}
}

// A login is asked for where it probably helps, over a store with locks as well.
func TestSuspectedSessionIsLoggedInToAgain(t *testing.T) {
	synctestRun := func(name string, test func(t *testing.T, f *fixture, login func(context.Context) (*oauth.TokenPair, error), logins *int)) {
		inBubble(t, name, func(t *testing.T) {
			var f *fixture
			logins := 0
			login := func(context.Context) (*oauth.TokenPair, error) {
				logins++
				f.server.ClearScript()
				return f.server.Login("alice")
			}
			f = newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) {
				if name == "Reauthenticate" {
					cfg.OnRefreshFail, cfg.Reauthenticate = func(error) bool { return true }, login
				}
			}).start(t)
			f.server.Script(forEver(unclear))
			pass(2 * time.Hour)
			test(t, f, login, &logins)
			pass(minute)
			f.inState(t, refresh.StateValid)
			f.clean(t)
		})
	}
	synctestRun("Reauthenticate", func(t *testing.T, f *fixture, _ func(context.Context) (*oauth.TokenPair, error), logins *int) {
		if *logins != 1 {
			t.Errorf("Reauthenticate was called %d times; want once", *logins)
		}
	})
	for _, restarted := range []bool{false, true} {
		for _, over := range []bool{false, true} {
			synctestRun(fmt.Sprintf("StartOrLogin/restarted %v/over %v", restarted, over), func(t *testing.T, f *fixture, login func(context.Context) (*oauth.TokenPair, error), logins *int) {
				f.inState(t, stateSuspected)
				if restarted {
					f.Stop()
				}
				want := 1
				if over {
					want = 0
					f.server.ClearScript()
				}
				if err := f.StartOrLogin(t.Context(), login); err != nil || *logins != want {
					t.Errorf("StartOrLogin asked for %d logins, and returned %v; want %d", *logins, err, want)
				}
			})
		}
	}
}

// A session that was suspected, and is well again by whatever way, is reported so once;
// when it is refused anew, that is another matter, and told. The server does not rotate
// refresh tokens, so that the grant looks the same.
func TestSuspicionEndsWithWhoeverRenewsTheSession(t *testing.T) {
	for name, renew := range map[string]func(t *testing.T, h *household) error{
		"itself": func(t *testing.T, h *household) error { return h.managers[0].ForceRefresh(t.Context()) },
		"itself, after an outage": func(t *testing.T, h *household) error {
			h.server.Script(oauthtest.Fault{Status: 503})
			return errors.Join(wantError(h.managers[0].ForceRefresh(t.Context())), h.managers[0].ForceRefresh(t.Context()))
		},
		"another process": func(t *testing.T, h *household) error { return h.another(t).managers[0].ForceRefresh(t.Context()) },
	} {
		inBubble(t, name, func(t *testing.T) {
			h := newHousehold(t, 1, func(cfg *oauthtest.Config) { cfg.NoRotation = true })
			h.refuse(t, unclear)
			pass(2 * time.Hour)
			h.allIn(t, stateSuspected)
			h.server.ClearScript()
			if err := renew(t, h); err != nil {
				t.Fatal(err)
			}
			pass(2 * minute)
			h.allIn(t, refresh.StateValid)
			if n := h.events.count(eventRecovered); n != 1 {
				t.Errorf("reported %d times that the session has recovered; want once", n)
			}
			h.refuse(t, unclear)
			pass(2 * time.Hour)
			h.heard(t, 2, "of two times in which it was refused")
		})
	}
}

func wantError(err error) error {
	if err == nil {
		return errors.New("no error")
	}
	return nil
}

// That all sessions are refused alike is told once, and once that it is over.
func TestEndOfARefusalOfAllIsReported(t *testing.T) {
	inBubble(t, "20 sessions", func(t *testing.T) {
		h := newHousehold(t, 20)
		h.refuse(t, unclear)
		pass(6 * time.Hour)
		h.server.ClearScript()
		pass(time.Hour)
		told, over := h.events.count(refresh.EventMisconfigured), h.events.count(eventRecovered)
		if told != 1 || over != 1 {
			t.Errorf("reported %d times as misconfigured, and %d times as recovered; want once each", told, over)
		}
	})
}

// A refresh token that was answered with tokens nobody can find is spent. A refusal in
// front of the server says nothing else.
func TestAnswerThatNobodyCouldReadStaysTheLastOne(t *testing.T) {
	for name, then := range map[string]oauthtest.Fault{
		"404": {Status: 404}, "503": {Status: 503}, "invalid_client": {Status: 401, Body: `{"error":"invalid_client"}`}, "reset": {Reset: true}, "unread": unread,
	} {
		inBubble(t, name, func(t *testing.T) {
			h := newHousehold(t, 1)
			h.refuse(t, unread)
			pass(time.Hour)
			h.server.ClearScript()
			h.server.Script(forEver(then))
			for range 4 {
				if err := h.managers[0].ForceRefresh(t.Context()); err == nil {
					t.Error("no error")
				}
				pass(10 * minute)
			}
			h.allIn(t, refresh.StateMisconfigured)
			h.heard(t, 0, "of an answer that nobody could read")
			asked := h.requests()
			pass(24 * time.Hour)
			h.restart(t)
			pass(24 * time.Hour)
			if n := h.requests() - asked; n != 0 {
				t.Errorf("the spent token was sent %d times", n)
			}
			h.allIn(t, refresh.StateMisconfigured)
			h.heard(t, 0, "of an answer that nobody could read")
			h.kept(t)
		})
	}
}

// The record says that a refresh token may be spent until the server itself has answered
// otherwise.
func TestPendingMarkStaysWhileTheTokenMayBeSpent(t *testing.T) {
	lost := oauthtest.Fault{Reset: true, Times: 5} // with all of its replays
	for name, c := range map[string]struct {
		answers []oauthtest.Fault
		pending bool
	}{
		"404":                 {[]oauthtest.Fault{{Status: 404}}, false},
		"503":                 {[]oauthtest.Fault{{Status: 503}}, false},
		"throttled":           {[]oauthtest.Fault{{Status: 400, Body: `{"error":"slow_down"}`}}, false},
		"502":                 {[]oauthtest.Fault{{Status: 502}}, true},
		"504":                 {[]oauthtest.Fault{{Status: 504}}, true},
		"throttled, but 200":  {[]oauthtest.Fault{{Status: 200, Body: `{"error":"ratelimited"}`}}, true},
		"lost":                {[]oauthtest.Fault{lost}, true},
		"lost, then 404":      {[]oauthtest.Fault{lost, {Status: 404}}, true},
		"lost, then a client": {[]oauthtest.Fault{lost, {Status: 401, Body: `{"error":"invalid_client"}`}}, true},
	} {
		inBubble(t, name, func(t *testing.T) {
			h := newHousehold(t, 1)
			pass(2 * minute)
			h.server.Script(c.answers...)
			for range c.answers {
				if err := h.managers[0].ForceRefresh(t.Context()); err == nil {
					t.Error("no error")
				}
			}
			rec, err := h.store.Get(t.Context(), h.names[0])
			if err != nil {
				t.Fatal(err)
			}
			if pending := rec.Pending.On(rec.Tokens.RefreshToken); pending != c.pending {
				t.Errorf("the record says that the token may be spent: %v; want %v", pending, c.pending)
			}
		})
	}
}
