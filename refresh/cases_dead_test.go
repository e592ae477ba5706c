package refresh_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// A grant is over, and the server says so in a 200 that is not an OAuth error. The person
// is told within hours, the server is asked at a falling rate, and the pair is kept:
// if the server takes it again, all is well.
func TestF69_DeadGrantInNoOAuthWords(t *testing.T) {
	for _, r := range oauthtest.Cases().DeadAnswers {
		for _, callers := range []bool{false, true} {
			inBubble(t, fmt.Sprintf("%s/callers %v", r.Name, callers), func(t *testing.T) {
				h := newHousehold(t, 1)
				h.renewAll(t)
				pass(beforeDue)
				h.refuse(t, r.Fault())
				h.passServing(t, fromThere)
				h.heard(t, 0, "while the access token lived")
				pass(time.Second)
				h.passAsking(t, 24*time.Hour, callers)
				h.heard(t, 1, "in a day")
				h.allIn(t, stateSuspected)
				h.kept(t)
				h.comesBack(t)
			})
		}
	}
}

// The same for one session of several: its siblings do not suffer.
func TestF69_OneDeadGrantOfManyInNoOAuthWords(t *testing.T) {
	for _, r := range oauthtest.Cases().DeadAnswers {
		inBubble(t, r.Name, func(t *testing.T) {
			h := newHousehold(t, 4)
			h.renewAll(t)
			pass(beforeDue)
			refusal := r.Fault()
			refusal.User = h.names[2]
			h.refuse(t, refusal)
			pass(6 * time.Hour)
			h.heard(t, 1, "in six hours")
			for i, m := range h.managers {
				want := refresh.StateValid
				if i == 2 {
					want = stateSuspected
				}
				if st := m.GetRefreshStatus(); st.State != want {
					t.Errorf("%s is %s; want %s", h.names[i], st.State, want)
				}
			}
			h.restart(t) // which finds out from their records how the others fare
			pass(minute)
			h.heard(t, 1, "by the next process")
			h.comesBack(t)
		})
	}
}

// All are refused for an hour, in which one of the grants ends. The next process is told of
// that one as soon as it knows that the others are well, whichever it asks first.
func TestF69_DeadGrantIsToldFromThoseThatRecover(t *testing.T) {
	for _, r := range oauthtest.Cases().DeadAnswers {
		inBubble(t, r.Name, func(t *testing.T) {
			h := newHousehold(t, 4)
			h.renewAll(t)
			h.refuse(t, r.Fault())
			pass(time.Hour)
			h.heard(t, 0, "while all were refused")
			h.server.ClearScript()
			dead := r.Fault()
			dead.User = h.names[2]
			faults := []oauthtest.Fault{forEver(dead)}
			for _, i := range []int{0, 1, 3} { // whose answers come later
				faults = append(faults, forEver(oauthtest.Fault{User: h.names[i], Delay: 5 * time.Second}))
			}
			h.server.Script(faults...)
			h.restart(t)
			pass(3 * minute)
			h.heard(t, 1, "by the next process")
			h.allIn(t, refresh.StateValid, stateSuspected)
			h.comesBack(t)
		})
	}
}

// In a pool with one session nothing shows that others are well. Whoever opened it is told
// after the time that a suspicion takes, and at once if the process ends before that.
func TestF69_DeadGrantAloneInAPool(t *testing.T) {
	for _, r := range oauthtest.Cases().DeadAnswers {
		for short, within := range map[bool]time.Duration{false: 30 * minute, true: minute} {
			inBubble(t, fmt.Sprintf("%s/short-lived %v", r.Name, short), func(t *testing.T) {
				h := newHousehold(t, 1)
				h.renewAll(t)
				h.refuse(t, r.Fault())
				pass(6 * time.Hour)
				h.stop()
				h.edit = func(cfg *refresh.Config) { cfg.ShortLived = short }
				h.beginPool(t)
				for end := time.Now().Add(within); time.Now().Before(end); pass(minute) {
					if _, err := h.managers[0].TokenContext(t.Context()); err == nil {
						t.Fatal("a dead token is served")
					}
				}
				h.heard(t, 1, "by a pool")
				h.kept(t)
			})
		}
	}
}

