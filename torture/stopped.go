package main

import (
	"context"
	"fmt"
	"time"

	"github.com/evertoken/evertoken/internal/sleep"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/torture/internal/process"
	"github.com/evertoken/evertoken/torture/internal/report"
	"github.com/evertoken/evertoken/torture/internal/worker"
)

// stopped has half of the processes stand still in the middle of a refresh, for
// longer than the others wait for the lock. In every other round the one that
// holds the lock is among them.
func (t *torture) stopped(ctx context.Context) (*report.Row, error) {
	r := newRow(worker.Evertoken, "SIGSTOP beyond the lock wait")
	r.Rounds = t.size.stops
	s, err := t.newScene(ctx, worker.Evertoken, r, oauthtest.Config{})
	if err != nil {
		return nil, err
	}
	defer s.close()
	s.cfg.MaxWait = t.size.maxWait
	crowd, err := s.crowd(ctx, t.size.few)
	if err != nil {
		return nil, err
	}
	defer dismiss(crowd)
	rand, early := t.newRand(), 0
	for i := range t.size.stops {
		order := rand.Perm(len(crowd))
		n, err := s.stopHalf(ctx, crowd, order, i%2 == 0)
		if err != nil {
			return nil, err
		}
		early += n
		back := time.Now()
		sendAll(crowd, callers(1))
		if err := s.countSince(ctx, crowd, back, "gone on"); err != nil {
			return nil, err
		}
		if _, err := s.loss(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.finish(ctx); err != nil {
		return nil, err
	}
	if r.Spends != t.size.stops {
		r.Broken("%d expiries cost %d spends", t.size.stops, r.Spends)
	}
	r.Note("%d processes share a session, and wait %s for its lock. While one of them refreshes, half of them are "+
		"stopped for twice that time, in every other round with the one that holds the lock; then all go on and "+
		"callers call until they are served. While it was stopped, %d calls of others ended without a new token; after "+
		"that %s.", t.size.few, t.size.maxWait, early, r.WaitsText())
	return r, nil
}

// stopHalf has all processes call the API, stops half of them, with or without
// the holder of the lock, and lets them go on. The others follow in the given
// order. It returns how many calls were not served, as they may be while the
// holder stands still.
func (s *scene) stopHalf(ctx context.Context, crowd []*process.Process, order []int, withHolder bool) (int, error) {
	s.srv.Script(oauthtest.Fault{Delay: s.t.size.maxWait / 2}) // the holder is at it for a while
	s.srv.Expire()
	begun := make([]int, len(crowd))
	for i, p := range crowd {
		begun[i] = p.Seen(string(refresh.EventRefreshing))
	}
	sendAll(crowd, worker.CmdCall)
	holder, err := firstTo(ctx, crowd, string(refresh.EventRefreshing), begun)
	if err != nil {
		return 0, err
	}
	chosen := choose(crowd, order, holder, withHolder)
	for _, p := range chosen {
		if err := p.Halt(); err != nil {
			return 0, fmt.Errorf("stopping a process: %w", err)
		}
	}
	_ = sleep.For(ctx, 2*s.t.size.maxWait)
	for _, p := range chosen {
		if err := p.Resume(); err != nil {
			return 0, fmt.Errorf("letting a process go on: %w", err)
		}
	}
	unserved := 0
	for _, err := range replies(ctx, crowd) {
		if err != nil {
			unserved++
		}
	}
	return unserved, nil
}

// choose returns half of the crowd in the given order: first the holder, or
// without it.
func choose(crowd []*process.Process, order []int, holder int, withHolder bool) []*process.Process {
	var chosen []*process.Process
	if withHolder {
		chosen = append(chosen, crowd[holder])
	}
	for _, i := range order {
		if i != holder {
			chosen = append(chosen, crowd[i])
		}
	}
	return chosen[:len(crowd)/2]
}

// firstTo returns which of the crowd is the first to tell of an event of a kind,
// beyond those it had told of before.
func firstTo(ctx context.Context, crowd []*process.Process, kind string, before []int) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first, failed := make(chan int, len(crowd)), make(chan error, len(crowd))
	for i, p := range crowd {
		go func() {
			if err := p.Await(ctx, kind, before[i]+1); err != nil {
				failed <- err
				return
			}
			first <- i
		}()
	}
	select {
	case i := <-first:
		return i, nil
	case err := <-failed: // all wait equally long, so none has come first
		return 0, err
	}
}
