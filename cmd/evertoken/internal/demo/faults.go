package demo

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"syscall"
	"time"

	"github.com/evertoken/evertoken/internal/sleep"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// A trouble is a fault that the demo makes, and the events by which it is known
// to have been met and survived.
type trouble struct {
	name  string
	fault oauthtest.Fault   // at the token endpoint
	lasts time.Duration     // how long after it was met the fault goes on; zero: once
	arm   func(*demo)       // instead of fault
	quell func(*demo)       // ends what arm began
	met   refresh.EventKind // default EventRefreshFailed
	over  refresh.EventKind // default EventRefreshed
}

// troubles returns what goes wrong in a demo. Each is something that ended
// people's sessions elsewhere. An outage lasts as long as given.
func troubles(outage time.Duration) []trouble {
	const always = -1
	return []trouble{
		{name: fmt.Sprintf("server down, 503 for %s", outage), lasts: outage,
			fault: oauthtest.Fault{Status: http.StatusServiceUnavailable, HTML: true, Times: always}},
		{name: "answer lost after the rotation", fault: oauthtest.Fault{Reset: true, AfterCommit: true}},
		{name: "server hangs", fault: oauthtest.Fault{Hang: true}},
		{name: "connection reset", fault: oauthtest.Fault{Reset: true}},
		{name: "429, Retry-After 2s", fault: oauthtest.Fault{RetryAfter: 2 * time.Second}},
		{name: "answer cut in the middle", fault: oauthtest.Fault{CutBody: true}},
		{name: "a proxy's page instead of an answer", fault: oauthtest.Fault{Status: http.StatusForbidden, HTML: true}},
		{name: fmt.Sprintf("disk full while saving, for %s", outage), lasts: outage,
			arm:   func(d *demo) { d.store.fail(syscall.ENOSPC) },
			quell: func(d *demo) { d.store.fail(nil) },
			met:   refresh.EventSaveFailed, over: refresh.EventSaved},
		{name: "API drops the access token early",
			arm: func(d *demo) { d.server.ExpireAccess(oauthtest.DefaultUser) },
			met: refresh.EventRefreshing},
	}
}

// outage is how long the server and the disk are gone: seconds, as in life, but
// not so long that the token is in danger.
func outage(life time.Duration) time.Duration {
	return min(3*time.Second, life/6).Round(100 * time.Millisecond)
}

// A troublemaker makes one trouble after the other.
type troublemaker struct {
	demo   *demo
	every  time.Duration
	rand   *rand.Rand
	deck   []trouble
	events chan refresh.EventKind
}

func newTroublemaker(d *demo, every time.Duration, seed uint64) *troublemaker {
	return &troublemaker{
		demo:   d,
		every:  every,
		rand:   rand.New(rand.NewPCG(seed, seed)),
		events: make(chan refresh.EventKind, 64),
	}
}

// hear passes an event on. It never blocks the manager: a troublemaker that has
// missed one waits for the next.
func (t *troublemaker) hear(kind refresh.EventKind) {
	select {
	case t.events <- kind:
	default:
	}
}

// enoughTime is how long the longest trouble takes to get over. A demo shorter
// than that is not spared all of them.
const enoughTime = 7 * time.Second

// run makes trouble until ctx ends, and none that could not be over by the given
// time.
func (t *troublemaker) run(ctx context.Context, until time.Time) {
	ticker := time.NewTicker(t.every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.events: // of no interest now
		case <-ticker.C:
			if time.Until(until) > min(enoughTime, t.demo.For/3) {
				t.make(ctx, t.next())
			}
		}
	}
}

// next draws a trouble; each comes once before any comes again.
func (t *troublemaker) next() trouble {
	if len(t.deck) == 0 {
		t.deck = troubles(outage(t.demo.TokenLife))
		t.rand.Shuffle(len(t.deck), func(i, j int) { t.deck[i], t.deck[j] = t.deck[j], t.deck[i] })
	}
	next := t.deck[0]
	t.deck = slices.Delete(t.deck, 0, 1)
	return next
}

// make makes one trouble and waits until it is over.
func (t *troublemaker) make(ctx context.Context, tr trouble) {
	d := t.demo
	for len(t.events) > 0 {
		<-t.events // what happened before has nothing to do with it
	}
	d.board.faultBegins(tr.name)
	if tr.arm != nil {
		tr.arm(d)
	} else {
		d.server.Script(tr.fault)
	}
	end := func() bool {
		d.server.ClearScript()
		if tr.quell != nil {
			tr.quell(d)
		}
		return true
	}
	defer end()
	hurry := tr.met != refresh.EventRefreshing
	if t.wait(ctx, cmp.Or(tr.met, refresh.EventRefreshFailed), hurry) &&
		sleep.For(ctx, tr.lasts) == nil &&
		end() &&
		t.wait(ctx, cmp.Or(tr.over, refresh.EventRefreshed), hurry) {
		d.board.faultSurvived(tr.name)
	}
}

// wait waits for an event. With hurry, it has the session renewed now and again,
// so that the trouble need not wait for the next renewal that is due. It reports false
// if ctx ended first.
func (t *troublemaker) wait(ctx context.Context, kind refresh.EventKind, hurry bool) bool {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		if hurry {
			t.demo.hurry(ctx)
		}
		select {
		case k := <-t.events:
			if k == kind {
				return true
			}
		case <-ticker.C:
		case <-ctx.Done():
			return false
		}
	}
}
