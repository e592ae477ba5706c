package gate

import (
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
)

// Sessions that are refused since before others were renewed do not make it the server's
// matter, however many they are. Sessions that are refused since do.
func TestDeadSessionsAmongRenewedOnesAreNoMatterOfTheServer(t *testing.T) {
	const while = 10 * time.Minute
	for name, refused := range map[string]func(s *story, session string, since time.Duration) bool{
		"unclear": func(s *story, session string, since time.Duration) bool {
			r := refusedAt(s.now, "c", session)
			r.Since, r.Begun, r.Seen, r.While = s.now.Add(-since), s.now, s.Renewed(), while
			return s.Refuse(r) == OthersAlike
		},
		"client": func(s *story, session string, since time.Duration) bool {
			r := refusedAt(s.now, "c", session)
			r.Since, r.Begun, r.Seen = s.now.Add(-since), s.now, s.Renewed()
			refused, _ := s.RefuseClient(r)
			return refused
		},
	} {
		s := newStory(9)
		for round := range 3 {
			for _, session := range []string{"a", "b", "a", "b"} {
				s.pass(time.Minute)
				if alike := refused(s, session, time.Hour); alike && round > 0 {
					t.Errorf("%s, round %d: what %s meets is called the server's matter", name, round, session)
				}
			}
			s.pass(time.Minute)
			s.attempt("z", time.Second, nil)
		}
		s.pass(time.Minute)
		if refused(s, "c", 0); !refused(s, "d", 0) {
			t.Errorf("%s: what two more meet is not called the server's matter", name)
		}
	}
}

// A refusal that was on its way while another session was renewed says nothing: perhaps
// it was the last of what is over.
func TestARefusalThatCrossesWithASuccessSaysNothing(t *testing.T) {
	s := newStory(9)
	for _, session := range []string{"a", "b", "a"} {
		r := refusedAt(s.now, "c", session)
		r.Since, r.Begun, r.While = s.now.Add(-time.Hour), s.now, 10*time.Minute
		s.pass(time.Second)
		s.attempt("z", 0, nil)
		s.pass(time.Second)
		if others := s.Refuse(r); others != OthersUnknown {
			t.Errorf("of %s the others are %d; want it not to count", session, others)
		}
		if refused, _ := s.RefuseClient(r); refused {
			t.Errorf("of %s the client is called refused", session)
		}
	}
}

// What one session alone has met as a client is no news for other processes.
func TestOtherProcessesHearOfAClientThatTwoSessionsAreRefused(t *testing.T) {
	s := newStory(1)
	if refused, n := s.RefuseClient(refusedAt(s.now, "c", "a")); !refused || n != (Notice{}) {
		t.Errorf("the client is refused: %t, and others hear %+v; want nothing", refused, n)
	}
	if _, n := s.RefuseClient(refusedAt(s.now, "c", "b")); n == (Notice{}) {
		t.Error("others do not hear what two have met")
	}
}

func TestAClientIsRefusedWhenTwoSessionsSayItOrOneForATokensLife(t *testing.T) {
	const life = time.Hour
	now := moment.Of(time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC))
	type refusal struct {
		session string
		after   time.Duration // since a session was renewed last
	}
	for name, tt := range map[string]struct {
		sessions int
		refusals []refusal
		closed   bool // after the last
	}{
		"alone":                         {1, []refusal{{"a", 0}}, true},
		"the first of many":             {9, []refusal{{"a", 0}}, false},
		"a second one":                  {9, []refusal{{"a", 0}, {"b", time.Second}}, true},
		"the same, soon":                {9, []refusal{{"a", 0}, {"a", time.Minute}}, false},
		"the same, as long as it lives": {9, []refusal{{"a", 0}, {"a", life}}, false},
		"the same, longer":              {9, []refusal{{"a", 0}, {"a", life + 1}}, true},
		"one that comes late":           {9, []refusal{{"a", 2 * life}}, false},
	} {
		s := New("as", Limits{}, 1)
		s.sessions = tt.sessions
		s.succeedLocked("c", now)
		closed := false
		for _, r := range tt.refusals {
			closed, _ = s.RefuseClient(refusedAt(now.Add(r.after), "c", r.session))
		}
		if closed != tt.closed {
			t.Errorf("%s: closed %v; want %v", name, closed, tt.closed)
		}
	}
}

