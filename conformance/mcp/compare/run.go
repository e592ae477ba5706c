package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// instances is how many bridges run at once: as many as a person has editors, agents and
// their windows.
const instances = 10

// A pace says how long things take in a scenario.
type pace struct {
	life   time.Duration // of access tokens
	person time.Duration // to log in
	outage time.Duration // of the servers
	limit  time.Duration // for a call
}

// A run is one scenario with one product.
type run struct {
	pace
	product product
	*place
	home *home
	all  []*bridge

	before  tally // when what is measured began
	pending bool  // there is no session yet
	result
}

// A result is what came of a run.
type result struct {
	asked     tally
	lost      bool          // the session, without the server's having ended it
	failed    int           // calls
	connected time.Duration // until all calls were answered
	words     []string      // why calls failed, or what else there is to say
}

// newRun returns a run at a new place, on a new machine.
func newRun(p pace, with product, cfg oauthtest.Config, expiresIn bool) (*run, error) {
	cfg.AccessTokenLifetime = p.life
	at, err := newPlace(cfg, p.person)
	if err != nil {
		return nil, err
	}
	if !expiresIn {
		at.as.Script(oauthtest.Fault{ExpiresIn: oauthtest.Missing, Times: -1})
	}
	dir, err := os.MkdirTemp("", "compare")
	if err != nil {
		at.close()
		return nil, err
	}
	h, err := newHome(dir, at.desk)
	if err != nil {
		at.close()
		return nil, err
	}
	return &run{pace: p, product: with, place: at, home: h}, nil
}

// close ends all that is left.
func (r *run) close() {
	for _, b := range r.all {
		b.kill()
	}
	r.place.close()
	_ = os.RemoveAll(r.home.dir)
}

// begin says that what is measured begins now.
func (r *run) begin() { r.before = r.tally() }

// since returns what has been asked since begin.
func (r *run) since() tally {
	now := r.tally()
	return tally{now.windows - r.before.windows, now.registrations - r.before.registrations, now.reuses - r.before.reuses}
}

// fail notes that a call has failed.
func (r *run) fail(err error) {
	r.failed++
	if len(r.words) < 5 {
		r.words = append(r.words, fmt.Sprintf("%.150q", err.Error()))
	}
}

// launch starts bridges, and returns without waiting for them.
func (r *run) launch(n int) (all []*bridge, err error) {
	for range n {
		b, err := r.home.start(r.product, r.address())
		if err != nil {
			return nil, err
		}
		r.all = append(r.all, b)
		all = append(all, b)
	}
	return all, nil
}

// start starts bridges and has each begin its session. It notes how long that takes.
func (r *run) start(n int) ([]*bridge, error) {
	all, err := r.launch(n)
	if err != nil {
		return nil, err
	}
	r.connected = r.together(all, func(b *bridge) error { return b.initialize(r.limit) })
	return all, nil
}

// together has each bridge do something at once, and returns how long all took.
func (r *run) together(all []*bridge, do func(*bridge) error) time.Duration {
	began := time.Now()
	var doing sync.WaitGroup
	var mu sync.Mutex // guards r
	for _, b := range all {
		doing.Go(func() {
			if err := do(b); err != nil {
				mu.Lock()
				defer mu.Unlock()
				r.fail(err)
			}
		})
	}
	doing.Wait()
	return time.Since(began)
}

// call has each bridge pass on a call.
func (r *run) call(all []*bridge) time.Duration {
	return r.together(all, func(b *bridge) error { return b.ask("tools/list", "{}", r.limit) })
}

// endAll ends bridges as programs do that are closed, and waits for them.
func (r *run) endAll(all []*bridge) {
	var ending sync.WaitGroup
	for _, b := range all {
		ending.Go(func() { b.end(r.limit) })
	}
	ending.Wait()
}

// loggedIn has a session that runs ended again, and its access token dead.
func (r *run) loggedIn() error {
	first, err := r.start(1)
	if err != nil {
		return err
	}
	if r.failed > 0 {
		return fmt.Errorf("the first start failed: %v", r.words)
	}
	r.endAll(first)
	r.outlive()
	return nil
}

// outlive waits until an access token that is young now is dead.
func (r *run) outlive() { time.Sleep(r.life + r.life/4) }

// caught kills the bridge whose request a trap catches, and has another one started in its
// place, as editors do. It returns those that run.
func (r *run) caught(t *trap, all []*bridge) ([]*bridge, error) {
	i, err := r.owner(t, all)
	t.fatal = true
	close(t.found)
	if err == nil && t.stage == answered {
		<-t.sent
	}
	return r.replace(all, i, err)
}

// owner waits for a trap, and returns which bridge it has caught.
func (r *run) owner(t *trap, all []*bridge) (int, error) {
	select {
	case from := <-t.from:
		_, port, err := net.SplitHostPort(from)
		if err != nil {
			return 0, err
		}
		return owner(all, port, connected)
	case <-time.After(r.limit):
		return 0, fmt.Errorf("no request came for %s %s", t.path, t.grant)
	}
}

// owner returns which bridge has a socket.
func owner(all []*bridge, port, state string) (int, error) {
	for range 50 { // the tables may change while they are read
		if i := slices.IndexFunc(all, func(b *bridge) bool { return b.holds(port, state) }); i >= 0 {
			return i, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return 0, fmt.Errorf("no bridge has the socket at port %s", port)
}

// replace kills a bridge, unless it could not be told which, and starts another one.
func (r *run) replace(all []*bridge, i int, err error) ([]*bridge, error) {
	if err != nil {
		return nil, err
	}
	all[i].kill()
	if err := r.holdReturn(); err != nil {
		return nil, err
	}
	next, err := r.launch(1)
	return append(slices.Delete(slices.Clone(all), i, i+1), next...), err
}

// finish ends what is measured, and finds out whether the session is still good.
func (r *run) finish() error {
	r.asked = r.since()
	r.endAll(r.all)
	if r.pending {
		return nil
	}
	r.all = nil
	r.setTakes(-1) // the person has gone
	r.begin()
	words, failed, connected := r.words, r.failed, r.connected
	last, err := r.launch(1)
	if err != nil {
		return err
	}
	began := make(chan error, 1)
	go func() { began <- last[0].initialize(r.limit) }()
	for asked := false; !asked; {
		select {
		case <-r.opened:
			if asked = r.since().windows > 0; asked {
				r.lost = true
			}
		case err := <-began:
			if err != nil {
				words = append(words, "the next start: "+strconv.Quote(err.Error()))
				r.lost = true
			}
			asked = true
		}
	}
	r.words, r.failed, r.connected = words, failed, connected
	return nil
}

// logTo keeps what the bridges have said, for a person who looks for a reason.
func (r *run) logTo(dir, name string) {
	if dir == "" {
		return
	}
	for i, b := range r.all {
		b.mu.Lock()
		said := b.said.String()
		b.mu.Unlock()
		_ = os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%s-%02d.log", r.product.name, name, i)), []byte(said), 0o600)
	}
}
