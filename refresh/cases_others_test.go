package refresh_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// The tests in this file are about what one session's refusals say, given how the others
// of its server fare, in processes that are restarted all the time.

// lonelyWords are refusals that say neither that a session has ended nor that it has not.
func lonelyWords() map[string]oauthtest.Fault {
	return map[string]oauthtest.Fault{
		"unclear": unclear,
		"client":  {Status: 401, Body: `{"error":"invalid_client"}`},
		"empty":   {Status: 200, Body: `{}`},
	}
}

// passRestarting lets time pass, in which the process is restarted time and again, and
// returns how often OnRefreshFail and EventMisconfigured were heard in all processes.
// watch is called every minute.
func (h *household) passRestarting(t *testing.T, d, every time.Duration, watch func()) (told, misconfigured int) {
	t.Helper()
	count := func() {
		told += len(h.told.heard())
		misconfigured += h.events.count(refresh.EventMisconfigured)
	}
	next := time.Now().Add(every)
	for end := time.Now().Add(d); time.Now().Before(end); {
		pass(minute)
		watch()
		if every > 0 && !time.Now().Before(next) {
			count()
			h.restart(t)
			next = next.Add(every)
		}
	}
	count()
	return told, misconfigured
}

// Some sessions of a pool are dead in words that do not say so. Each is told within hours,
// and by no process twice, however often the process is restarted. The others go on, and
// it is not taken for the matter of the server time and again.
func TestF69_DeadGrantsAmongOthersAreToldWhateverTheRestarts(t *testing.T) {
	for name, words := range lonelyWords() {
		for _, dead := range []int{1, 2} {
			for _, every := range []time.Duration{0, 5 * minute, 50 * minute} {
				inBubble(t, fmt.Sprintf("%s/%d dead/restart every %v", name, dead, every), func(t *testing.T) {
					h := newHousehold(t, 6)
					h.renewAll(t)
					for _, user := range h.names[:dead] {
						fault := forEver(words)
						fault.User = user
						h.server.Script(fault)
					}
					h.before = h.tokens(t)
					pass(allDue)
					without := make(map[string]int) // minutes in a row
					told, misconfigured := h.passRestarting(t, 3*time.Hour, every, func() {
						for i, m := range h.managers[dead:] {
							name := h.names[dead+i]
							without[name]++
							if time.Now().Before(m.GetExpiresAt()) {
								without[name] = 0
							}
							// Two that die one after the other look like a refused client, for ten minutes.
							if most := 11 * (dead - 1); without[name] > most {
								t.Errorf("the token of %s has been dead for %d minutes", name, without[name])
							}
						}
					})
					processes := 1
					if every > 0 {
						processes += int(3 * time.Hour / every)
					}
					if told < dead || told > dead*processes {
						t.Errorf("OnRefreshFail was called %d times; want it for each of %d, once by each of %d processes at most", told, dead, processes)
					}
					// Until another one was renewed it is not known whose matter it is.
					if most := 1 + int(15*minute/max(every, minute)); misconfigured > most {
						t.Errorf("reported %d times as misconfigured; want %d at most", misconfigured, most)
					}
					for _, user := range h.names[:dead] {
						if h.tokens(t)[user] != h.before[user] {
							t.Errorf("%s's pair is gone", user)
						}
					}
					h.isOver(t, oneDay)
				})
			}
		}
	}
}

// One session of a process of its own is dead, in words about the client. Sessions of
// other processes do not suffer from what that one has noted.
func TestF66_OneSessionsProcessDoesNotHoldUpOthers(t *testing.T) {
	inBubble(t, "6 sessions", func(t *testing.T) {
		h := newHousehold(t, 6)
		h.renewAll(t)
		h.stop()
		all := h.names
		one := *h
		one.names, h.names = all[:1], all[1:]
		h.begin(t)
		one.begin(t)
		t.Cleanup(func() { one.stop() })
		fault := forEver(lonelyWords()["client"])
		fault.User = all[0]
		h.server.Script(fault)
		for range 3 * 60 {
			pass(minute)
			for i, m := range h.managers {
				if !time.Now().Before(m.GetExpiresAt()) {
					t.Fatalf("the token of %s is dead: %s", h.names[i], m.GetRefreshStatus().LastError)
				}
			}
		}
		h.toldOfTheClient(t, 0)
		one.toldOfTheClientOnly(t, 1)
	})
}

// The last refusals of an outage may arrive after the first success. Nothing follows from them.
func TestF62_RefusalThatIsOnItsWayWhenTheServerIsBack(t *testing.T) {
	inBubble(t, "3 sessions", func(t *testing.T) {
		h := newHousehold(t, 3)
		h.renewAll(t)
		h.refuse(t, unclear)
		pass(5 * time.Hour)
		h.stop()
		late := unclear
		late.User, late.Delay = h.names[0], 10*time.Second
		h.server.ClearScript()
		h.server.Script(late, oauthtest.Fault{User: h.names[1], Delay: time.Second}, oauthtest.Fault{User: h.names[2], Delay: time.Second})
		h.begin(t)
		pass(2 * minute)
		h.heard(t, 0, "when the server was back")
		h.clean(t)
	})
}

// Two grants end one after the other, in words about the client, before any other session
// is due. The others do not wait for them for good.
func TestF66_TwoDeadGrantsDoNotStarveTheOthers(t *testing.T) {
	for _, r := range oauthtest.Cases().ClientRefusals {
		inBubble(t, r.Name, func(t *testing.T) {
			h := newHousehold(t, 6)
			h.renewAll(t)
			var faults []oauthtest.Fault
			for _, user := range h.names[:2] {
				fault := forEver(r.Fault())
				fault.User = user
				faults = append(faults, fault)
			}
			h.server.Script(faults...)
			for _, m := range h.managers[:2] {
				if err := m.ForceRefresh(t.Context()); err == nil {
					t.Fatal("a dead grant is renewed")
				}
			}
			begun := time.Now()
			for range 30 {
				pass(minute)
				for i, m := range h.managers[2:] {
					if !time.Now().Before(m.GetExpiresAt()) {
						t.Errorf("the token of %s is dead", h.names[2+i])
					}
				}
			}
			for i, m := range h.managers[2:] {
				if st := m.GetRefreshStatus(); st.LastRefreshAt.Before(begun) || st.TimeUntilExpiry <= 0 {
					t.Errorf("%s is %s, and was not renewed: %s", h.names[2+i], st.State, st.LastError)
				}
			}
			h.isOver(t, oneDay)
		})
	}
}