// That all sessions are refused alike is told once until the next success.
func TestRefusalsAreToldOnceUntilASuccess(t *testing.T) {
	s := newStory(9)
	for range 2 {
		for i, want := range []Others{OthersUnknown, OthersAlike, OthersAlike} {
			if others := s.Refuse(Refusal{ConfigID: "c", Session: string("aba"[i]), Now: s.now, Since: s.now, While: time.Minute}); others != want {
				t.Errorf("refusal %d: the others are %d; want %d", i, others, want)
			}
		}
		if !s.TellRefusals("c") || s.TellRefusals("c") {
			t.Error("it is not told once")
		}
		s.pass(1)
		s.fail(1, "c", nil)
	}
}

// Two sessions are refused at the same moment in words about the client, and the first
// waits while the second one makes it the client's matter: the program is told once.
func TestSessionsRefusedAtOnceAreToldOnceAsTheClients(t *testing.T) {
	for name, secondTells := range map[string]bool{"the second tells first": true, "the first tells for it": false} {
		s := newStory(9)
		first, second := refusedAt(s.now, "c", "a"), refusedAt(s.now, "c", "b")
		if refused, _ := s.RefuseClient(first); refused {
			t.Fatal("one session's refusal is called the client's")
		}
		if refused, _ := s.RefuseClient(second); !refused {
			t.Fatal("two sessions' refusal is not called the client's")
		}
		told := 0
		tell := func(new bool) {
			if new {
				told++
			}
		}
		if secondTells {
			tell(s.TellClient("c"))
		}
		if others := s.Refuse(first); others != OthersAlike {
			t.Errorf("%s: the others are %d; want %d", name, others, OthersAlike)
		}
		tell(s.TellRefusals("c"))
		tell(s.TellClient("c"))
		if told != 1 {
			t.Errorf("%s: told %d times; want once", name, told)
		}
	}
}

// A session stands out where others are renewed, or none is refused for long. Its own
// refusals may have been heard by another process, of whose others nothing is known.
func TestASessionStandsOutFromOthersThatAreKnown(t *testing.T) {
	const while = 10 * time.Minute
	for name, tt := range map[string]struct {
		sessions      int           // 0: one that stays alone
		renewed, here time.Duration // before its refusal now: that another one was renewed, and that it was refused here first
		since         time.Duration // before now: that it was refused anywhere
		want          Others
	}{
		"a new process":                             {9, 0, 0, 24 * time.Hour, OthersUnknown},
		"without others":                            {0, 0, 0, 24 * time.Hour, OthersWell},
		"without others yet":                        {1, 0, 0, 24 * time.Hour, OthersUnknown},
		"another is renewed":                        {9, time.Second, 0, 24 * time.Hour, OthersWell},
		"another was renewed before":                {9, 25 * time.Hour, 0, 24 * time.Hour, OthersUnknown},
		"another was renewed when it began":         {9, 24 * time.Hour, 0, 24 * time.Hour, OthersUnknown},
		"another's client is refused":               {9, time.Second, 0, 24 * time.Hour, OthersAlike},
		"refused here for less":                     {9, 0, while - 1, 24 * time.Hour, OthersUnknown},
		"refused here for as long":                  {9, 0, while, 24 * time.Hour, OthersWell},
		"refused here for as long, from the outset": {9, 0, while, while, OthersWell},
	} {
		s := newStory(tt.sessions)
		s.lone = tt.sessions == 0
		now := s.now.Add(48 * time.Hour)
		if tt.renewed > 0 {
			s.HearOfRenewal("c", now.Add(-tt.renewed))
			s.HearOfRenewal("c", now.Add(-100*time.Hour)) // of a third one
		}
		if tt.here > 0 {
			s.Refuse(Refusal{ConfigID: "c", Session: "a", Since: now.Add(-tt.since), Now: now.Add(-tt.here), While: while})
		}
		if tt.want == OthersAlike {
			s.RefuseClient(refusedAt(now, "c", "b"))
		}
		if others := s.Refuse(Refusal{ConfigID: "c", Session: "a", Since: now.Add(-tt.since), Now: now, While: while}); others != tt.want {
			t.Errorf("%s: the others are %d; want %d", name, others, tt.want)
		}
	}
}

