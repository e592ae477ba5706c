package gate

import (
	"errors"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
	"github.com/evertoken/evertoken/tokenstore"
)

// refuseClient has two sessions refused as clients, of the configuration "c".
func (s *story) refuseClient() Notice {
	s.RefuseClient(refusedAt(s.now, "c", "a"))
	_, n := s.RefuseClient(refusedAt(s.now, "c", "b"))
	return n
}

// of is a request of a session whose token lives.
func (s *story) of(session string) Request {
	q := s.request(time.Hour)
	q.Session = session
	return q
}

func TestOneSessionProbesForAClientThatIsRefused(t *testing.T) {
	s := newStory(9)
	s.RefuseClient(refusedAt(s.now, "c", "a"))
	if s.ClientRefused("c") != nil || s.ClientRefused("d") != nil {
		t.Error("of one session alone a client is called refused")
	}
	n := s.refuseClient()
	if err := s.ClientRefused("c"); err != refusedClient {
		t.Errorf("the client is refused: %v", err)
	}
	if want := (moment.Wait{Written: s.now.Wall(), Until: s.now.Wall().Add(time.Minute)}); n != (Notice{config: "c", probe: want}) || !n.Probe().Equal(want.Until) {
		t.Errorf("others hear %+v", n)
	}
	caller := func(session string) Request {
		q := s.of(session)
		q.Urgent = true
		return q
	}
	expect := func(what string, q Request, want time.Duration) {
		t.Helper()
		if got := s.begins(q); got != want {
			t.Errorf("%s waits %v; want %v", what, got, want)
		}
	}
	expect("the session that was refused first", s.of("a"), time.Minute)
	expect("another one", s.of("z"), 2*time.Minute)
	expect("a caller of the first", caller("a"), 15*time.Second)
	expect("a caller of another", caller("z"), 75*time.Second)
	other := s.of("z")
	other.ConfigID = "d"
	expect("another client's session", other, 0)
	s.Release("d", "z")

	s.pass(15 * time.Second)
	expect("the session that was refused first", s.of("a"), 45*time.Second)
	expect("a caller of the first", caller("a"), 0)
	insists := s.of("b")
	insists.Insist = true
	expect("who insists while it is probed", insists, 105*time.Second)
	s.pass(2 * time.Minute)
	expect("who comes while a probe hangs", s.of("z"), schedule.ProbePause)
	s.Release("c", "a")
	expect("who comes when it has ended", s.of("z"), 0)
	s.Release("c", "z")

	s.refuseClient()
	expect("after another refusal the first one", s.of("a"), 135*time.Second) // as long as it lasts
	insists.Now = s.now
	expect("who insists", insists, 0)
	s.Release("c", "b")
	s.sessions = 1
	expect("a session without others", s.of("a"), 0)
	expect("and once more", s.of("a"), 0)
}

// Two sessions that have ended may look like a refused client. So one that was not refused
// asks when its token is about to die: after ten check intervals, and then every hour.
func TestASessionThatWasNotRefusedAsksAboutTheClient(t *testing.T) {
	s := newStory(9)
	s.refuseClient()
	asks := func(what string, q Request, want bool) {
		t.Helper()
		if got := s.begins(q) == 0; got != want {
			t.Errorf("%s: %t; want %t", what, got, want)
		}
		s.Release("c", q.Session)
	}
	dying := func() Request {
		q := s.of("z")
		q.Dies = s.now.Add(time.Minute)
		return q
	}
	s.clients["c"].probeAt = s.now.Add(24 * time.Hour) // what others ask moves it on
	s.pass(10*time.Minute - 1)
	asks("before ten check intervals", dying(), false)
	s.pass(1)
	asks("one whose token lives", s.of("z"), false)
	refused := dying()
	refused.Refused = true
	asks("one that was refused", refused, false)
	asks("one that was not", dying(), true)
	s.pass(time.Hour - 1)
	asks("another one, within an hour", dying(), false)
	s.pass(1)
	asks("another one", dying(), true)
}

