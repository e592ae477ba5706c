package refresh_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// The server refuses the client, and so all of its sessions, for ten minutes. It is
// told once, for the server, and when the client is accepted again every session is
// renewed.
func TestF66_ClientIsRefusedForTenMinutes(t *testing.T) {
	for _, r := range oauthtest.Cases().ClientRefusals {
		inBubble(t, r.Name, func(t *testing.T) {
			h := newHousehold(t, 60)
			h.renewAll(t)
			pass(beforeDue)
			h.refuseClient(t, r)
			h.isOver(t, tenMinutes)
			h.toldOfTheClient(t, 1)
		})
	}
}

// As above, and the process is another one by the time that the client is accepted.
func TestF66_ProgramIsRestartedWhileItsClientIsRefused(t *testing.T) {
	for _, r := range oauthtest.Cases().ClientRefusals {
		for _, later := range []time.Duration{0, 5 * time.Hour} {
			inBubble(t, fmt.Sprintf("%s/%v later", r.Name, later), func(t *testing.T) {
				h := newHousehold(t, 60)
				h.renewAll(t)
				pass(beforeDue)
				h.refuseClient(t, r)
				pass(later)
				h.restart(t)
				pass(minute)
				if n := h.events.count(refresh.EventMisconfigured); n > 1 {
					t.Errorf("the next process has told %d times that the client is refused; want once at most", n)
				}
				h.heard(t, 0, "by the next process")
				h.isOver(t, tenMinutes)
			})
		}
	}
}

// The server goes down while it refuses the client: what comes of a probe then, whichever
// it is, ends no probing.
func TestF66_ServerIsInTroubleWhileItsClientIsRefused(t *testing.T) {
	for name, trouble := range map[string]oauthtest.Fault{
		"down":                {Status: 503},
		"unreachable":         {Down: true},
		"it breaks requests":  {Reset: true},
		"it wants to be left": {Status: 503, RetryAfter: 30 * time.Second},
		"busy":                {Status: 429},
		"behind a firewall":   {Status: 403, HTML: true},
	} {
		inBubble(t, name, func(t *testing.T) {
			h := newHousehold(t, 8)
			h.renewAll(t)
			pass(beforeDue)
			h.refuseClient(t, oauthtest.Cases().ClientRefusals[0])
			h.server.ClearScript()
			h.refuse(t, trouble)
			pass(20 * minute)
			h.heard(t, 0, "in ten minutes and twenty more")
			h.isOver(t, tenMinutes)
		})
	}
}

// The client's secret ends, and with the new one in its configuration all sessions
// live.
func TestF66_ClientSecretEndsAndIsReplaced(t *testing.T) {
	for after, n := range map[time.Duration]int{10 * minute: 200, 24 * time.Hour: 20} {
		inBubble(t, after.String(), func(t *testing.T) {
			h := newHousehold(t, n)
			h.renewAll(t)
			pass(beforeDue)
			h.before = h.tokens(t)
			h.server.SetClientSecret(oauthtest.DefaultClientID, "second")
			pass(after)
			h.toldOfTheClient(t, 1)
			h.kept(t)

			replaced := time.Now()
			h.restart(t) // which brings the new secret
			pass(5 * minute)
			h.renewedSince(t, replaced)
			h.heard(t, 0, "by the next process")
			h.clean(t)
		})
	}
}

// Whoever knows that the client is in order again need not wait for the probe.
func TestF66_ForceRefreshAndARestartAskAtOnce(t *testing.T) {
	for name, ask := range map[string]func(t *testing.T, h *household){
		"ForceRefresh": func(t *testing.T, h *household) {
			if err := h.managers[7].ForceRefresh(t.Context()); err != nil {
				t.Error(err)
			}
		},
		"restart": func(t *testing.T, h *household) { h.restart(t) },
	} {
		inBubble(t, name, func(t *testing.T) {
			h := newHousehold(t, 20)
			h.renewAll(t)
			pass(beforeDue)
			h.server.SetClientSecret(oauthtest.DefaultClientID, "second")
			pass(time.Hour)
			h.toldOfTheClient(t, 1)
			h.server.SetClientSecret(oauthtest.DefaultClientID, "first")
			over := time.Now()
			ask(t, h)
			pass(2 * minute)
			h.renewedSince(t, over)
		})
	}
}