// What was met before another process renewed a session is over, and not what was met since.
func TestARenewalElsewhereEndsWhatWasMetBefore(t *testing.T) {
	for name, tt := range map[string]struct {
		after  time.Duration // the last refusal
		config string
		others Others // of the next refusal
		client bool   // it is accepted
	}{
		"before":                       {-time.Second, "c", OthersAlike, false},
		"after":                        {time.Second, "c", OthersWell, true},
		"after, with another's client": {time.Second, "d", OthersAlike, false},
	} {
		s := newStory(9)
		s.Refuse(unclearAt(s.now, "a"))
		s.Refuse(unclearAt(s.now, "b"))
		s.refuseClient()
		epoch := s.Epoch()
		s.HearOfRenewal(tt.config, s.now.Add(tt.after))
		if over := s.Epoch() != epoch; over != (tt.after > 0) {
			t.Errorf("%s: the others may try: %t", name, over)
		}
		if accepted := s.ClientRefused("c") == nil; accepted != tt.client {
			t.Errorf("%s: the client is accepted: %t; want %t", name, accepted, tt.client)
		}
		if others := s.Refuse(unclearAt(s.now, "a")); others != tt.others {
			t.Errorf("%s: the others are %d; want %d", name, others, tt.others)
		}
	}
}

func TestASuccessLiftsWhatConcernsManyAlone(t *testing.T) {
	now := moment.Of(time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC))
	for name, tt := range map[string]struct {
		meet   func(s *Gate)
		lifted bool
	}{
		"nothing":                {func(*Gate) {}, false},
		"one session refused":    {func(s *Gate) { s.Refuse(unclearAt(now, "a")) }, false},
		"the same session twice": {func(s *Gate) { s.Refuse(unclearAt(now, "a")); s.Refuse(unclearAt(now, "a")) }, false},
		"two sessions refused":   {func(s *Gate) { s.Refuse(unclearAt(now, "a")); s.Refuse(unclearAt(now, "b")) }, true},
		"one of which nothing follows yet": {func(s *Gate) {
			s.Refuse(Refusal{ConfigID: "c", Session: "a", Now: now, Since: now, While: time.Minute})
		}, true},
		"the client in question": {func(s *Gate) { s.RefuseClient(refusedAt(now, "c", "a")) }, false},
		"the client refused": {func(s *Gate) {
			s.RefuseClient(refusedAt(now, "c", "a"))
			s.RefuseClient(refusedAt(now, "c", "b"))
		}, true},
		"another's client refused": {func(s *Gate) {
			s.RefuseClient(refusedAt(now, "d", "a"))
			s.RefuseClient(refusedAt(now, "d", "b"))
		}, false},
	} {
		s := New("as", Limits{}, 1)
		s.sessions = 9
		tt.meet(s)
		before := s.Epoch()
		accepted := s.succeedLocked("c", now)
		if lifted := s.Epoch() != before; lifted != tt.lifted {
			t.Errorf("%s: lifted %v; want %v", name, lifted, tt.lifted)
		}
		if told := name == "the client refused"; accepted != told {
			t.Errorf("%s: other processes hear of it: %v; want %v", name, accepted, told)
		}
	}
}
