package gate

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
	"github.com/evertoken/evertoken/tokenstore"
)

// refusedClient is what the server says when it does not accept the client.
var refusedClient = &oauth.Error{Op: "refresh", Kind: oauth.ErrMisconfigured, Code: "invalid_client", Status: 401, Sent: true}

// refusedAt is a refusal of the client.
func refusedAt(now moment.Instant, configID, session string) Refusal {
	return Refusal{ConfigID: configID, Session: session, Err: refusedClient, Now: now, Interval: time.Minute, Life: time.Hour}
}

// unclearAt is a refusal of a session that does not say why.
func unclearAt(now moment.Instant, session string) Refusal {
	return Refusal{ConfigID: "c", Session: session, Now: now, Since: now}
}

func TestACrowdIsManySessionsThatAreDueAtOnce(t *testing.T) {
	const n, burst = 1000, 64
	now := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	at := func(i int, of time.Duration) time.Time { return now.Add(time.Hour + of*time.Duration(i)/n) }
	for name, tt := range map[string]struct {
		sessions, due int           // of the sessions, how many are due
		over          time.Duration // in this time
		while         time.Duration
		want          bool
	}{
		"all in a second":                      {n, n, time.Second, 150 * time.Second, true},
		"as many as may begin":                 {burst, burst, time.Second, 150 * time.Second, false},
		"one more":                             {burst + 1, burst + 1, time.Second, 150 * time.Second, true},
		"evenly over the while":                {n, n, 150 * time.Second, 150 * time.Second, false},
		"over a third of it":                   {n, n, 50 * time.Second, 150 * time.Second, true},
		"evenly over an hour":                  {n, n, time.Hour, 150 * time.Second, false},
		"a tenth of all, in a second":          {10 * n, n, time.Second, 150 * time.Second, false},
		"a while too short to spread anything": {n, n, time.Second, 15 * time.Second, false},
		"twice as many as evenly":              {750, 100, time.Second, 150 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := New("as", Limits{}, burst)
			g.sessions = tt.sessions
			for i := range tt.due {
				g.Expect(at(i*n/tt.due, tt.over), now)
			}
			if got := g.Crowded(at(n/2, tt.over), tt.while); got != tt.want {
				t.Errorf("crowded: %t; want %t", got, tt.want)
			}
			if g.Crowded(now, tt.while) || g.Crowded(time.Time{}, tt.while) {
				t.Error("crowded at a time when none is due")
			}
		})
	}
}

func TestWhatWasDueLongAgoIsForgotten(t *testing.T) {
	g := New("as", Limits{}, 1)
	now := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	for range 30 * 24 * 60 { // one renewal a minute, for a month
		g.Expect(time.Time{}, now)
		g.Expect(now.Add(time.Hour), now)
		g.Expect(now.Add(time.Hour), now)
		if !g.Crowded(now.Add(time.Hour), time.Hour) {
			t.Fatal("what is due in an hour is forgotten")
		}
		now = now.Add(time.Minute)
	}
	if g.dueLimit <= len(g.due) {
		t.Error("all is looked through each time")
	}
	if n := len(g.due); n > 2*120+64 {
		t.Errorf("%d spans are kept for tokens of an hour", n)
	}
}

// start is in a process that has run for a while: its monotonic time is more than nothing.
var start = moment.FromParts(time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC).UnixNano(), int64(1000*time.Hour))

// A story is what happens to a gate of several sessions, told by the second.
type story struct {
	*Gate
	now moment.Instant
}

func newStory(sessions int) *story {
	s := &story{New("as", Limits{}, 64), start}
	s.sessions = sessions
	return s
}

func (s *story) pass(d time.Duration) { s.now = s.now.Add(d) }

// attempt ends an attempt of a session that began some time ago.
func (s *story) attempt(session string, took time.Duration, err error) Notice {
	return s.Note(Attempt{Session: session, ConfigID: "c", Err: err, Begun: s.now.Add(-took), Now: s.now, Interval: time.Minute, Jitter: 0.5})
}

// told is the answer to a session that it is to wait.
func (s *story) told(status int, wait time.Duration) error {
	return &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Sent: true, Status: status, RetryAt: s.now.Wall().Add(wait)}
}

