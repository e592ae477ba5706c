package refresh_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// certainties are answers of token endpoints in words that mean only one thing: the
// grant is over.
func certainties() map[string]oauthtest.Fault {
	said := map[string]oauthtest.Fault{
		"200 bad_refresh_token":     {Status: 200, Body: `{"error":"bad_refresh_token","error_description":"The refresh token passed is incorrect or expired."}`},
		"200 invalid_refresh_token": {Status: 200, Body: `{"ok":false,"error":"invalid_refresh_token"}`},
		"401 TOKEN_REUSED, nested":  {Status: 401, Body: `{"error":{"code":401,"reason":"TOKEN_REUSED","message":"x"}}`},
	}
	for _, code := range []string{
		"invalid_grant", "interaction_required", "consent_required", "login_required", "account_selection_required",
	} {
		said["400 "+code] = oauthtest.Fault{Status: 400, Body: fmt.Sprintf(`{"error":%q}`, code)}
	}
	for _, code := range []string{"TOKEN_REUSED", "token_reused", "Token_Reused", "TokenReused", "TOKEN_EXPIRED", "token_invalid"} {
		said["401 "+code] = oauthtest.Fault{Status: 401, Body: fmt.Sprintf(`{"error":%q}`, code)}
	}
	return said
}

// The first refresh that is answered so is the last.
func TestCertainWordIsTakenAtOnce(t *testing.T) {
	for name, fault := range certainties() {
		for _, refreshed := range []bool{false, true} {
			inBubble(t, fmt.Sprintf("%s/refreshed %v", name, refreshed), func(t *testing.T) {
				h := newHousehold(t, 1)
				if refreshed {
					h.renewAll(t)
				}
				pass(2 * minute) // a renewal a moment ago would be a reason to ask again
				h.refuse(t, fault)
				asked := h.requests()
				h.passServing(t, 9*minute)
				h.heard(t, 1, "when a refresh was due")
				h.allIn(t, refresh.StateLoginRequired)
				pass(24 * time.Hour)
				if n := h.requests() - asked; n != 1 {
					t.Errorf("%d requests; want 1", n)
				}
				h.heard(t, 1, "in a day")
				for _, err := range h.told.heard() {
					is(t, err, oauth.ErrLoginRequired)
				}
				h.kept(t)
				h.clean(t)
			})
		}
	}
}

// soon are moments at which a certain word may be our own doing, or pass: when an
// answer to this refresh token may have been lost, and shortly after a renewal.
func soon() map[string]func(t *testing.T, h *household) {
	return map[string]func(t *testing.T, h *household){
		"after a lost answer": func(t *testing.T, h *household) {
			h.renewAll(t)
			pass(5 * minute)
			h.server.Script(oauthtest.Fault{Reset: true})
		},
		"half a minute after a renewal": func(t *testing.T, h *household) {
			h.renewAll(t)
			pass(minute / 2)
		},
	}
}

// In such a moment it is asked once more, as much later, and the second word decides.
func TestF67_CertainWordAtADoubtfulMomentIsAskedAgain(t *testing.T) {
	for name, fault := range certainties() {
		for when, prepare := range soon() {
			inBubble(t, when+"/"+name, func(t *testing.T) {
				h := newHousehold(t, 1)
				prepare(t, h)
				h.refuse(t, fault)
				asked := h.requests()
				if err := h.managers[0].ForceRefresh(t.Context()); err == nil {
					t.Error("no error")
				}
				pass(20 * time.Second)
				h.heard(t, 0, "before the second opinion")
				h.allIn(t, refresh.StateRetrying)
				h.passServing(t, 3*minute)
				h.heard(t, 1, "after the second opinion")
				h.allIn(t, refresh.StateLoginRequired)
				if n := h.requests() - asked; n > 3 {
					t.Errorf("%d requests; want two, and one whose answer was lost", n)
				}
				h.kept(t)
				h.clean(t)
			})
		}
	}
}

// A busy or lagging server says it once, and renews the next time.
func TestF67_CertainWordThatPassesHarmsNothing(t *testing.T) {
	for name, fault := range certainties() {
		for when, prepare := range soon() {
			inBubble(t, when+"/"+name, func(t *testing.T) {
				h := newHousehold(t, 1)
				prepare(t, h)
				h.server.Script(fault)
				begun := time.Now()
				if err := h.managers[0].ForceRefresh(t.Context()); err == nil {
					t.Error("no error")
				}
				h.passServing(t, 3*minute)
				h.renewedSince(t, begun)
				pass(2 * time.Hour)
				h.allIn(t, refresh.StateValid)
				h.heard(t, 0, "of what has passed")
				h.clean(t)
			})
		}
	}
}

