package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/evertoken/evertoken/internal/sleep"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// A run is one row of the table: a fleet with one engine, and all that happens to it.
type run struct {
	size      size
	kind      kind
	offsets   []time.Duration
	network   network
	engine    *engine
	authority *authority
	processes [][]*process // by host
	begun     time.Time
	faults    []fault // those that happened
	busy      float64 // the share of the machine's time in which it worked
	names     []string
	day       trial // what the run is about, if it is a day
	timed     bool  // see day

	today sync.Mutex  // held by the fault of a day that happens
	back  []time.Time // when the authority was back; written with today held

	mu     sync.Mutex // guards broken
	broken []string   // promises that were seen to be broken
}

// runRow sets a fleet up, tortures it, and judges.
func runRow(ctx context.Context, r *rand.Rand, s size, k kind, skew time.Duration) (*row, error) {
	f := &run{size: s, kind: k, offsets: s.offsets(skew), network: newNetwork(s.hosts)}
	return f.row(ctx, s.plan(r), skew)
}

func (f *run) row(ctx context.Context, plan []fault, skew time.Duration) (*row, error) {
	defer f.network.close()
	dir, err := os.MkdirTemp("", "evertoken-fleet-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	f.names = users(f.size.sessions)
	if err := f.setUp(ctx, dir); err != nil {
		f.tearDown()
		return nil, err
	}
	defer f.tearDown()
	f.begun = time.Now()
	all, busy := cores()
	if err := f.torture(ctx, plan); err != nil {
		return nil, err
	}
	allNow, busyNow := cores()
	f.busy = (busyNow - busy) / (allNow - all)
	if err := f.finish(ctx); err != nil {
		return nil, err
	}
	return f.judge(ctx, skew)
}

// finish has all workers end in order, at once.
func (f *run) finish(ctx context.Context) error {
	var mu sync.Mutex
	var failed error
	var ending sync.WaitGroup
	for p := range f.all() {
		ending.Go(func() {
			err := p.finish(ctx)
			mu.Lock()
			defer mu.Unlock()
			failed = errors.Join(failed, err)
		})
	}
	ending.Wait()
	return failed
}

func (f *run) setUp(ctx context.Context, dir string) error {
	known := make(map[string]string)
	for _, name := range f.names {
		known[name] = "secret"
	}
	f.authority = newAuthority(oauthtest.Config{AccessTokenLifetime: f.size.life, Grace: f.size.grace, Users: known})
	auth, api, err := f.authority.listen(f.network.ip(theAuthority), f.network.ip(theAPI))
	if err != nil {
		return err
	}
	sub := dir + "/engine"
	if err := os.Mkdir(sub, 0o700); err != nil {
		return err
	}
	if f.engine, err = startEngine(ctx, f.kind, f.network.ip(theEngine), sub); err != nil {
		return err
	}
	for s, addr := range map[service]string{theEngine: f.engine.addr, theAuthority: auth, theAPI: api} {
		if err := f.network.join(s, addr); err != nil {
			return err
		}
	}
	if err := f.logIn(ctx); err != nil {
		return err
	}
	return f.startAll(ctx)
}

// logIn saves a pair for each session in the engine.
func (f *run) logIn(ctx context.Context) error {
	s, closeStore, err := openStore(f.kind, f.engine.addr, f.size.lease)
	if err != nil {
		return err
	}
	defer closeStore()
	if m, ok := s.(interface{ Migrate(context.Context) error }); ok {
		if err := m.Migrate(ctx); err != nil {
			return err
		}
	}
	// Sessions that log in together are due together, and that is not what is tried here.
	return f.authority.fill(ctx, s, f.names, f.size.life/2)
}

// startAll starts all workers, and returns when each has opened all sessions.
func (f *run) startAll(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	f.processes = make([][]*process, f.size.hosts)
	for host := range f.size.hosts {
		cfg := workerConfig{
			Kind: f.kind, Host: host, Skew: f.offsets[host], CA: f.authority.ca,
			Engine:    f.network.addr(host, theEngine),
			Authority: f.network.addr(host, theAuthority),
			TokenURL:  "https://" + authorityName + string(oauthtest.TokenEndpoint),
			API:       "https://" + f.network.addr(host, theAPI) + string(oauthtest.ResourceEndpoint),
			Check:     f.size.check, Lease: f.size.lease, Timeout: f.size.timeout, MaxWait: f.size.maxWait, Calls: f.size.calls,
		}
		for i := range f.size.processes {
			cfg.Name = fmt.Sprintf("%d/%d", host, i)
			p, err := start(f.network, f.authority, cfg, self)
			if err != nil {
				return err
			}
			f.processes[host] = append(f.processes[host], p)
		}
	}
	for p := range f.all() {
		if err := p.await(ctx); err != nil {
			return err
		}
	}
	return nil
}

// all are the processes of all hosts.
func (f *run) all() func(yield func(*process) bool) {
	return func(yield func(*process) bool) {
		for _, host := range f.processes {
			for _, p := range host {
				if !yield(p) {
					return
				}
			}
		}
	}
}

func (f *run) tearDown() {
	for p := range f.all() {
		p.Kill()
	}
	if f.engine != nil {
		f.engine.kill()
	}
	f.authority.close()
}

// torture lets the faults happen, and returns when the run's time is over.
func (f *run) torture(ctx context.Context, plan []fault) error {
	var mu sync.Mutex
	var failed error
	var happening sync.WaitGroup
	for _, fault := range plan {
		if err := sleep.For(ctx, time.Until(f.begun.Add(fault.at))); err != nil {
			failed = err
			break
		}
		happening.Go(func() {
			fault.at = time.Since(f.begun)
			err := f.happen(ctx, fault)
			fault.lasts = time.Since(f.begun) - fault.at
			mu.Lock()
			defer mu.Unlock()
			f.faults = append(f.faults, fault)
			failed = errors.Join(failed, err)
		})
	}
	happening.Wait()
	return errors.Join(failed, sleep.For(ctx, time.Until(f.begun.Add(f.size.length))))
}

// happen lets one fault happen, and ends it. It ends it also when ctx does.
func (f *run) happen(ctx context.Context, x fault) error {
	cut := func(off bool) error {
		var errs []error
		if x.trial != cutAuthority {
			errs = append(errs, f.network.cut(x.host, theEngine, off))
		}
		if x.trial != cutEngine {
			errs = append(errs, f.network.cut(x.host, theAuthority, off))
		}
		return errors.Join(errs...)
	}
	switch x.trial {
	case restart:
		f.engine.kill()
		_ = sleep.For(ctx, x.lasts) // an interrupted run is reported elsewhere
		return f.engine.start(ctx)
	case pause:
		p := f.processes[x.host][x.process]
		f.authority.awaitSpend(ctx, p.name, f.size.every)
		if err := p.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
		_ = sleep.For(ctx, x.lasts)
		return p.Signal(syscall.SIGCONT)
	case cutEngine, cutAuthority, cutBoth:
	default:
		return f.happenToday(ctx, x)
	}
	err := cut(true)
	_ = sleep.For(ctx, x.lasts)
	return errors.Join(err, cut(false))
}

// judge counts, and says which promises are broken.
func (f *run) judge(ctx context.Context, skew time.Duration) (*row, error) {
	r := &row{What: string(f.kind), Hosts: f.size.hosts, Processes: f.size.processes, Sessions: f.size.sessions, Faults: len(f.faults)}
	if skew != 0 {
		r.What += fmt.Sprintf(", clocks ±%s", skew.Round(time.Millisecond))
	}
	var replayed map[string]bool
	r.tally, replayed, r.Problems = f.authority.ledger.judge()
	for _, m := range f.authority.Audit() {
		if m.Kind != oauthtest.SpentTwice && m.Kind != oauthtest.SpentInParallel || !replayed[m.TokenHash] {
			r.broken("the auditor saw: %s", m)
		}
	}
	if err := f.countLost(ctx, r); err != nil {
		return nil, err
	}
	for p := range f.all() {
		r.countCalls(p)
		for _, t := range p.trouble {
			r.broken("%s", t)
		}
	}
	if r.Due == 0 || r.Living == 0 {
		r.broken("nothing happened")
	}
	r.Problems = append(r.Problems, f.broken...)
	r.note(f)
	if f.day == 0 {
		return r, nil
	}
	r.What += ": " + f.day.String()
	f.judgeDay(r)
	return r, nil
}

// countCalls adds a worker's calls. Those that began with a living token must have
// been served. For others nothing is promised: no network, no token.
func (r *row) countCalls(p *process) {
	r.Living += p.counts.Living
	r.Served += p.counts.LivingServed
	r.Waited += p.counts.DeadServed
	r.GivenUp += p.counts.Dead - p.counts.DeadServed
	for _, w := range p.waits {
		r.Wait = max(r.Wait, w.End.Sub(w.Begun))
	}
	for _, why := range p.failures {
		r.broken("a call with a living token was not served: %s", why)
	}
}