// request is a request of a session whose token lives for a while, or of none if that is
// zero.
func (s *story) request(lives time.Duration) Request {
	q := Request{Session: "z", ConfigID: "c", Interval: time.Minute, Now: s.now, Window: time.Second, Jitter: 0.5}
	if q.Urgent = lives == 0; !q.Urgent {
		q.Dies = s.now.Add(lives)
	}
	return q
}

// wait returns how long a request has to wait, and ends it if it has not.
func (s *story) wait(t *testing.T, q Request) time.Duration {
	t.Helper()
	until, err := s.Admit(q)
	if err == nil {
		s.Release(q.ConfigID, q.Session)
		return 0
	}
	return until.Since(s.now)
}

func TestWhoWaitsWhenASessionIsTold(t *testing.T) {
	const long, short = 60 * time.Second, 30 * time.Second
	for name, tt := range map[string]struct {
		tell func(s *story)
		want time.Duration // that others wait, whose tokens live
	}{
		"429 to one":                        {func(s *story) { s.attempt("a", 0, s.told(429, long)) }, 0},
		"429 to one twice":                  {func(s *story) { s.attempt("a", 0, s.told(429, long)); s.attempt("a", 0, s.told(429, short)) }, 0},
		"429 to two, the first for longer":  {func(s *story) { s.attempt("a", 0, s.told(429, long)); s.attempt("b", 0, s.told(429, short)) }, long},
		"429 to two, the second for longer": {func(s *story) { s.attempt("a", 0, s.told(429, short)); s.attempt("b", 0, s.told(429, long)) }, long},
		"429 to one twice, and to another": {func(s *story) {
			s.attempt("a", 0, s.told(429, long))
			s.attempt("a", 0, s.told(429, short))
			s.attempt("b", 0, s.told(429, short))
		}, long},
		"429 to a third": {func(s *story) {
			s.attempt("a", 0, s.told(429, short))
			s.attempt("b", 0, s.told(429, short))
			s.attempt("c", 0, s.told(429, long))
		}, long},
		"429 to two, with a success between": {func(s *story) {
			s.attempt("a", 0, s.told(429, long))
			s.pass(time.Second)
			s.attempt("x", time.Millisecond, nil)
			s.attempt("b", 0, s.told(429, long))
		}, 0},
		"429 to two, one after the other is over": {func(s *story) {
			s.attempt("a", 0, s.told(429, short))
			s.pass(short)
			s.attempt("b", 0, s.told(429, long))
		}, 0},
		"429 to another for longer, when the first is over, and to a third": {func(s *story) {
			s.attempt("a", 0, s.told(429, 2*long))
			s.pass(2 * long)
			s.attempt("b", 0, s.told(429, short))
			s.attempt("c", 0, s.told(429, short))
		}, short},
		"429 to one while all wait": {func(s *story) {
			s.attempt("a", 0, s.told(503, short))
			s.attempt("b", 0, s.told(429, long))
		}, long},
		"429 to two, with a success between that began before": {func(s *story) {
			s.attempt("a", 0, s.told(503, time.Second))
			s.pass(time.Second)
			s.attempt("a", 0, s.told(429, long))
			s.attempt("x", 2*time.Second, nil)
			s.attempt("b", 0, s.told(429, long))
		}, 0},
		"a Retry-After that is left out": {func(s *story) { s.attempt("a", 0, refusedClient); s.attempt("b", 0, errorOf(429)) }, 0},
		"500":                            {func(s *story) { s.attempt("a", 0, s.told(500, long)); s.attempt("b", 0, s.told(500, long)) }, 0},
		"503 to one":                     {func(s *story) { s.attempt("a", 0, s.told(503, long)) }, long},
		"503 again, for shorter":         {func(s *story) { s.attempt("a", 0, s.told(503, long)); s.attempt("b", 0, s.told(503, short)) }, long},
		"503 again, for longer":          {func(s *story) { s.attempt("a", 0, s.told(503, short)); s.attempt("b", 0, s.told(503, long)) }, long},
		"503 that is over":               {func(s *story) { s.attempt("a", 0, s.told(503, short)); s.pass(short) }, 0},
		"503, and a success that began before": {func(s *story) {
			s.attempt("a", 0, s.told(503, long))
			s.pass(time.Second)
			s.attempt("b", 2*time.Second, nil)
		}, long - time.Second},
		"503, and a success that began after": {func(s *story) {
			s.attempt("a", 0, s.told(503, long))
			s.pass(2 * time.Second)
			s.attempt("b", time.Second, nil)
		}, 0},
		"another process tells of a longer wait": {func(s *story) {
			s.attempt("a", 0, s.told(503, short))
			s.heed(Notice{asked: moment.Wait{Written: s.now.Wall(), Until: s.now.Wall().Add(long)}}, "c", s.now)
		}, long},
		"another process tells of a shorter wait": {func(s *story) {
			s.attempt("a", 0, s.told(503, long))
			s.heed(Notice{asked: moment.Wait{Written: s.now.Wall(), Until: s.now.Wall().Add(short)}}, "c", s.now)
		}, long},
		"another process tells of what was before a success": {func(s *story) {
			written := s.now.Wall()
			s.pass(time.Second)
			s.attempt("a", time.Millisecond, nil)
			s.heed(Notice{asked: moment.Wait{Written: written, Until: written.Add(long)}}, "c", s.now)
		}, 0},
	} {
		s := newStory(9)
		tt.tell(s)
		if got := s.wait(t, s.request(time.Hour)); got != tt.want {
			t.Errorf("%s: others wait %v; want %v", name, got, tt.want)
		}
		stats := s.Stats(s.now)
		if stats.NotBefore.IsZero() != (tt.want == 0) || tt.want > 0 && !stats.NotBefore.Equal(s.now.Wall().Add(tt.want)) {
			t.Errorf("%s: the figures say %v", name, stats.NotBefore)
		}
	}
}

