package refresh_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// A kind is a kind of refusal, with what it should come to by the rules of
// docs/verdicts.md.
type kind struct {
	name    string
	refusal oauthtest.Fault

	// While the access token lives, and long after its end.
	alive, dead outcome
	// A session that is alone at its server may be suspected where several that are
	// refused alike are not.
	deadAlone outcome
	// What brings the sessions back when the server accepts them again: time and a
	// restart, or only a new configuration.
	final bool
}

// An outcome is what becomes of sessions.
type outcome struct {
	states        []refresh.State // they are in one of these
	told          often           // OnRefreshFail, for each session
	misconfigured often           // EventMisconfigured, for all of them
}

// often is how often something is reported.
type often int

const (
	never often = iota
	perhaps
	once
)

// allows reports whether n reports of m things are as often as they should be.
func (o often) allows(n, m int) bool {
	switch o {
	case never:
		return n == 0
	case perhaps:
		return n <= m
	}
	return n == m
}

func kinds() []kind {
	retrying := outcome{states: []refresh.State{refresh.StateRetrying}}
	suspected := outcome{states: []refresh.State{stateSuspected}, told: once}
	ended := outcome{states: []refresh.State{refresh.StateLoginRequired}, told: once}
	// All sessions are refused alike: none of them is suspected for that, the server
	// may be.
	alike := outcome{states: []refresh.State{refresh.StateRetrying, refresh.StateMisconfigured}, misconfigured: perhaps}
	// A server in trouble is asked by few of its sessions; others that no caller waits for do not try.
	heldBack := outcome{states: []refresh.State{refresh.StateRetrying, refresh.StateValid}}
	// Sessions of a client that is refused wait for the one that asks now and then.
	refused := outcome{
		states:        []refresh.State{refresh.StateMisconfigured, refresh.StateRetrying, refresh.StateValid},
		misconfigured: once,
	}
	// The client's only session may have ended: some servers say it so.
	refusedAlone := outcome{states: []refresh.State{refresh.StateMisconfigured, stateSuspected}, told: perhaps, misconfigured: once}
	return []kind{
		{"trouble", oauthtest.Fault{Status: 400, Body: `{"error":"temporarily_unavailable"}`}, heldBack, heldBack, retrying, false},
		{"client", oauthtest.Fault{Status: 401, Body: `{"error":"invalid_client"}`}, refused, refused, refusedAlone, false},
		{"unclear", oauthtest.Fault{Status: 400, Body: `{"message":"no"}`}, retrying, alike, suspected, false},
		{"odd 200", oauthtest.Fault{Status: 200, Body: `{"success":false}`}, retrying, alike, suspected, false},
		{"certain", oauthtest.Fault{Status: 400, Body: `{"error":"invalid_grant"}`}, ended, ended, ended, true},
	}
}

// A way is how the program comes to the moment when the server accepts it again, and
// within which time all is well then.
type way struct {
	name               string
	restart, newSecret bool
	healed             time.Duration
}

func ways() []way {
	return []way{
		{"same process", false, false, 70 * minute},
		{"restart", true, false, 15 * minute},
		{"new configuration", true, true, 5 * minute},
	}
}

// Each kind of refusal, before and after the first refresh, with a living and a dead
// access token, for one session and several, and how the program goes on.
func TestEachKindOfRefusalComesToWhatItShould(t *testing.T) {
	for _, k := range kinds() {
		for _, refreshed := range []bool{false, true} {
			for _, dead := range []bool{false, true} {
				for _, n := range []int{1, 8} {
					for _, w := range ways() {
						name := fmt.Sprintf("%s/refreshed %v/dead %v/%d sessions/%s", k.name, refreshed, dead, n, w.name)
						inBubble(t, name, func(t *testing.T) { k.play(t, n, refreshed, dead, w) })
					}
				}
			}
		}
	}
}

func TestEachKindOfRefusalComesToWhatItShouldForManySessions(t *testing.T) {
	for _, k := range kinds() {
		inBubble(t, k.name, func(t *testing.T) { k.play(t, 60, true, true, ways()[0]) })
	}
}

// play lets n sessions be refused, and then accepted again.
func (k kind) play(t *testing.T, n int, refreshed, dead bool, w way) {
	h := newHousehold(t, n)
	if refreshed {
		h.renewAll(t)
	}
	pass(beforeDue)
	h.refuse(t, k.refusal)
	h.passServing(t, fromThere)
	want := k.alive
	switch {
	case dead && n == 1:
		pass(6 * time.Hour)
		want = k.deadAlone
	case dead:
		pass(time.Hour)
		want = k.dead
	}
	h.hasCome(t, want)

	h.server.ClearScript()
	if w.newSecret {
		h.server.SetClientSecret(oauthtest.DefaultClientID, "second")
	}
	if w.restart {
		h.restart(t)
	}
	if k.final && !w.newSecret {
		pass(w.healed)
		h.allIn(t, refresh.StateLoginRequired)
		h.kept(t)
	} else {
		h.heals(t, w.healed)
	}
	h.clean(t)
}

// hasCome fails the test unless that is what has become of the sessions.
func (h *household) hasCome(t *testing.T, o outcome) {
	t.Helper()
	h.allIn(t, o.states...)
	if n := len(h.told.heard()); !o.told.allows(n, len(h.names)) {
		t.Errorf("OnRefreshFail was called %d times for %d sessions: %v", n, len(h.names), h.told.heard()[:min(n, 1)])
	}
	if n := h.events.count(refresh.EventMisconfigured); !o.misconfigured.allows(n, 1) {
		t.Errorf("reported %d times as misconfigured", n)
	}
	h.kept(t)
}
