package refresh_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// An outage is how long something goes on, and within which time after it all is
// well again.
type outage struct{ lasts, healed time.Duration }

var (
	tenMinutes = outage{11 * minute, 15 * minute} // from the first refusal, that is
	oneDay     = outage{24 * time.Hour, 70 * minute}
)

// Something in front of the token endpoint refuses for ten minutes, of which the
// access tokens are dead for three. Nobody hears of it, and every session goes on.
func TestF62_RefusalInFrontOfTheServerForTenMinutes(t *testing.T) {
	for _, r := range oauthtest.Cases().PassingRefusals {
		for _, n := range []int{1, 8} {
			for _, restarted := range []bool{false, true} {
				inBubble(t, fmt.Sprintf("%s/%d sessions/restarted %v", r.Name, n, restarted), func(t *testing.T) {
					h := newHousehold(t, n)
					h.renewAll(t)
					h.passServing(t, beforeDue)
					h.refuse(t, r.Fault())
					h.passServing(t, tenMinutes.lasts/2)
					if restarted {
						h.heard(t, 0, "before the restart")
						h.restart(t)
					}
					h.passServing(t, tenMinutes.lasts/2)
					h.heard(t, 0, "in ten minutes")
					h.kept(t)
					h.isOver(t, tenMinutes)
				})
			}
		}
	}
}

// After a day people may have been told, once, that a session perhaps has ended; not
// where all sessions of the server fare alike. It has not.
func TestF62_RefusalInFrontOfTheServerForADay(t *testing.T) {
	for _, r := range oauthtest.Cases().PassingRefusals {
		for _, n := range []int{1, 3} {
			inBubble(t, fmt.Sprintf("%s/%d sessions", r.Name, n), func(t *testing.T) {
				h := newHousehold(t, n)
				h.renewAll(t)
				h.passServing(t, beforeDue)
				h.refuse(t, r.Fault())
				h.passServing(t, fromThere)
				h.heard(t, 0, "while the access tokens lived")
				pass(oneDay.lasts - fromThere)
				if heard := h.told.heard(); n > 1 {
					h.heard(t, 0, "in a day in which all sessions were refused")
				} else if len(heard) > 1 {
					t.Errorf("OnRefreshFail was called %d times in a day; want once at most", len(heard))
				}
				h.kept(t)
				h.isOver(t, oneDay)
			})
		}
	}
}

// A program that is started in the middle of a day's outage knows no better than its
// predecessor. That all of its sessions fare alike it finds out first.
func TestF62_ProgramIsRestartedInADaysOutage(t *testing.T) {
	for _, r := range oauthtest.Cases().PassingRefusals {
		for _, n := range []int{1, 8} {
			inBubble(t, fmt.Sprintf("%s/%d sessions", r.Name, n), func(t *testing.T) {
				h := newHousehold(t, n)
				h.renewAll(t)
				h.refuse(t, r.Fault())
				for range 4 {
					pass(oneDay.lasts / 4)
					if n > 1 {
						h.heard(t, 0, "in an outage that all sessions are in")
					}
					h.restart(t)
				}
				h.isOver(t, oneDay)
				if n > 1 {
					h.heard(t, 0, "after the outage")
				}
			})
		}
	}
}

// A pool opens sessions when users come. The first one, whose siblings are not there yet, is
// no reason to believe that it alone is refused.
func TestF62_FirstUserAfterARestartInADaysOutage(t *testing.T) {
	for kind, refusals := range map[string][]oauthtest.Refusal{"passing": oauthtest.Cases().PassingRefusals, "client": oauthtest.Cases().ClientRefusals} {
		for _, r := range refusals {
			inBubble(t, kind+"/"+r.Name, func(t *testing.T) {
				h := newHousehold(t, 8)
				h.renewAll(t)
				h.refuse(t, r.Fault())
				pass(5 * time.Hour)
				all := h.names
				h.stop()
				h.names = all[:1]
				h.beginPool(t)
				pass(5 * minute)
				h.heard(t, 0, "by a process that has opened one session")
				for _, name := range all[1:] {
					h.open(t, name)
				}
				h.names = all
				pass(3 * time.Hour)
				h.heard(t, 0, "while all sessions were refused")
				h.isOver(t, oneDay)
			})
		}
	}
}

// isOver lets the server work again, and fails the test unless all sessions are
// renewed in time.
func (h *household) isOver(t *testing.T, o outage) {
	t.Helper()
	h.server.ClearScript()
	h.heals(t, o.healed)
	h.clean(t)
}

// troubles are answers that name trouble, throttling or retrying, in the words of
// many servers.
func troubles() map[string]string {
	bodies := map[string]string{
		"TooManyRequestsException": `{"__type":"TooManyRequestsException","message":"Rate exceeded"}`,
		"is_transient":             `{"error":{"message":"x","code":2,"is_transient":true}}`,
		"status in the body":       `{"status":503,"body":{},"error":"try again"}`,
		"ok false":                 `{"ok":false,"error":"ratelimited"}`,
	}
	for _, code := range []string{
		"temporarily_unavailable", "server_error", "service_unavailable", "internal_error",
		"ratelimited", "rate_limit_exceeded", "slow_down", "TooManyRequestsException",
	} {
		bodies["error "+code] = fmt.Sprintf(`{"error":%q}`, code)
	}
	return bodies
}

// Words that name trouble are trouble, under whatever status and for however long.
func TestF65_TroubleInWordsIsNeverAVerdict(t *testing.T) {
	for name, body := range troubles() {
		for _, status := range []int{200, 400, 403} {
			for _, refreshed := range []bool{false, true} {
				inBubble(t, fmt.Sprintf("%d %s/refreshed %v", status, name, refreshed), func(t *testing.T) {
					h := newHousehold(t, 1)
					if refreshed {
						h.renewAll(t)
					}
					h.passServing(t, beforeDue)
					h.refuse(t, oauthtest.Fault{Status: status, Body: body})
					pass(3 * time.Hour)
					h.allIn(t, refresh.StateRetrying)
					h.heard(t, 0, "in three hours")
					h.kept(t)
					h.isOver(t, oneDay)
				})
			}
		}
	}
}