func errorOf(status int) error {
	return &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Sent: true, Status: status}
}

func TestOnlySessionsWhoseTokensDieAskAServerThatWantsToBeLeftAlone(t *testing.T) {
	s := newStory(9)
	s.attempt("a", 0, s.told(503, time.Hour))
	insists := s.request(time.Minute)
	insists.Insist, insists.Urgent = true, true
	for name, tt := range map[string]struct {
		q    Request
		want bool
	}{
		"it lives":                          {s.request(time.Minute), false},
		"it lives, and the program insists": {insists, false},
		"it dies in two seconds":            {s.request(2 * time.Second), false},
		"it dies in a second":               {s.request(time.Second), true},
		"it is dead, and a caller waits":    {s.request(0), true},
		"it is dead, and no caller waits":   {Request{Now: s.now, Interval: time.Minute}, false},
	} {
		if _, err := s.Forbids(tt.q); (err == nil) != tt.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	var pauses []time.Duration
	for range 8 {
		if got := s.wait(t, s.request(0)); got != 0 {
			t.Errorf("after %v it is not tried", pauses)
		}
		pause := s.wait(t, s.request(0))
		pauses = append(pauses, pause)
		s.pass(pause)
	}
	for i := 1; i < 6; i++ {
		if pauses[i] <= pauses[i-1] {
			t.Errorf("pauses %v; want them ever longer", pauses)
		}
	}
	if last := pauses[7]; last > time.Minute {
		t.Errorf("the last pause is %v; want a check interval at most", last)
	}
	s.sessions = 1
	if got := s.wait(t, insists); got != 0 {
		t.Error("a session without others cannot insist")
	}
}

// fail ends attempts of a session.
func (s *story) fail(n int, session string, err error) {
	for range n {
		s.attempt(session, 0, err)
	}
}

// wordOfTrouble is a server's word for its own trouble, under a status for the client's.
var wordOfTrouble = &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Code: "temporarily_unavailable", Status: 400, Sent: true}

func TestFiveOutagesInARowOpenTheBreaker(t *testing.T) {
	for name, tt := range map[string]struct {
		meet func(s *story)
		open bool
	}{
		"four":              {func(s *story) { s.fail(4, "a", errorOf(503)) }, false},
		"five":              {func(s *story) { s.fail(5, "a", errorOf(503)) }, true},
		"a success between": {func(s *story) { s.fail(4, "a", errorOf(503)); s.fail(1, "b", nil); s.fail(4, "a", errorOf(503)) }, false},
		"a refusal between": {func(s *story) {
			s.fail(4, "a", errorOf(503))
			s.fail(1, "b", refusedClient)
			s.fail(4, "a", errorOf(503))
		}, false},
		"429 to one": {func(s *story) { s.fail(20, "a", errorOf(429)) }, false},
		"429 to two": {func(s *story) {
			for range 5 {
				s.fail(1, "a", errorOf(429))
				s.fail(1, "b", errorOf(429))
			}
		}, true},
		"a word of trouble to one": {func(s *story) { s.fail(20, "a", wordOfTrouble) }, false},
		"a word of trouble to two": {func(s *story) {
			for range 5 {
				s.fail(1, "a", wordOfTrouble)
				s.fail(1, "b", wordOfTrouble)
			}
		}, true},
		"a web page": {func(s *story) {
			s.fail(5, "a", &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Status: 404, Page: true, Sent: true})
		}, true},
		"429 to one in an outage": {func(s *story) { s.fail(5, "a", errorOf(503)); s.fail(3, "a", errorOf(429)) }, true},
	} {
		s := newStory(9)
		tt.meet(s)
		if got := s.Stats(s.now).Down; got != tt.open {
			t.Errorf("%s: open %v; want %v", name, got, tt.open)
		}
	}
}

