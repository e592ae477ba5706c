package gate

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
	"github.com/evertoken/evertoken/tokenstore"
)

// waitFor is a wait that is written at the start of a story.
func waitFor(d time.Duration) moment.Wait {
	return moment.Wait{Written: start.Wall(), Until: start.Wall().Add(d)}
}

func markFor(d time.Duration, token, code string) *tokenstore.Mark {
	return markOf(waitFor(d), token, code)
}

func TestWhatIsWrittenForOtherProcesses(t *testing.T) {
	const short, long = time.Minute, 10 * time.Minute
	asked := func(d time.Duration) tokenstore.Record {
		w := waitFor(d)
		return tokenstore.Record{NotBefore: w.Until.UTC(), AskedAt: w.Written.UTC()}
	}
	down := func(d time.Duration) tokenstore.Record {
		return tokenstore.Record{Refused: markFor(d, "as", codeDown)}
	}
	client := func(d time.Duration, config string) tokenstore.Record {
		return tokenstore.Record{Dead: markFor(d, config, codeClient)}
	}
	none := tokenstore.Record{}
	both := asked(short)
	both.Refused = down(short).Refused
	foreign := tokenstore.Record{Refused: markFor(short, "x", "invalid_grant"), Dead: markFor(short, "c", "invalid_grant")}
	for name, tt := range map[string]struct {
		n            Notice
		before, want tokenstore.Record // the same: nothing is written
	}{
		"nothing":                            {Notice{}, none, none},
		"a wait":                             {Notice{asked: waitFor(short)}, none, asked(short)},
		"a longer wait":                      {Notice{asked: waitFor(long)}, asked(short), asked(long)},
		"a shorter wait":                     {Notice{asked: waitFor(short)}, asked(long), asked(long)},
		"an outage":                          {Notice{down: waitFor(short)}, none, down(short)},
		"an outage that is known":            {Notice{down: waitFor(short)}, down(long), down(long)},
		"an outage of a server that waits":   {Notice{down: waitFor(short)}, asked(short), both},
		"a wait of a server that is down":    {Notice{asked: waitFor(short)}, down(short), both},
		"the end of both":                    {Notice{back: true}, both, none},
		"the end of a wait":                  {Notice{back: true}, asked(short), none},
		"the end of nothing":                 {Notice{back: true}, client(short, "c"), client(short, "c")},
		"a refused client":                   {Notice{config: "c", probe: waitFor(short)}, none, client(short, "c")},
		"another refused client":             {Notice{config: "d", probe: waitFor(short)}, client(long, "c"), client(short, "d")},
		"a later probe of it":                {Notice{config: "c", probe: waitFor(long)}, client(short, "c"), client(long, "c")},
		"an earlier probe of it":             {Notice{config: "c", probe: waitFor(short)}, client(long, "c"), client(long, "c")},
		"an accepted client":                 {Notice{accepted: true}, client(short, "c"), none},
		"an accepted client, not known":      {Notice{accepted: true}, none, none},
		"an accepted client, and other news": {Notice{accepted: true, back: true}, asked(short), none},
		"an accepted client, of another":     {Notice{accepted: true, asked: waitFor(short)}, client(short, "d"), with(asked(short), client(short, "d"))},
		"a wait, with its client refused":    {Notice{asked: waitFor(short)}, client(short, "c"), with(asked(short), client(short, "c"))},
		"marks of other things":              {Notice{back: true, accepted: true}, foreign, foreign},
		"an end, beside marks of others":     {Notice{back: true}, with(asked(short), foreign), foreign},
	} {
		rec := tt.before
		same := reflect.DeepEqual(tt.before, tt.want)
		if got := tt.n.writeTo(&rec, "as", "c"); got == same {
			t.Errorf("%s: written: %t; want %t", name, got, !same)
		}
		if !reflect.DeepEqual(rec, tt.want) {
			t.Errorf("%s: the record is %+v; want %+v", name, rec, tt.want)
		}
	}
}

// with is a record with another one's marks.
func with(rec, other tokenstore.Record) tokenstore.Record {
	rec.Dead, rec.Refused = other.Dead, other.Refused
	return rec
}

