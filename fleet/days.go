package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/evertoken/evertoken/internal/sleep"
	"github.com/evertoken/evertoken/internal/trouble"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// A day is a run in which one kind of thing goes wrong, again and again, and nothing else.
type day struct {
	kind   kind
	what   trial
	length time.Duration // of the run, beyond what it needs before and after
	// grace is the server's. Without one, nothing but a lost answer excuses that a token
	// is sent again, and no answer is lost here.
	grace time.Duration
	life  time.Duration // of an access token; zero means that of daySize
	timed bool          // how long callers wait is judged, and not only told: that takes a machine without other work
}

// days are the rows of bad days. They run beside each other.
func days(quick bool) []day {
	length := func(short, long int) time.Duration {
		if quick {
			return time.Duration(short) * time.Second
		}
		return time.Duration(long) * time.Second
	}
	list := []day{
		{kind: inRedis, what: putBack, length: length(40, 240), grace: grace, life: awayLife},
		{kind: inPostgres, what: putBack, length: length(24, 240), grace: grace, life: awayLife},
		{kind: inRedis, what: awayAfterSpend, length: length(36, 240), life: awayLife},
		{kind: inPostgres, what: awayAfterSpend, length: length(36, 240), life: awayLife},
		{kind: inRedis, what: authorityPauses, length: length(40, 280)},
		{kind: inRedis, what: authorityDown, length: length(40, 280), grace: grace},
		{kind: inRedis, what: throttled, length: length(20, 60)},
	}
	for i := range list {
		list[i].timed = !quick
	}
	return list
}

// awayLife is long enough that a token which is renewed outlives the time for which the
// engine is away, or a host is cut off from it: then other processes can wait for the one
// that has the new pair.
const awayLife = 32 * time.Second

// cutOff is how long a host is cut off from the engine at most: half of the time that is
// left of a token's life when it is renewed.
const cutOff = awayLife / 8

// plan draws the faults of a day.
func (d day) plan(s size, rand *rand.Rand) []fault {
	var faults []fault
	for at, n := s.calm, 0; ; n++ {
		f := fault{trial: d.what, at: at, host: rand.IntN(s.hosts), how: n}
		f.lasts = d.lasts(s, n, rand)
		if at += f.lasts + 8*time.Second; at > s.length && n > 0 {
			return faults
		}
		if faults = append(faults, f); d.what == throttled {
			return faults
		}
	}
}

func (d day) lasts(s size, n int, rand *rand.Rand) time.Duration {
	between := func(a, b time.Duration) time.Duration { return a + time.Duration(rand.Int64N(int64(b-a))) }
	switch d.what {
	case putBack:
		return between(s.life/2, 3*s.life/2) // a renewal or two, of which the copy does not know
	case authorityPauses:
		return between(31*time.Second, min(d.length, 90*time.Second))
	case authorityDown:
		return []time.Duration{3 * time.Second, 20 * time.Second, 8 * time.Second, 45 * time.Second, 90 * time.Second}[n%5]
	case throttled:
		return s.length - 2*s.calm
	}
	return between(time.Second, s.life/4)
}