func TestWhoTriesAServerThatIsDown(t *testing.T) {
	s := newStory(9)
	s.fail(5, "a", errorOf(503))
	s.pass(schedule.ProbeWait(0.5))
	own := func() Request { return s.request(time.Hour) }
	if got := s.wait(t, s.request(0)); got != 0 {
		t.Errorf("a caller waits %v for the first probe", got)
	}
	if got, want := s.wait(t, s.request(0)), schedule.ProbeWait(0.5); got != want {
		t.Errorf("the next caller waits %v; want %v", got, want)
	}
	if got := s.wait(t, s.request(2*time.Second)); got == 0 {
		t.Error("a token that lives for two seconds more is a reason to try")
	}
	if got := s.wait(t, s.request(time.Second)); got != lastLook {
		t.Errorf("a token that dies in a second waits %v; want %v, for what the probe brings", got, lastLook)
	}
	s.pass(300 * time.Millisecond)
	if got := s.wait(t, s.request(900*time.Millisecond)); got != 0 {
		t.Errorf("a token that dies a second after the last probe waits %v", got)
	}
	s.fail(1, "a", errorOf(503))
	planned := s.breaker.probeAt
	s.fail(1, "a", errorOf(503))
	if s.breaker.probeAt != planned {
		t.Error("the next probe of our own is at another time than the others were told")
	}
	if got := s.wait(t, own()); got == 0 || got > time.Minute {
		t.Errorf("a session of whose token no caller waits is to wait %v", got)
	}
	s.pass(time.Minute)
	if got := s.wait(t, own()); got != 0 {
		t.Errorf("after a check interval it is to wait %v more", got)
	}
	back, epoch := s.Back(), s.Epoch()
	s.attempt("b", time.Millisecond, nil)
	select {
	case <-back:
	default:
		t.Error("those who wait are not told that the server is back")
	}
	if s.Epoch() == epoch || s.Stats(s.now).Down {
		t.Error("a success does not free the others")
	}
	for range 64 {
		if got := s.wait(t, s.request(0)); got != 0 {
			t.Errorf("after it a caller waits %v", got)
		}
	}
}

func TestAServerThatIsDownGetsSixtyRequestsInAMinute(t *testing.T) {
	s := newStory(100)
	s.fail(5, "a", errorOf(503))
	begun := slices.Repeat([]moment.Instant{s.now}, 5)
	for range 300 * 10 {
		s.pass(100 * time.Millisecond)
		q := s.request(900 * time.Millisecond) // as if one token died in every moment
		q.Jitter = 0
		if s.wait(t, q) == 0 {
			begun = append(begun, s.now)
			s.fail(1, "a", errorOf(503))
		}
	}
	for i := mostProbes; i < len(begun); i++ {
		if begun[i].Since(begun[i-mostProbes]) < time.Minute {
			t.Fatalf("%d requests within %v", mostProbes+1, begun[i].Since(begun[i-mostProbes]))
		}
	}
	if len(begun) < 4*mostProbes {
		t.Errorf("%d requests in five minutes; want more", len(begun))
	}
}

func TestProbesThatHangLeaveWorkersToOtherServers(t *testing.T) {
	s := newStory(100)
	s.burst = 8
	s.fail(5, "a", errorOf(503))
	n := 0
	for range 60 {
		s.pass(2 * time.Second)
		if until, _ := s.Admit(s.request(0)); until.IsZero() {
			n++
		}
	}
	if n != 4 {
		t.Errorf("%d requests of 8 workers hang; want 4", n)
	}
	if got := s.wait(t, s.request(0)); got == 0 {
		t.Error("and one more")
	}
}