func TestWhatAnAttemptTellsOthers(t *testing.T) {
	s := newStory(9)
	expect := func(what string, got, want Notice) {
		t.Helper()
		if got != want {
			t.Errorf("after %s others hear %+v; want %+v", what, got, want)
		}
	}
	expect("a success", s.attempt("a", 0, nil), Notice{})
	expect("a refusal", s.attempt("a", 0, refusedClient), Notice{})
	expect("a 429 to one", Notice{asked: s.attempt("a", 0, s.told(429, time.Minute)).asked}, Notice{})
	expect("another status with a Retry-After", s.attempt("a", 0, s.told(400, time.Minute)), Notice{})
	s.attempt("a", 0, nil)
	wait := moment.Wait{Written: s.now.Wall(), Until: s.now.Wall().Add(time.Minute)}
	down := moment.Wait{Written: s.now.Add(-time.Second).Wall(), Until: s.now.Add(schedule.Backoff(1, time.Minute, 0.5) + 3*schedule.ProbePause).Wall()}
	expect("a 503 with a Retry-After", s.attempt("a", time.Second, s.told(503, time.Minute)), Notice{asked: wait, down: down})
	s.toldOfTrouble()
	expect("another outage", s.attempt("a", 0, errorOf(503)), Notice{})
	s.pass(time.Minute)
	expect("the answer", s.attempt("a", 0, nil), Notice{back: true})
	expect("one more", s.attempt("a", 0, nil), Notice{})
}

// What another process has told, and takes back, is over here too.
func TestWhatIsTakenBackIsOver(t *testing.T) {
	for name, n := range map[string]Notice{"a wait": {asked: waitFor(time.Minute)}, "an outage": {down: waitFor(time.Minute)}} {
		s := newStory(9)
		s.heed(n, "c", s.now)
		if !s.Troubled(s.now) {
			t.Errorf("%s: the server is not in trouble", name)
		}
		s.heed(Notice{}, "c", s.now)
		if s.Troubled(s.now) {
			t.Errorf("%s that is taken back is not over", name)
		}
	}
	s := newStory(9)
	n := s.attempt("a", 0, errorOf(503)) // whether it was written is not known
	s.heed(n, "c", s.now)
	if n := s.attempt("a", 0, nil); !n.back {
		t.Error("what is in the Store is not taken back there")
	}
}

// The waits that a process has told others of are the ones that it keeps itself, though its
// clock is set before it reads them again.
func TestAProcessKnowsItsOwnWaitsAgain(t *testing.T) {
	set := func(s *story, wall, mono time.Duration) {
		w, m := s.now.Parts()
		s.now = moment.FromParts(w+int64(wall), m+int64(mono))
	}
	s := newStory(9)
	s.heed(Notice{}, "c", s.now)
	n := s.refuseClient()
	set(s, -10*time.Minute, 30*time.Second)
	s.heed(n, "c", s.now)
	if got := s.begins(s.of("a")); got != 30*time.Second {
		t.Errorf("a probe of the client is made in %v; want 30s", got)
	}
	s = newStory(9)
	n = s.attempt("a", 0, s.told(503, time.Minute))
	set(s, -10*time.Minute, 30*time.Second)
	s.heed(n, "c", s.now)
	if got := s.begins(s.crowd()); got != 30*time.Second {
		t.Errorf("a request waits %v more; want 30s", got)
	}
	s = newStory(9)
	s.heed(Notice{}, "c", s.now)
	s.pass(time.Second)
	s.attempt("a", 0, nil)
	s.pass(time.Second)
	n = s.attempt("a", 0, errorOf(503))
	set(s, time.Hour, time.Second)
	s.heed(n, "c", s.now)
	if n := s.attempt("a", 0, nil); !n.back {
		t.Error("an outage from after a success is taken for one from before it")
	}
}

// A counted store counts calls, and can fail.
type counted struct {
	*tokenstore.Memory
	gets, sets int
	get, set   error
	ctx        []context.Context
}

func newCounted() *counted { return &counted{Memory: new(tokenstore.Memory)} }

func (c *counted) Get(ctx context.Context, name string) (*tokenstore.Record, error) {
	c.gets++
	c.ctx = append(c.ctx, ctx)
	if c.get != nil {
		return nil, c.get
	}
	return c.Memory.Get(ctx, name)
}

func (c *counted) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	c.sets++
	c.ctx = append(c.ctx, ctx)
	if c.set != nil {
		return 0, c.set
	}
	return c.Memory.Set(ctx, name, rec)
}

// released reports an error if a context that the Store was called with is not.
func (c *counted) released(t *testing.T) {
	t.Helper()
	for i, ctx := range c.ctx {
		if ctx.Err() == nil {
			t.Errorf("the context of call %d is kept until its time is over", i+1)
		}
	}
}