// A restart asks at once, tells the next program once, and does not make asking
// frequent again.
func TestF69_RestartAsksASuspectedGrantAtOnce(t *testing.T) {
	for _, r := range oauthtest.Cases().DeadAnswers {
		inBubble(t, r.Name, func(t *testing.T) {
			h := newHousehold(t, 1)
			h.renewAll(t)
			h.refuse(t, r.Fault())
			pass(12 * time.Hour)
			asked := h.requests()
			h.restart(t)
			pass(minute)
			// An answer with nothing in it may have been lost, and is asked for again.
			if n := h.requests() - asked; n < 1 || n > 6 {
				t.Errorf("%d requests in the first minute; want it asked at once, and no more than a few times", n)
			}
			h.passAsking(t, 12*time.Hour, false)
			h.allIn(t, stateSuspected)
			h.heard(t, 1, "by the next process")
			h.kept(t)

			h.server.ClearScript()
			over := time.Now()
			h.restart(t)
			pass(minute)
			h.renewedSince(t, over)
			h.clean(t)
		})
	}
}

// A caller who forces a refresh of a suspected session gets the server's answer of
// today.
func TestF69_ForceRefreshAsksASuspectedGrantAtOnce(t *testing.T) {
	for _, r := range oauthtest.Cases().DeadAnswers {
		inBubble(t, r.Name, func(t *testing.T) {
			h := newHousehold(t, 1)
			h.renewAll(t)
			h.refuse(t, r.Fault())
			pass(12 * time.Hour)
			h.allIn(t, stateSuspected)
			h.server.ClearScript()
			if err := h.managers[0].ForceRefresh(t.Context()); err != nil {
				t.Errorf("not renewed: %v", err)
			}
			h.allIn(t, refresh.StateValid)
			h.clean(t)
		})
	}
}

// passAsking lets time pass, and fails the test if the server is asked too often. If
// there are callers, they want a token every minute and are told what is the matter
// without a request for each; without them, asking gets rarer.
func (h *household) passAsking(t *testing.T, d time.Duration, callers bool) {
	t.Helper()
	first := h.requests()
	for end := time.Now().Add(d); time.Now().Before(end); {
		asked := h.requests()
		for range 60 {
			if callers {
				if _, err := h.managers[0].TokenContext(t.Context()); err == nil {
					t.Fatal("a dead token is served")
				}
			}
			pass(minute)
		}
		if n := h.requests() - asked; n > 12 {
			t.Fatalf("%d requests in an hour; want a few", n)
		}
	}
	if n := h.requests() - first; n > 60 && !callers {
		t.Errorf("%d requests in %v; want one in an hour after the first few", n, d)
	}
	if n := h.requests() - first; n < int(d/time.Hour)/2 {
		t.Errorf("%d requests in %v; want it tried now and then", n, d)
	}
}

// comesBack lets the server accept again what it refused, and fails the test unless
// that is noticed and reported.
func (h *household) comesBack(t *testing.T) {
	t.Helper()
	h.isOver(t, oneDay)
	if n := h.events.count(eventRecovered); n != 1 {
		t.Errorf("reported %d times that a session has recovered; want once", n)
	}
}

// What is told about a suspected session says both: that a login probably helps, and
// that the session may come back by itself.
func TestF69_ErrorOfASuspectedGrantAsksForALogin(t *testing.T) {
	for _, r := range oauthtest.Cases().DeadAnswers {
		inBubble(t, r.Name, func(t *testing.T) {
			h := newHousehold(t, 1)
			h.renewAll(t)
			h.refuse(t, r.Fault())
			pass(12 * time.Hour)
			heard := h.told.heard()
			_, err := h.managers[0].TokenContext(t.Context())
			for _, err := range append(heard, err) {
				is(t, err, oauth.ErrLoginRequired)
				saysNothingOf(t, r, err)
			}
		})
	}
}