func TestFewRequestsAreInFlightBeforeAServerHasAnswered(t *testing.T) {
	s := newStory(100)
	n := 0
	admit := func() {
		if until, err := s.Admit(s.request(0)); until.IsZero() && err == nil {
			n++
		}
	}
	for range 100 {
		admit()
	}
	if n != openAfter {
		t.Errorf("%d requests at once; want %d", n, openAfter)
	}
	s.pass(time.Second)
	admit()
	admit()
	if n != openAfter+1 {
		t.Errorf("%d requests after a second; want one more", n)
	}
	s.attempt("b", time.Second, nil)
	for range 50 {
		admit()
	}
	if n != openAfter+51 {
		t.Errorf("%d requests after an answer; want all", n)
	}
	s.pass(2 * time.Minute)
	admit()
	admit()
	if n != openAfter+52 {
		t.Errorf("%d more requests after two minutes without an answer; want one", n-openAfter-51)
	}
}

// Processes tell each other when they have asked by the server's record.
func TestProcessesShareTheProbesOfAServerThatIsDown(t *testing.T) {
	store := new(tokenstore.Memory)
	here, there := newStory(9), newStory(9)
	claim := func(s *story, q Request) time.Duration {
		q.Shared, q.Now = true, s.now
		until := s.Claim(t.Context(), store, q)
		if until.IsZero() {
			return 0
		}
		return until.Since(s.now)
	}
	tell := func(s *story, n Notice) { s.Tell(t.Context(), store, "c", n) }
	pass := func(d time.Duration) { here.pass(d); there.pass(d) }

	if got := claim(here, here.request(0)); got != 0 {
		t.Errorf("with no trouble a request waits %v", got)
	}
	if _, err := store.Get(t.Context(), tokenstore.ServerRecord("as")); err == nil {
		t.Error("and it was announced")
	}
	for range 5 {
		tell(here, here.attempt("a", 0, errorOf(503)))
		there.attempt("b", 0, errorOf(503))
	}
	pass(5 * time.Second)
	if got := claim(here, here.request(0)); got != 0 {
		t.Errorf("the first probe waits %v", got)
	}
	if got := claim(there, there.request(0)); got < time.Second || got > 2*time.Second {
		t.Errorf("a probe of another process waits %v; want more than a second", got)
	}
	if got := claim(there, there.request(time.Second)); got != lastLook {
		t.Errorf("a token of another process that dies in a second waits %v; want %v", got, lastLook)
	}
	pass(500 * time.Millisecond)
	if got := claim(there, there.request(800*time.Millisecond)); got != 0 {
		t.Errorf("a token that dies later than a second after the probe waits %v", got)
	}
	pass(sharedPause)
	there.Hear(t.Context(), store, "c", false, func() moment.Instant { return there.now })
	if got := claim(here, here.request(0)); got != 0 {
		t.Errorf("the next probe waits %v", got)
	}
	back := there.Back()
	tell(here, here.attempt("a", time.Millisecond, nil))
	pass(readOften)
	there.Hear(t.Context(), store, "c", false, func() moment.Instant { return there.now })
	select {
	case <-back:
	default:
		t.Error("another process does not hear that the server is back")
	}
	if there.Troubled(there.now) {
		t.Error("there the server is still in trouble")
	}
}

// What another process says of a server is heeded as what happens here is, unless it was
// said before a success.
func TestAnotherProcessTellsThatAServerIsDown(t *testing.T) {
	s := newStory(9)
	tell := func(ago, wait time.Duration) {
		written := s.now.Wall().Add(-ago)
		s.heed(Notice{down: moment.Wait{Written: written, Until: written.Add(wait)}}, "c", s.now)
	}
	tell(0, 40*time.Second)
	if got := s.wait(t, s.request(time.Hour)); got != 40*time.Second {
		t.Errorf("a session whose token lives waits %v; want 40s", got)
	}
	if got := s.wait(t, s.request(0)); got != sharedPause {
		t.Errorf("a caller waits %v; want a little more than a second from when the other process has asked", got)
	}
	tell(0, 10*time.Second)
	if got := s.wait(t, s.request(time.Hour)); got != 40*time.Second {
		t.Errorf("after a second process has told of less it waits %v; want 40s still", got)
	}
	s.pass(40 * time.Second)
	if got := s.wait(t, s.request(time.Hour)); got != 0 {
		t.Errorf("when that is over it waits %v", got)
	}
	s.attempt("a", time.Millisecond, nil)
	tell(time.Second, time.Minute)
	if got := s.wait(t, s.request(time.Hour)); got != 0 {
		t.Errorf("by what was said before a success it waits %v", got)
	}
}