// Some servers spend the refresh token in a request that they refuse for its client.
// Those that have found out about the client are lost there; who probes is one of
// them, so that no other is.
func TestF66_ProbesBurnNoOtherSession(t *testing.T) {
	inBubble(t, "20 sessions", func(t *testing.T) {
		h := newHousehold(t, 20, func(cfg *oauthtest.Config) { cfg.Quirks.FailureSpends = true })
		h.renewAll(t)
		pass(beforeDue)
		h.server.SetClientSecret(oauthtest.DefaultClientID, "second")
		pass(tenMinutes.lasts)
		h.server.SetClientSecret(oauthtest.DefaultClientID, "first")
		pass(time.Hour)
		lost := 0
		for _, m := range h.managers {
			if m.GetRefreshStatus().State != refresh.StateValid {
				lost++
			}
		}
		if lost > 2 {
			t.Errorf("%d of 20 sessions were burnt; want two at most", lost)
		}
	})
}

// A process with the old configuration is still there when one with the new secret
// starts: what the old one has noted does not keep the new one from asking, and the
// old one takes over what the new one has saved.
func TestF66_ProcessesWithTheOldAndTheNewSecretSideBySide(t *testing.T) {
	inBubble(t, "20 sessions", func(t *testing.T) {
		h := newHousehold(t, 20)
		h.renewAll(t)
		pass(beforeDue)
		h.server.SetClientSecret(oauthtest.DefaultClientID, "second")
		pass(10 * minute)
		old, stopOld := h.managers, h.stop
		t.Cleanup(stopOld)

		replaced := time.Now()
		h.begin(t)
		pass(5 * minute)
		h.renewedSince(t, replaced)
		h.managers = old
		h.renewedSince(t, replaced)
		h.clean(t)
	})
}

// One session alone is refused as if the client were, while its siblings are renewed:
// that says nothing about the client, and perhaps that the session has ended.
func TestF66_OneSessionIsRefusedLikeAClient(t *testing.T) {
	for _, r := range oauthtest.Cases().ClientRefusals {
		inBubble(t, r.Name, func(t *testing.T) {
			h := newHousehold(t, 8)
			h.renewAll(t)
			pass(beforeDue)
			refusal := r.Fault()
			refusal.User = h.names[7]
			h.refuse(t, refusal)
			pass(6 * time.Hour)

			h.toldOfTheClientOnly(t, 0)
			h.heard(t, 1, "in six hours")
			if st := h.managers[7].GetRefreshStatus(); st.State != stateSuspected {
				t.Errorf("the session is %s; want suspected", st.State)
			}
			if h.tokens(t)[h.names[7]] != h.before[h.names[7]] {
				t.Error("the pair is gone")
			}
			for i, m := range h.managers {
				st := m.GetRefreshStatus()
				if i != 7 && (st.State != refresh.StateValid || time.Since(st.LastRefreshAt) > 15*minute) {
					t.Errorf("%s is %s, last renewed at %v", h.names[i], st.State, st.LastRefreshAt)
				}
			}
			h.isOver(t, outage{healed: oneDay.healed})
		})
	}
}

// refuseClient lets the server refuse the client for ten minutes, and fails the test
// if a session suffers from it.
func (h *household) refuseClient(t *testing.T, r oauthtest.Refusal) {
	t.Helper()
	h.refuse(t, r.Fault())
	asked := h.requests()
	h.passServing(t, tenMinutes.lasts)
	if n := h.requests() - asked; n > 40 {
		t.Errorf("%d requests in ten minutes; want one now and then", n)
	}
	h.toldOfTheClient(t, 1)
	h.kept(t)
}

// toldOfTheClient fails the test unless it was reported so many times in this process
// that the client is refused, and no session was given up for it.
func (h *household) toldOfTheClient(t *testing.T, times int) {
	t.Helper()
	h.toldOfTheClientOnly(t, times)
	h.heard(t, 0, "while the client was refused")
	for i, m := range h.managers {
		if st := m.GetRefreshStatus(); st.State == refresh.StateLoginRequired || st.State == stateSuspected {
			t.Errorf("%s is %s", h.names[i], st.State)
			return
		}
	}
}

func (h *household) toldOfTheClientOnly(t *testing.T, times int) {
	t.Helper()
	if n := h.events.count(refresh.EventMisconfigured); n != times {
		t.Errorf("reported %d times as misconfigured; want %d", n, times)
	}
}