// While the server is in trouble besides, a probe for the client is claimed, so that all
// processes have it in common, and sent again if its answer is lost.
func TestAProbeForAClientIsClaimedAndSentAgainAtAServerInTrouble(t *testing.T) {
	s, store := newStory(9), new(tokenstore.Memory)
	s.refuseClient()
	s.fail(1, "a", errorOf(503))
	s.pass(time.Hour)
	q := s.of("a")
	q.Shared = true
	if wait := s.begins(q); wait != 0 {
		t.Fatalf("the probe waits %v", wait)
	}
	if until := s.Claim(t.Context(), store, q); !until.IsZero() {
		t.Errorf("its own request keeps it waiting until %v", until.Since(s.now))
	}
	s.pass(2 * schedule.ProbePause)
	q.Now, q.Urgent = s.now, true
	if _, err := s.Again(q); err != nil {
		t.Errorf("it is not sent again: %v", err)
	}
	other := s.of("z")
	if wait := s.begins(other); wait == 0 {
		t.Error("another session probes beside it")
	}
	s.Release("c", "z") // which began before the client was refused
	if wait := s.begins(other); wait == 0 {
		t.Error("another session probes beside it, as one has ended")
	}
	s.Release("c", "a")
	s.pass(time.Hour)
	if wait := s.begins(s.of("z")); wait != 0 {
		t.Errorf("when it has ended, another one waits %v", wait)
	}
}

// Whatever the server says of a session, it has accepted the client before.
func TestAClientIsAcceptedByWhatIsSaidOfASession(t *testing.T) {
	ended := &oauth.Error{Op: "refresh", Kind: oauth.ErrLoginRequired, Code: "invalid_grant", Status: 400, Sent: true}
	for name, tt := range map[string]struct {
		err      error
		accepted bool
	}{
		"a success":    {nil, true},
		"a dead grant": {ended, true},
		"a refusal":    {refusedClient, false},
		"an outage":    {errorOf(503), false},
	} {
		s := newStory(9)
		if s.attempt("x", 0, tt.err).accepted {
			t.Errorf("%s: others hear of a client that was not refused", name)
		}
		s.refuseClient()
		if !s.TellClient("c") || s.TellClient("c") {
			t.Errorf("%s: that it is refused is not told once", name)
		}
		epoch := s.Epoch()
		if got := s.attempt("x", 0, tt.err).accepted; got != tt.accepted {
			t.Errorf("%s: others hear that the client is accepted: %t; want %t", name, got, tt.accepted)
		}
		if got := s.ClientRefused("c") == nil; got != tt.accepted || s.Epoch() != epoch && !tt.accepted || s.Epoch() == epoch && tt.accepted {
			t.Errorf("%s: the client is accepted: %t; want %t", name, got, tt.accepted)
		}
		if got := s.TellClient("c"); got != tt.accepted {
			t.Errorf("%s: the next time it is refused is told: %t", name, got)
		}
	}
}

// A client that is refused after it was accepted is one session's matter again.
func TestAnAcceptedClientBeginsAnew(t *testing.T) {
	s := newStory(9)
	s.RefuseClient(refusedAt(s.now, "c", "a"))
	s.attempt("x", 0, nil)
	if refused, _ := s.RefuseClient(refusedAt(s.now, "c", "b")); refused {
		t.Error("a refusal from before a success counts")
	}
}