// What this process has told the others does not keep itself.
func TestAProcessDoesNotHeedItself(t *testing.T) {
	store := new(tokenstore.Memory)
	s := newStory(1)
	s.Tell(t.Context(), store, "c", s.attempt("a", 0, errorOf(503)))
	for range 3 {
		s.pass(schedule.ProbePause)
		s.Hear(t.Context(), store, "c", false, func() moment.Instant { return s.now })
		q := s.request(0)
		q.Shared = true
		if got := s.wait(t, q); got != 0 {
			t.Errorf("it waits %v", got)
		}
		if until := s.Claim(t.Context(), store, q); !until.IsZero() {
			t.Errorf("it waits %v to claim", until.Since(s.now))
		}
		s.Tell(t.Context(), store, "c", s.attempt("a", 0, errorOf(503)))
	}
	rec, err := store.Get(t.Context(), tokenstore.ServerRecord("as"))
	if err != nil || rec.Refused == nil || !rec.Refused.Last.Equal(s.now.Wall()) || !rec.Refused.At.After(s.now.Wall().Add(2*time.Second)) {
		t.Fatalf("the record says %+v, %v", rec, err)
	}
	s.attempt("a", 0, s.told(503, time.Minute))
	s.Tell(t.Context(), store, "c", Notice{asked: moment.Wait{Written: s.now.Wall(), Until: s.now.Wall().Add(time.Minute)}})
	s.pass(time.Second)
	s.Tell(t.Context(), store, "c", s.attempt("a", time.Millisecond, nil))
	rec, err = store.Get(t.Context(), tokenstore.ServerRecord("as"))
	if err != nil || rec.Refused != nil || !rec.NotBefore.IsZero() || !rec.AskedAt.IsZero() {
		t.Errorf("after a success the record says %+v, %v", rec, err)
	}
}

// Of two processes that claim at the same moment one asks, and who hears meanwhile that
// the server is back goes on.
func TestClaimsThatCollide(t *testing.T) {
	store := &racing{Memory: new(tokenstore.Memory)}
	s := newStory(9)
	s.Tell(t.Context(), store, "c", s.attempt("a", 0, errorOf(503)))
	s.pass(5 * time.Second)
	q := s.request(0)
	q.Shared = true
	store.before = func() {
		rec, err := store.Memory.Get(t.Context(), tokenstore.ServerRecord("as"))
		if err == nil {
			_, err = store.Memory.Set(t.Context(), tokenstore.ServerRecord("as"), rec)
		}
		if err != nil {
			t.Error(err)
		}
	}
	if until := s.Claim(t.Context(), store, q); until != q.Now.Add(lastLook) {
		t.Errorf("the one who comes second asks at %v", until)
	}
	store.before = nil
	s.pass(5 * time.Second)
	other := newStory(9)
	other.now = s.now
	other.Tell(t.Context(), store, "c", Notice{back: true})
	back := s.Back()
	q.Now = s.now
	if until := s.Claim(t.Context(), store, q); !until.IsZero() {
		t.Errorf("with the server back a request waits until %v", until)
	}
	select {
	case <-back:
	default:
		t.Error("the others are not told")
	}
	if rec, err := store.Get(t.Context(), tokenstore.ServerRecord("as")); err != nil || rec.Refused != nil {
		t.Errorf("the record says %+v, %v", rec, err)
	}
}

// racing calls before with each write.
type racing struct {
	*tokenstore.Memory
	before func()
}

func (r *racing) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	if r.before != nil {
		r.before()
	}
	return r.Memory.Set(ctx, name, rec)
}

// Whoever waited because a server asked all to is told when that is over.
func TestASuccessEndsAWaitOfAll(t *testing.T) {
	s := newStory(9)
	s.attempt("a", 0, s.told(503, time.Hour))
	s.pass(time.Minute)
	back, epoch := s.Back(), s.Epoch()
	s.attempt("b", time.Second, nil)
	select {
	case <-back:
	default:
		t.Error("callers are not told")
	}
	if s.Epoch() == epoch {
		t.Error("sessions are not told")
	}
}