// The same with tokens so short that a minute is most of their life: a third of it is
// long enough.
func TestF67_SecondOpinionOnAShortToken(t *testing.T) {
	inBubble(t, "90 seconds", func(t *testing.T) {
		var told failures
		f := newFixture(t, oauthtest.Config{AccessTokenLifetime: 90 * time.Second}, told.use).start(t)
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		pass(5 * time.Second)
		f.server.RevokeAll("alice")
		if err := f.ForceRefresh(t.Context()); err == nil {
			t.Error("no error")
		}
		pass(20 * time.Second)
		if n := len(told.heard()); n != 0 {
			t.Errorf("OnRefreshFail was called %d times before the second opinion", n)
		}
		pass(25 * time.Second)
		f.inState(t, refresh.StateLoginRequired)
		if n := len(told.heard()); n != 1 {
			t.Errorf("OnRefreshFail was called %d times; want once", n)
		}
	})
}

// A grant that really is over is told within one refresh, whoever asks.
func TestGrantThatTheServerHasEndedIsToldWithinOneRefresh(t *testing.T) {
	for _, n := range []int{1, 20} {
		inBubble(t, fmt.Sprintf("%d sessions", n), func(t *testing.T) {
			h := newHousehold(t, n)
			h.renewAll(t)
			pass(2 * minute)
			asked := h.requests()
			for _, name := range h.names {
				h.server.RevokeAll(name)
			}
			h.passServing(t, 9*minute)
			h.heard(t, n, "when refreshes were due")
			h.allIn(t, refresh.StateLoginRequired)
			pass(24 * time.Hour)
			if got := h.requests() - asked; got != n {
				t.Errorf("%d requests for %d dead grants; want one for each", got, n)
			}
			h.heard(t, n, "in a day")
			h.clean(t)
		})
	}
}

// What was refused without a clear word a moment ago is not a reason for a second opinion.
func TestCertainWordAfterAnUnclearOneIsTakenAtOnce(t *testing.T) {
	inBubble(t, "404", func(t *testing.T) {
		h := newHousehold(t, 1)
		h.renewAll(t)
		pass(5 * minute)
		h.server.Script(oauthtest.Fault{Status: 404})
		if err := h.managers[0].ForceRefresh(t.Context()); err == nil {
			t.Error("no error")
		}
		h.server.RevokeAll(h.names[0])
		pass(10 * time.Second)
		is(t, h.managers[0].ForceRefresh(t.Context()), oauth.ErrLoginRequired)
		pass(time.Second)
		h.heard(t, 1, "after the certain word")
	})
}

// A clock that is set, either way, neither keeps a word from being believed nor makes a
// renewal of long ago a recent one.
func TestF67_ClockIsSetBeforeTheSecondOpinion(t *testing.T) {
	for _, step := range []time.Duration{-time.Hour, time.Hour} {
		t.Run(step.String(), func(t *testing.T) {
			onEverySystem(t, func(t *testing.T, clk *wallClock) {
				var told failures
				f := newFixture(t, oauthtest.Config{Now: clk.wall}, drivenBy(clk), told.use).start(t)
				if err := f.ForceRefresh(t.Context()); err != nil {
					t.Fatal(err)
				}
				f.server.RevokeAll("alice")
				pass(10 * time.Second)
				is(t, f.ForceRefresh(t.Context()), oauth.ErrTransient)
				clk.move(step)
				if err := f.ForceRefresh(t.Context()); err == nil {
					t.Error("no error")
				}
				pass(2 * minute)
				f.inState(t, refresh.StateLoginRequired)
				if n := len(told.heard()); n != 1 {
					t.Errorf("OnRefreshFail was called %d times; want once", n)
				}
			})
		})
	}
}

func TestCertainWordIsTakenAtOnceWhenTheClockWasSetBack(t *testing.T) {
	onEverySystem(t, func(t *testing.T, clk *wallClock) {
		f := newFixture(t, oauthtest.Config{Now: clk.wall}, drivenBy(clk)).start(t)
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		pass(5 * minute)
		clk.move(-time.Hour)
		f.server.RevokeAll("alice")
		is(t, f.ForceRefresh(t.Context()), oauth.ErrLoginRequired)
	})
}

// The second opinion is as much later than the first certain word, whatever was said
// before that.
func TestF67_SecondOpinionCountsFromTheFirstCertainWord(t *testing.T) {
	inBubble(t, "lost, 404, certain", func(t *testing.T) {
		h := newHousehold(t, 1)
		m := h.managers[0]
		h.server.Script(oauthtest.Fault{Reset: true, Times: 5}, forEver(oauthtest.Fault{Status: 404}))
		for range 2 {
			is(t, m.ForceRefresh(t.Context()), oauth.ErrTransient)
		}
		pass(3 * minute)
		h.server.ClearScript()
		h.server.RevokeAll(h.names[0])
		is(t, m.ForceRefresh(t.Context()), oauth.ErrTransient)
		pass(5 * time.Second)
		is(t, m.ForceRefresh(t.Context()), oauth.ErrTransient)
		pass(minute)
		h.heard(t, 1, "a minute after the first certain word")
	})
}