func TestWhenTheStoreIsAskedWhatOthersSay(t *testing.T) {
	for name, tt := range map[string]struct {
		sessions int
		meet     func(s *story)
		want     time.Duration // until it is asked again; less than zero: not at all
	}{
		"a session without others":                               {1, func(*story) {}, -1},
		"a session without others, of a refused client":          {1, func(s *story) { s.refuseClient() }, readEvery},
		"a session without others, of a server in need":          {1, func(s *story) { s.fail(1, "a", errorOf(503)) }, readOften},
		"several sessions":                                       {2, func(*story) {}, readEvery},
		"several sessions, of a server that is in need":          {2, func(s *story) { s.fail(1, "a", errorOf(503)) }, readOften},
		"several sessions, of a server that is to be left alone": {2, func(s *story) { s.attempt("a", 0, s.told(503, time.Hour)) }, readOften},
	} {
		store, s := newCounted(), newStory(tt.sessions)
		tt.meet(s)
		hear := func(insist bool) bool {
			_, heard := s.Hear(t.Context(), store, "c", insist, func() moment.Instant { return s.now })
			return heard
		}
		if got := hear(false); got != (tt.want >= 0) || got != (store.gets == 1) {
			t.Errorf("%s: the Store is asked: %t, in %d calls; want %t", name, got, store.gets, tt.want >= 0)
		}
		if !hear(true) {
			t.Errorf("%s: whoever insists is not heard", name)
		}
		asked := store.gets
		if tt.want >= 0 {
			s.pass(tt.want - 1)
		}
		if hear(false) || store.gets != asked {
			t.Errorf("%s: it is asked again after %v", name, tt.want-1)
		}
		if s.pass(1); hear(false) != (tt.want >= 0) {
			t.Errorf("%s: it is asked again after %v: %t", name, tt.want, tt.want < 0)
		}
		store.released(t)
	}
	// Without a name there is no record.
	store, g := newCounted(), New("", Limits{}, 1)
	g.sessions = 9
	if _, heard := g.Hear(t.Context(), store, "c", true, func() moment.Instant { return start }); heard || store.gets != 0 {
		t.Error("the Store is asked about a server without a name")
	}
	g.Tell(t.Context(), store, "c", Notice{back: true, asked: waitFor(time.Minute)})
	if store.gets+store.sets != 0 {
		t.Error("the Store is told about a server without a name")
	}
}

func TestAStoreThatDoesNotWorkIsNotAskedMoreOften(t *testing.T) {
	store, s := newCounted(), newStory(9)
	store.get = errors.New("down")
	for range 3 {
		if n, heard := s.Hear(t.Context(), store, "c", false, func() moment.Instant { return s.now }); heard || n != (Notice{}) {
			t.Errorf("it says %+v", n)
		}
	}
	if store.gets != 1 {
		t.Errorf("it is asked %d times in a moment; want once", store.gets)
	}
	s.mu.Lock() // which is free, and the turn to read is
	defer s.mu.Unlock()
	select {
	case s.reading <- struct{}{}:
	default:
		t.Error("no other session can ask")
	}
}

// Sessions that come while one of them reads wait for what it learns, and may leave.
func TestWhileOneSessionReadsTheOthersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, s := newCounted(), newStory(9)
		hear := func(ctx context.Context) bool {
			_, heard := s.Hear(ctx, store, "c", false, func() moment.Instant { return s.now })
			return heard
		}
		s.reading <- struct{}{} // one reads
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if hear(ctx) || store.gets != 0 {
			t.Error("who leaves has heard something")
		}
		heard := make(chan bool)
		go func() { heard <- hear(t.Context()) }()
		synctest.Wait()
		s.heed(Notice{}, "c", s.now)
		<-s.reading
		if <-heard || store.gets != 0 {
			t.Errorf("who has waited asks again, in %d calls", store.gets)
		}
	})
}