// A claim alone is enough for the others to be told that it is over.
func TestWhatWasClaimedIsTakenBack(t *testing.T) {
	store, s := new(tokenstore.Memory), newStory(9)
	s.attempt("a", 0, errorOf(503)) // and not told
	q := s.request(0)
	q.Shared = true
	if until := s.Claim(t.Context(), store, q); !until.IsZero() {
		t.Fatal(until)
	}
	if n := s.attempt("a", 0, nil); !n.back {
		t.Error("it is not")
	}
}

func TestHowLongToWaitForTheFirstAnswerCountsFromTheRequestsInFlight(t *testing.T) {
	s := newStory(100)
	for range 2 {
		for range openAfter {
			if until, err := s.Admit(s.request(0)); !until.IsZero() || err != nil {
				t.Fatal(until, err)
			}
		}
		if until, _ := s.Admit(s.request(time.Minute)); until.Since(s.now) > 10*time.Millisecond {
			t.Errorf("it is looked again after %v", until.Since(s.now))
		}
		s.pass(time.Hour)
		for range openAfter {
			s.Release("c", "s")
		}
	}
}

// A request in flight does not keep itself from being made again.
func TestARequestInFlightIsMadeAgain(t *testing.T) {
	s := newStory(9)
	if until, err := s.Admit(s.request(time.Hour)); !until.IsZero() || err != nil {
		t.Fatal(until, err)
	}
	s.fail(5, "a", errorOf(503))
	s.pass(time.Minute)
	if _, err := s.Forbids(s.request(time.Hour)); err == nil {
		t.Error("another session may ask while one does")
	}
	if _, err := s.Again(s.request(time.Hour)); err != nil {
		t.Errorf("the one that does may not: %v", err)
	}
	// And then it is the one that others wait for.
	if got := s.wait(t, s.request(0)); got != schedule.ProbeWait(0.5) {
		t.Errorf("a caller waits %v for what it brings; want %v", got, schedule.ProbeWait(0.5))
	}
	s.fail(1, "a", errorOf(503))
	if _, err := s.Again(s.request(time.Hour)); err == nil {
		t.Error("what is in flight may be made again at once")
	}
}

// Without callers a server that is down is tried ever more rarely.
func TestProbesWithoutACallerFollowTheBackoff(t *testing.T) {
	s := newStory(9)
	s.fail(5, "a", errorOf(503))
	if got, want := s.wait(t, s.crowd()), schedule.Backoff(1, time.Minute, 0.5); got != want {
		t.Errorf("after five outages the next probe is in %v; want %v", got, want)
	}
	s.pass(time.Minute)
	for range 4 {
		s.fail(1, "a", errorOf(503))
	}
	s.pass(time.Minute)
	if got := s.wait(t, s.crowd()); got != 0 {
		t.Fatalf("after two minutes the next probe waits %v", got)
	}
	if got, want := s.wait(t, s.crowd()), schedule.Backoff(6, time.Minute, 0.5); got != want {
		t.Errorf("after nine outages the next probe is in %v; want %v", got, want)
	}
	// What the server gets in a minute is not a reason to try it before that.
	for i := range mostProbes {
		s.breaker.begun = append(s.breaker.begun[:i], s.now.Add(-2*time.Minute))
	}
	if got, want := s.wait(t, s.crowd()), schedule.Backoff(6, time.Minute, 0.5); got != want {
		t.Errorf("after many probes long ago the next one is in %v; want %v", got, want)
	}
}

// Attempts that began before another process told of the trouble count among a minute's.
func TestAttemptsFromBeforeTheTroubleCount(t *testing.T) {
	s := newStory(9)
	s.heed(Notice{down: moment.Wait{Written: s.now.Wall(), Until: s.now.Wall().Add(time.Minute)}}, "c", s.now)
	s.pass(time.Second)
	s.attempt("a", 2*time.Second, errorOf(503))
	if got := len(s.breaker.begun); got != 1 {
		t.Errorf("%d are counted; want the one", got)
	}
	s.heed(Notice{down: moment.Wait{Written: s.now.Wall(), Until: s.now.Wall().Add(time.Minute)}}, "c", s.now)
	s.attempt("a", time.Second/2, errorOf(503))
	if got := len(s.breaker.begun); got != 1 {
		t.Errorf("%d are counted; want no more, as the breaker has counted it when it began", got)
	}
}

