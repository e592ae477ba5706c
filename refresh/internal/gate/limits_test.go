package gate

import (
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
)

// begins returns how long a request has to wait; if it has not, it is in flight.
func (s *story) begins(q Request) time.Duration {
	until, err := s.Admit(q)
	if err == nil && until.IsZero() {
		return 0
	}
	return until.Since(s.now)
}

func TestPlansAreMadeForThePowerOfTwoThatComesNext(t *testing.T) {
	g, without := New("as", Limits{Rate: 10}, 64), New("as", Limits{}, 64)
	pace := func(sessions float64) time.Duration { return time.Duration(sessions * 1.25 * 1.1 * 1e8) }
	for i, want := range []struct {
		anew      bool
		magnitude uint8
		crowd     time.Duration
	}{{false, 0, 0}, {true, 1, pace(2)}, {true, 2, pace(4)}, {false, 2, pace(4)}, {true, 3, pace(8)}} {
		if got := g.Join(); got != want.anew {
			t.Errorf("with %d sessions plans are made anew: %t; want %t", i+1, got, want.anew)
		}
		if got := g.Magnitude(); got != want.magnitude {
			t.Errorf("with %d sessions the magnitude is %d; want %d", i+1, got, want.magnitude)
		}
		if crowd, _ := g.Pace(); crowd != want.crowd {
			t.Errorf("%d sessions take %v; want %v", i+1, crowd, want.crowd)
		}
		if got := g.Alone(); got != (i == 0) {
			t.Errorf("with %d sessions one is alone: %t", i+1, got)
		}
		anew, magnitude := without.Join(), without.Magnitude()
		if crowd, _ := without.Pace(); anew || magnitude != 0 || crowd != 0 {
			t.Errorf("without a rate %d sessions take %v", i+1, crowd)
		}
	}
	slow := New("as", Limits{Rate: 1e-12}, 64)
	slow.Join()
	slow.Join()
	if crowd, _ := slow.Pace(); crowd != schedule.MaxLife {
		t.Errorf("with hardly any rate two sessions take %v; want %v", crowd, schedule.MaxLife)
	}
}

// What the last session of a server has met is not held against the next one.
func TestTheLastSessionTakesTheTroubleWithIt(t *testing.T) {
	s := newStory(2)
	s.fail(5, "a", errorOf(503))
	s.Leave()
	if !s.Troubled(s.now) {
		t.Error("when one of two sessions leaves, the trouble is over")
	}
	s.Leave()
	if s.Troubled(s.now) {
		t.Error("when the last one has left, the server is still in trouble")
	}
}

func TestWhatTheFiguresCount(t *testing.T) {
	s := newStory(1)
	for i, tt := range []struct {
		took    time.Duration
		err     error
		latency time.Duration // after it
	}{
		{800 * time.Millisecond, nil, 800 * time.Millisecond},
		{0, refusedClient, 700 * time.Millisecond}, // an answer, too
		{5 * time.Second, errorOf(503), 700 * time.Millisecond},
		{time.Second, nil, time.Second},
	} {
		s.attempt("a", tt.took, tt.err)
		if got := s.Stats(s.now).Latency; got != tt.latency {
			t.Errorf("after attempt %d answers take %v; want %v", i+1, got, tt.latency)
		}
	}
	if got := s.Stats(s.now); got.Done != 2 || got.Failed != 2 || got.InFlight != 0 || got.Sessions != 1 {
		t.Errorf("%+v; want two that went well and two that did not", got)
	}
	s.begins(s.request(0))
	if got := s.Stats(s.now).InFlight; got != 1 {
		t.Errorf("%d requests are in flight; want one", got)
	}
	s.fail(5, "a", errorOf(503))
	if s.Stats(s.now).Down {
		t.Error("for a session without others the server is called down")
	}
}

// crowd and the others are requests at one moment, for a table.
func (s *story) crowd() Request { return s.request(time.Hour) }

func (s *story) lost() Request {
	q := s.request(time.Hour)
	q.Lost = true
	return q
}

func (s *story) reserved() Request {
	q := s.request(time.Hour)
	q.Reserved = true
	return q
}

