package main

import (
	"context"
	"fmt"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/torture/internal/disk"
	"github.com/evertoken/evertoken/torture/internal/process"
	"github.com/evertoken/evertoken/torture/internal/report"
	"github.com/evertoken/evertoken/torture/internal/worker"
)

// diskFull has the access token expire, by the clock, while nothing can be saved.
// The session must go on, be saved once there is room, and survive a restart.
func (t *torture) diskFull(ctx context.Context) (*report.Row, error) {
	dir, err := t.newDir()
	if err != nil {
		return nil, err
	}
	d := disk.New(dir)
	defer d.Remove()
	return t.diskFullOn(ctx, d)
}

func (t *torture) diskFullOn(ctx context.Context, d *disk.Disk) (*report.Row, error) {
	r := newRow(worker.Evertoken, "disk full")
	r.Rounds = t.size.full
	s, err := t.newSceneIn(ctx, d.Dir, worker.Evertoken, r, oauthtest.Config{AccessTokenLifetime: t.size.tokenLife})
	if err != nil {
		return nil, err
	}
	defer s.close()
	s.cfg.CheckInterval = time.Second // it is also the longest wait between two tries to save
	crowd, err := s.crowd(ctx, 1)
	if err != nil {
		return nil, err
	}
	p := crowd[0]
	defer p.Kill()
	s.callAll(ctx, crowd) // with room, once

	if err := d.Fill(ctx, p); err != nil {
		return nil, fmt.Errorf("filling the disk: %w", err)
	}
	before, err := s.shelf.Get(ctx)
	for i := 0; err == nil && i < t.size.full; i++ {
		if i == t.size.full-1 {
			// Taken for long-lived, the last one is not renewed soon: it must be saved for
			// its own sake.
			s.srv.Script(oauthtest.Fault{ExpiresIn: "3600"})
		}
		err = s.callUntilRenewed(ctx, p)
	}
	if err != nil {
		return nil, err
	}
	if now, err := s.shelf.Get(ctx); err != nil || now != before {
		r.Torn++
		r.Broken("the saved session changed while the disk was full (error: %v)", err)
	}
	if err := d.Free(ctx, p); err != nil {
		return nil, fmt.Errorf("freeing the disk: %w", err)
	}
	if err := p.Await(ctx, string(refresh.EventSaved), 1); err != nil {
		r.Broken("not saved although there is room again: %v", err)
	}
	p.Kill() // what is saved must be enough
	if crowd, err = s.crowd(ctx, 1); err != nil {
		return nil, err
	}
	defer dismiss(crowd)
	s.srv.Expire()
	s.callAll(ctx, crowd)
	if _, err := s.loss(ctx); err != nil {
		return nil, err
	}
	r.Note("The disk is %s, and access tokens live %s. While nothing can be written, calls must go on through %d "+
		"or more expiries by the clock; then there is room, what is unsaved must be saved, the process is killed, and "+
		"the next one must be served.", d.Name, t.size.tokenLife, t.size.full)
	return r, s.finish(ctx)
}

// pace is how long a worker rests between calls.
const pace = 50 * time.Millisecond

// callUntilRenewed has a worker call the API until the session was renewed once more
// and the worker has told that it could not save that.
func (s *scene) callUntilRenewed(ctx context.Context, p *process.Process) error {
	ctx, cancel := context.WithTimeout(ctx, worker.Patience)
	defer cancel()
	const event = string(refresh.EventSaveFailed)
	renewed, told := s.srv.Refreshes(), p.Seen(event)
	for s.srv.Refreshes() == renewed || p.Seen(event) == told {
		s.callAll(ctx, []*process.Process{p})
		sleep(ctx, pace)
		if ctx.Err() != nil {
			return fmt.Errorf("calling until the session is renewed: %w", context.Cause(ctx))
		}
	}
	return nil
}