// runDays runs the chosen days beside each other, and tells of each in order.
func runDays(ctx context.Context, random *rand.Rand, list []day, chosen func(i int) bool, tell func(*row)) error {
	type result struct {
		row *row
		err error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var results []chan result
	for i, d := range list {
		own := rand.New(rand.NewPCG(random.Uint64(), random.Uint64())) // what is drawn must not depend on others
		if !chosen(i) {
			continue
		}
		done := make(chan result, 1)
		results = append(results, done)
		go func() {
			r, err := runDay(ctx, own, d)
			if err != nil {
				err = fmt.Errorf("%s: %s: %w", d.kind, d.what, err)
				cancel()
			}
			done <- result{r, err}
		}()
	}
	var failed error
	for _, done := range results {
		last := <-done // also after a failure: each run cleans up
		if failed == nil || errors.Is(failed, context.Canceled) {
			failed = cmp.Or(last.err, failed)
		}
		if failed == nil {
			tell(last.row)
		}
	}
	return failed
}

// runDay sets a small fleet up, lets the day happen, and judges. Its hosts are behind
// proxies, since others run beside it.
func runDay(ctx context.Context, r *rand.Rand, d day) (*row, error) {
	s := daySize
	s.length, s.grace, s.life = d.length+2*s.calm, d.grace, cmp.Or(d.life, s.life)
	if d.what == authorityPauses {
		s.timeout = 0 // the default is what is tried
	}
	if d.what == throttled {
		s.hosts, s.processes = 1, 1 // others would renew what this one does not
	}
	plan := d.plan(s, r)
	last := plan[len(plan)-1]
	s.length = max(s.length, last.at+last.lasts+s.life+s.calm)
	f := &run{size: s, kind: d.kind, offsets: s.offsets(0), network: newProxied(s.hosts), day: d.what, timed: d.timed}
	return f.row(ctx, plan, 0)
}

// happenToday lets a fault of a day happen, and ends it. It ends it also when ctx does.
func (f *run) happenToday(ctx context.Context, x fault) error {
	f.today.Lock() // one may take longer to begin than was planned
	defer f.today.Unlock()
	switch x.trial {
	case putBack:
		return f.goBack(ctx, x)
	case awayAfterSpend:
		pause := &trouble.Trouble{AfterWork: true}
		f.authority.tokens.Fall(pause)
		f.struck(ctx, pause)
		f.engine.kill()
		f.authority.tokens.Heal()
		_ = sleep.For(ctx, x.lasts) // an interrupted run is reported elsewhere
		return f.engine.start(ctx)
	case authorityPauses:
		pause := &trouble.Trouble{AfterWork: x.how%2 == 1}
		f.authority.tokens.Fall(pause)
		f.struck(ctx, pause)
		_ = sleep.For(ctx, x.lasts)
		if again := f.authority.tokens.Heal(); again > 0 {
			return f.breaks("in a pause of %s refresh tokens were sent %d times more", x.lasts, again)
		}
	case authorityDown:
		defer func() { f.back = append(f.back, time.Now()) }() // which may be later than was planned
		if x.how%2 == 0 {
			f.authority.down()
			_ = sleep.For(ctx, x.lasts)
			return f.authority.up()
		}
		f.authority.Script(oauthtest.Fault{Times: -1, Status: http.StatusServiceUnavailable, Body: `{"error":"temporarily_unavailable"}`})
		_ = sleep.For(ctx, x.lasts)
		f.authority.ClearScript()
	case throttled:
		f.authority.Script(oauthtest.Fault{User: f.names[0], Times: -1, Status: http.StatusTooManyRequests, RetryAfter: time.Hour})
		_ = sleep.For(ctx, x.lasts)
		f.authority.ClearScript()
	}
	return nil
}

// struck waits until the trouble has hit a request: some session is always about to be due.
func (f *run) struck(ctx context.Context, t *trouble.Trouble) {
	select {
	case <-t.Struck():
	case <-time.After(2 * f.size.life):
	case <-ctx.Done():
	}
}

// goBack puts an old copy of the engine's data back, of whose last renewals one host has
// not heard.
func (f *run) goBack(ctx context.Context, x fault) error {
	restore, err := f.engine.copyData(ctx, x.how)
	if err != nil {
		return fmt.Errorf("copying the data: %w", err)
	}
	cut := min(x.lasts/2, cutOff)
	_ = sleep.For(ctx, x.lasts-cut)
	err = f.network.cut(x.host, theEngine, true)
	_ = sleep.For(ctx, cut)
	return errors.Join(err, restore(ctx), f.network.cut(x.host, theEngine, false))
}

// A wait is a call that was not served, or not at once.
type wait struct {
	Session    string
	Begun, End time.Time
	Served     bool
}

// Recovery is to take no longer than this.
const (
	mostWait    = 2 * time.Second // nine of ten callers
	longestWait = 3 * time.Second
)

// judgeDay adds what a day promises beyond other runs.
func (f *run) judgeDay(r *row) {
	if f.size.grace == 0 && r.Replays > 0 {
		r.broken("%d times a refresh token was sent again, although no answer was lost", r.Replays)
	}
	var back []time.Duration // waits since the authority was back
	for p := range f.all() {
		for _, w := range p.waits {
			long := f.timed && w.End.Sub(w.Begun) > longestWait
			if f.day == throttled && w.Session != f.names[0] && (long || !w.Served) {
				r.broken("a caller of %s waited %s while %s was throttled (served: %t)", w.Session, w.End.Sub(w.Begun), f.names[0], w.Served)
			}
			for _, at := range f.back {
				if w.Served && w.Begun.Before(at) && w.End.After(at) {
					back = append(back, w.End.Sub(at))
				}
			}
		}
	}
	turned := f.authority.turnedAway
	if f.day == throttled {
		r.Note += fmt.Sprintf(" The throttled session was asked for %d times.", turned)
		if most := f.size.hosts * f.size.processes; turned > most {
			r.broken("%d processes asked %d times for a session that was to wait for an hour", most, turned)
		}
	}
	if f.day != authorityDown {
		return
	}
	if len(back) == 0 {
		r.broken("no caller has waited for the server")
		return
	}
	slices.Sort(back)
	p90, longest := back[len(back)*9/10], back[len(back)-1]
	r.Note += fmt.Sprintf(" With the server back, half of %d callers were served within %.2f s, 90 %% within %.2f s, and all within %.2f s.",
		len(back), back[len(back)/2].Seconds(), p90.Seconds(), longest.Seconds())
	if f.timed && (p90 > mostWait || longest > longestWait) {
		r.broken("with the server back, nine of ten callers waited up to %s, and the last one %s", p90, longest)
	}
	var away time.Duration // how long it answered 503
	n := 0
	for _, x := range f.faults {
		if x.how%2 == 1 {
			away += x.lasts
			n++
		}
	}
	if most := int(away/time.Second) + n*f.size.sessions; turned > most {
		r.broken("away for %s, the server was called %d times; want at most %d", away, turned, most)
	}
	r.Note += fmt.Sprintf(" While it answered 503 it was called %.0f times a minute.", float64(turned)/max(away.Minutes(), 1.0/60))
}

// breaks notes that a promise is broken, while the run goes on.
func (f *run) breaks(format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken = append(f.broken, fmt.Sprintf(format, args...))
	return nil
}