// A token that dies while the server wants to be left alone waits for what another one's
// request brings, and no longer.
func TestTwoTokensThatDieWhileAServerWantsToBeLeftAlone(t *testing.T) {
	s := newStory(9)
	s.attempt("a", 0, s.told(503, time.Hour))
	for i, want := range []time.Duration{0, lastLook} {
		if got := s.wait(t, s.request(time.Second)); got != want {
			t.Errorf("token %d waits %v; want %v", i+1, got, want)
		}
	}
}

// Trouble comes again, and callers wait again.
func TestCallersAreFreedEachTime(t *testing.T) {
	s := newStory(9)
	for range 2 {
		s.fail(5, "a", errorOf(503))
		back := s.Back()
		s.fail(1, "a", nil)
		select {
		case <-back:
		default:
			t.Error("callers are not told")
		}
		s.pass(time.Minute)
	}
}

// A probe that fails late does not put the next one off.
func TestTheNextProbeCountsFromTheBeginning(t *testing.T) {
	s := newStory(9)
	s.fail(5, "a", errorOf(503))
	s.pass(2 * time.Second)
	if got := s.wait(t, s.request(0)); got != 0 {
		t.Fatal(got)
	}
	s.pass(3 * time.Second)
	s.attempt("z", 3*time.Second, errorOf(503))
	if got := s.wait(t, s.request(0)); got != 0 {
		t.Errorf("a caller waits %v after a probe that took three seconds", got)
	}
	// And of attempts that were in flight when the trouble began, the last one counts.
	s = newStory(9)
	s.pass(time.Minute)
	for i := range 5 {
		s.attempt("a", time.Duration(5-i)*time.Second, errorOf(503))
	}
	if got := s.wait(t, s.request(0)); got != schedule.ProbeWait(0.5)-time.Second {
		t.Errorf("a caller waits %v", got)
	}
}

func TestASessionWithoutOthersIsHeldBackAsWell(t *testing.T) {
	s := newStory(1)
	s.fail(5, "a", errorOf(503))
	q := s.request(0)
	if got := s.wait(t, q); got == 0 {
		t.Error("a caller does not wait")
	}
	q.Insist = true
	if got := s.wait(t, q); got != 0 {
		t.Errorf("a program that insists waits %v", got)
	}
	s.sessions = 2
	if got := s.wait(t, q); got == 0 {
		t.Error("a program that insists does not wait for what another session's probe brings")
	}
}

// The clocks of hosts disagree. What one of them has written counts for the others from
// when it was read first, and no longer ago than the look before that.
func TestHostsShareTheProbesWhateverTheirClocksSay(t *testing.T) {
	for _, skew := range []time.Duration{-time.Minute, -3 * time.Second, 0, 3 * time.Second, time.Minute} {
		t.Run(skew.String(), func(t *testing.T) {
			store := new(tokenstore.Memory)
			here, there := newStory(9), newStory(9)
			there.now = moment.Of(start.Wall().Add(skew)) // by the wall clock alone: it is another host
			hosts := []*story{here, there}
			for _, s := range hosts {
				s.attempt("a", time.Millisecond, nil) // all was well until now
				s.heed(Notice{}, "c", s.now)
			}
			begun := 0
			for range 2 * 600 {
				for i, s := range hosts {
					s.pass(50 * time.Millisecond)
					s.Hear(t.Context(), store, "c", false, func() moment.Instant { return s.now })
					q := s.request(0)
					q.Shared = true
					if until, err := s.Admit(q); err != nil || !until.IsZero() {
						continue
					}
					if until := s.Claim(t.Context(), store, q); until.IsZero() {
						begun++
						s.Tell(t.Context(), store, "c", s.attempt(string(rune('a'+i)), 0, errorOf(503)))
					}
					s.Release("c", "s")
				}
			}
			if begun > 60+openAfter {
				t.Errorf("%d requests in a minute; want 60, and %d before all knew", begun, openAfter)
			}
			here.attempt("a", 0, here.told(503, 20*time.Second))
			here.Tell(t.Context(), store, "c", Notice{asked: moment.Wait{Written: here.now.Wall(), Until: here.now.Wall().Add(20 * time.Second)}})
			there.pass(readOften)
			there.Hear(t.Context(), store, "c", false, func() moment.Instant { return there.now })
			if got := there.wait(t, there.request(time.Hour)); got < 19*time.Second || got > 21*time.Second {
				t.Errorf("a wait of 20 s that the server asked another host for is %v here", got)
			}
		})
	}
}