// What another process says of a client counts for this one's sessions of that client.
func TestAnotherProcessTellsThatAClientIsRefused(t *testing.T) {
	const long = 10 * time.Minute
	at := func(s *story, config string, wait time.Duration) Notice {
		return Notice{config: config, probe: moment.Wait{Written: s.now.Wall(), Until: s.now.Wall().Add(wait)}}
	}
	for name, tt := range map[string]struct {
		hear    func(s *story)
		refused bool
		wait    time.Duration // of the session that was refused first, or of any
		lifted  bool          // it was refused, and is not any more
	}{
		"nothing":                  {hear: func(s *story) { s.heed(Notice{}, "c", s.now) }},
		"that it is refused":       {func(s *story) { s.heed(at(s, "c", long), "c", s.now) }, true, long + time.Minute, false},
		"that it was":              {hear: func(s *story) { s.heed(at(s, "c", 0), "c", s.now) }},
		"of another client":        {hear: func(s *story) { s.heed(at(s, "d", long), "c", s.now) }},
		"that it is accepted":      {hear: func(s *story) { s.heed(at(s, "c", long), "c", s.now); s.heed(Notice{}, "c", s.now) }, lifted: true},
		"nothing of what is found": {func(s *story) { s.refuseClient(); s.heed(Notice{}, "c", s.now) }, true, time.Minute, false},
		"a later probe":            {func(s *story) { s.refuseClient(); s.heed(at(s, "c", long), "c", s.now) }, true, long, false},
		"an earlier probe":         {func(s *story) { s.refuseClient(); s.heed(at(s, "c", time.Second), "c", s.now) }, true, time.Minute, false},
		"what is found, and that it is accepted": {hear: func(s *story) {
			s.refuseClient()
			s.heed(at(s, "c", long), "c", s.now)
			s.heed(Notice{}, "c", s.now)
		}, lifted: true},
		"what is found, and of another client": {func(s *story) {
			s.refuseClient()
			s.heed(at(s, "c", time.Second), "c", s.now)
			s.heed(at(s, "d", long), "c", s.now) // the Store has room for one
			s.heed(Notice{}, "c", s.now)
		}, true, time.Minute, false},
		"that it was, and is accepted": {hear: func(s *story) {
			s.RefuseClient(refusedAt(s.now, "c", "a"))
			s.heed(at(s, "c", 0), "c", s.now)
			s.heed(Notice{}, "c", s.now)
		}},
	} {
		s := newStory(9)
		s.heed(at(s, "c", long), "c", s.now)
		if s.ClientRefused("c") != nil {
			t.Errorf("%s: a process that has just begun does not ask for itself", name)
		}
		s.heed(Notice{}, "c", s.now)
		epoch := s.Epoch()
		tt.hear(s)
		if err := s.ClientRefused("c"); (err != nil) != tt.refused {
			t.Errorf("%s: the client is refused: %v; want %t", name, err, tt.refused)
		} else if err != nil && err != refusedClient && !errors.Is(err, oauth.ErrClientRefused) {
			t.Errorf("%s: it is refused by %v", name, err)
		}
		if got := s.begins(s.of("a")); got != tt.wait {
			t.Errorf("%s: the session that was refused first waits %v; want %v", name, got, tt.wait)
		}
		if lifted := s.Epoch() != epoch; lifted != tt.lifted {
			t.Errorf("%s: its sessions are freed: %t; want %t", name, lifted, tt.lifted)
		}
	}
}

// How long a client is refused counts from when another process told of it.
func TestHowLongAClientIsRefusedCountsFromTheNews(t *testing.T) {
	s := newStory(9)
	s.heed(Notice{}, "c", s.now)
	s.heed(Notice{config: "c", probe: moment.Wait{Written: s.now.Wall(), Until: s.now.Wall().Add(time.Minute)}}, "c", s.now)
	caller := s.of("z")
	caller.Urgent = true
	if got := s.begins(caller); got != 75*time.Second {
		t.Errorf("a caller waits %v; want a quarter of a check interval, and one more as it was not refused first", got)
	}
	s.pass(5 * time.Minute)
	s.refuseClient()
	if got := s.begins(s.of("a")); got != 5*time.Minute {
		t.Errorf("when it has been refused for five minutes, the next probe is in %v; want as long again", got)
	}
}