func TestHowOthersAreTold(t *testing.T) {
	down := Notice{down: waitFor(time.Minute)}
	for name, tt := range map[string]struct {
		n          Notice
		get, set   error
		gets, sets int
		shared     bool // it is known that the Store says so
	}{
		"nothing":                       {n: Notice{}},
		"an outage":                     {n: down, gets: 1, sets: 1, shared: true},
		"a wait":                        {n: Notice{asked: waitFor(time.Minute)}, gets: 1, sets: 1, shared: true},
		"a client":                      {n: Notice{config: "c", probe: waitFor(time.Minute)}, gets: 1, sets: 1},
		"what is known":                 {n: Notice{back: true}, gets: 1},
		"others write meanwhile":        {n: down, set: fmt.Errorf("wrapped: %w", tokenstore.ErrConflict), gets: 3, sets: 3},
		"a Store that cannot write":     {n: down, set: errors.New("full"), gets: 1, sets: 1},
		"a Store that cannot read":      {n: down, get: errors.New("down"), gets: 1},
		"a record that is not a record": {n: down, get: fmt.Errorf("wrapped: %w", tokenstore.ErrDamaged), gets: 1, sets: 1, shared: true},
	} {
		store, s := newCounted(), newStory(9)
		store.get, store.set = tt.get, tt.set
		s.Tell(t.Context(), store, "c", tt.n)
		if store.gets != tt.gets || store.sets != tt.sets {
			t.Errorf("%s: %d reads and %d writes; want %d and %d", name, store.gets, store.sets, tt.gets, tt.sets)
		}
		if s.shared != tt.shared {
			t.Errorf("%s: it is to be taken back: %t; want %t", name, s.shared, tt.shared)
		}
		store.released(t)
	}
}

// A request is announced if the server is in trouble, by whoever shares it.
func TestWhichRequestsAreClaimed(t *testing.T) {
	for name, tt := range map[string]struct {
		troubled, shared bool
		get, set         error
		calls            int
		announced        bool
	}{
		"all is well":                    {shared: true},
		"trouble, and no other process":  {troubled: true},
		"trouble":                        {troubled: true, shared: true, calls: 2, announced: true},
		"a Store that cannot read":       {troubled: true, shared: true, get: errors.New("down"), calls: 1},
		"a Store that cannot be written": {troubled: true, shared: true, set: errors.New("full"), calls: 2},
	} {
		store, s := newCounted(), newStory(9)
		store.get, store.set = tt.get, tt.set
		if tt.troubled {
			s.fail(5, "a", errorOf(503))
			s.pass(5 * time.Second)
		}
		q := s.request(0)
		q.Shared = tt.shared
		if got := s.begins(q); got != 0 {
			t.Errorf("%s: it waits %v", name, got)
		}
		if until := s.Claim(t.Context(), store, q); !until.IsZero() {
			t.Errorf("%s: it cannot be claimed until %v", name, until.Since(s.now))
		}
		if got := store.gets + store.sets; got != tt.calls {
			t.Errorf("%s: %d calls; want %d", name, got, tt.calls)
		}
		if s.shared != tt.announced {
			t.Errorf("%s: announced: %t; want %t", name, s.shared, tt.announced)
		}
		if got, want := s.begins(s.request(0)), time.Duration(0); tt.troubled && got == want {
			t.Errorf("%s: another one begins at once", name)
		}
		store.released(t)
	}
}

// What a request that is to be claimed keeps from others it keeps when it is.
func TestARequestCountsFromItsClaim(t *testing.T) {
	store, s := newCounted(), newStory(9)
	s.burst = 8
	s.fail(5, "a", errorOf(503))
	for range 3 { // which hang
		s.pass(5 * time.Second)
		if got := s.begins(s.request(0)); got != 0 {
			t.Fatal(got)
		}
	}
	s.pass(5 * time.Second)
	q := s.request(0)
	q.Shared = true
	if got := s.begins(q); got != 0 {
		t.Fatal(got)
	}
	if got := s.breaker.probed; got == s.now {
		t.Error("it counts before it is claimed")
	}
	if until := s.Claim(t.Context(), store, q); !until.IsZero() {
		t.Errorf("with three others in flight it waits %v", until.Since(s.now))
	}
	if got := s.breaker.probed; got != s.now {
		t.Error("it does not count when it is claimed")
	}
}

// A process that has just begun waits for what another one asked before that.
func TestAProbeFromBeforeTheProcessBegan(t *testing.T) {
	s := newStory(9)
	wall, _ := s.now.Parts()
	s.now = moment.FromParts(wall, int64(100*time.Millisecond))
	written := s.now.Wall().Add(-500 * time.Millisecond)
	s.heed(Notice{down: moment.Wait{Written: written, Until: written.Add(time.Minute)}}, "c", s.now)
	if got, want := s.wait(t, s.request(0)), sharedPause-500*time.Millisecond; got != want {
		t.Errorf("a caller waits %v; want %v", got, want)
	}
}