func TestARateIsSharedByCrowdAndCallers(t *testing.T) {
	const none, ms = time.Duration(0), time.Millisecond
	type asked struct {
		what string
		want time.Duration // when it may begin
	}
	for name, tt := range map[string]struct {
		limits Limits
		asked  []asked
	}{
		"a crowd has four fifths of the rate": {Limits{Rate: 10}, []asked{{"crowd", none}, {"crowd", 125 * ms}, {"crowd", 250 * ms}}},
		"callers among a crowd have the last": {Limits{Rate: 10}, []asked{
			{"crowd", none}, {"caller", none}, {"caller", 500 * ms}, {"lost", 1000 * ms}, {"crowd", 125 * ms},
		}},
		"callers by themselves":             {Limits{Rate: 10}, []asked{{"caller", none}, {"crowd", 125 * ms}}},
		"who has waited":                    {Limits{Rate: 10}, []asked{{"crowd", none}, {"reserved", none}, {"crowd", 125 * ms}}},
		"without a rate the crowd's window": {Limits{}, []asked{{"crowd", none}, {"crowd", none}, {"crowd", 1000 * ms}, {"crowd", 2000 * ms}}},
		"without a rate a caller":           {Limits{}, []asked{{"crowd", none}, {"crowd", none}, {"caller", none}, {"lost", none}, {"crowd", 1000 * ms}}},
	} {
		s := newStory(10)
		s.limits, s.burst = tt.limits, 2
		for i, a := range tt.asked {
			q := map[string]func() Request{"crowd": s.crowd, "caller": func() Request { return s.request(0) }, "lost": s.lost, "reserved": s.reserved}[a.what]()
			q.Window = 10 * time.Second
			if got := s.begins(q); got != a.want {
				t.Errorf("%s: request %d, %s, begins after %v; want %v", name, i+1, a.what, got, a.want)
			}
		}
	}
	s := newStory(0)
	q := s.crowd()
	if q.Window = 10 * time.Second; s.begins(q) != 0 {
		t.Error("a gate without sessions keeps a request")
	}
}

func TestWhenARequestInFlightMayBeOver(t *testing.T) {
	s := newStory(9)
	s.limits.Concurrent = 2
	s.attempt("a", 0, nil)
	s.begins(s.request(0))
	s.begins(s.request(0))
	expect := func(q Request, want time.Duration) {
		t.Helper()
		if got := s.begins(q); got != want {
			t.Errorf("with all in flight a request waits %v; want %v", got, want)
		}
	}
	expect(s.crowd(), vacancy)
	expect(s.crowd(), 2*vacancy)
	expect(s.request(0), vacancy)
	expect(s.lost(), vacancy)
	s.pass(10 * time.Second)
	s.attempt("a", time.Second, nil)
	expect(s.request(0), time.Second/2)
	expect(s.crowd(), time.Second/2)
	expect(s.crowd(), time.Second)
	s.Release("c", "s")
	expect(s.crowd(), 0)
}

// How soon a request is made again that waits for the first answer of a server: of callers,
// and of sessions that cannot wait, earlier than of a crowd.
func TestWhoLooksSoonerForAFirstAnswer(t *testing.T) {
	s := newStory(100)
	shared := s.request(0)
	shared.Shared = true
	s.attempt("a", 0, nil)
	s.pass(time.Minute) // a check interval, which is too long ago
	for range openAfter {
		shared.Now = s.now
		s.begins(shared)
	}
	if got := s.begins(shared); got != 10*time.Millisecond {
		t.Errorf("at first one more looks again after %v", got)
	}
	s.pass(time.Second)
	shared.Now = s.now
	if got := s.begins(shared); got != 0 {
		t.Errorf("after a second one more waits %v", got)
	}
	s.Release("c", "s") // those that are left count from the first
	s.pass(900 * time.Millisecond)
	for name, tt := range map[string]struct {
		q    Request
		want time.Duration
	}{
		"a crowd":                   {s.crowd(), 475 * time.Millisecond},
		"a caller":                  {s.request(0), lastLook},
		"a lost answer":             {s.lost(), lastLook},
		"a token that dies at once": {s.request(time.Second), lastLook},
	} {
		if got := s.begins(tt.q); got != tt.want {
			t.Errorf("%s looks again after %v; want %v", name, got, tt.want)
		}
	}
	s.sessions = 1
	if got := s.begins(s.crowd()); got != 0 {
		t.Errorf("a session without others waits %v", got)
	}
}

func TestTheLastChanceOfAToken(t *testing.T) {
	at := start
	for name, tt := range map[string]struct {
		dies, begins moment.Instant
		latency      time.Duration
		want         bool
	}{
		"it does not die":      {moment.Instant{}, at, 0, false},
		"nothing begins":       {moment.FromParts(1, 1), moment.Instant{}, 0, false},
		"in a second":          {at.Add(time.Second), at, 0, true},
		"later":                {at.Add(time.Second + 1), at, 0, false},
		"answers take longer":  {at.Add(4 * time.Second), at, 2 * time.Second, true},
		"later than they take": {at.Add(4*time.Second + 1), at, 2 * time.Second, false},
	} {
		if got := (Request{Dies: tt.dies, latency: tt.latency}).lastChance(tt.begins); got != tt.want {
			t.Errorf("%s: %t; want %t", name, got, tt.want)
		}
	}
	s := newStory(9)
	s.attempt("a", 2*time.Second, nil)
	s.attempt("a", 0, s.told(503, time.Hour))
	if _, err := s.Forbids(s.request(3 * time.Second)); err != nil {
		t.Errorf("a token that dies before an answer can come is not renewed: %v", err)
	}
}
