package main

import (
	"context"
	"fmt"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/torture/internal/report"
	"github.com/evertoken/evertoken/torture/internal/worker"
)

// step is how far the clock is moved at once: further than a token lives.
const step = time.Hour

// clockStepped moves the clock of all processes forth and back while they keep one
// session. Each step may cost one spend, and so may each expiry.
func (t *torture) clockStepped(ctx context.Context) (*report.Row, error) {
	r := newRow(worker.Evertoken, "clock ±1 h")
	r.Rounds = t.size.steps
	s, err := t.newScene(ctx, worker.Evertoken, r, oauthtest.Config{})
	if err != nil {
		return nil, err
	}
	defer s.close()
	s.cfg.CheckInterval = time.Second // to have the step noticed in the background too
	crowd, err := s.crowd(ctx, t.size.few)
	if err != nil {
		return nil, err
	}
	defer dismiss(crowd)
	rand, offset := t.newRand(), time.Duration(0)
	for range t.size.steps {
		offset += []time.Duration{-step, step}[rand.IntN(2)]
		for _, err := range askAll(ctx, crowd, fmt.Sprintf("%s %s", worker.CmdClock, offset)) {
			if err != nil {
				return nil, err
			}
		}
		s.callAll(ctx, crowd)
		s.srv.Expire()
		s.callAll(ctx, crowd)
		if _, err := s.loss(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.finish(ctx); err != nil {
		return nil, err
	}
	if most := 2 * t.size.steps; r.Spends > most {
		r.Broken("%d steps and as many expiries cost %d spends", t.size.steps, r.Spends)
	}
	r.Note("%d processes share a session. Each round their clock is set an hour forth or back, all call the API, "+
		"the API no longer takes the access token, and all call again. At most two spends each are in order. No "+
		"process can set the system's clock: Config.Clock is real time plus an offset here.", t.size.few)
	return r, nil
}
