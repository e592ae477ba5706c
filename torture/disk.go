package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// A disk can be full.
type disk struct {
	name string
	dir  string
	// fill takes all room, for the given worker at least; free gives it back.
	fill, free func(ctx context.Context, p *process) error
	remove     func()
}

// newDisk returns a real small disk, if one may be mounted, or a limit on the size
// of files, which makes writes fail in the same place.
func (t *torture) newDisk() (*disk, error) {
	dir, err := t.newDir()
	if err != nil {
		return nil, err
	}
	unmount, err := mountSmall(dir)
	if err != nil {
		return limitedDisk(dir), nil
	}
	ballast := filepath.Join(dir, "ballast")
	return &disk{
		name: "a small tmpfs", dir: dir, remove: unmount,
		fill: func(context.Context, *process) error { return fillUp(ballast) },
		free: func(context.Context, *process) error { return os.Remove(ballast) },
	}, nil
}

func limitedDisk(dir string) *disk {
	room := func(bytes int) func(context.Context, *process) error {
		return func(ctx context.Context, p *process) error {
			return p.ask(ctx, fmt.Sprintf("%s %d", cmdRoom, bytes))
		}
	}
	return &disk{name: "a limit on the size of files (RLIMIT_FSIZE), as nothing may be mounted here",
		dir: dir, remove: func() {}, fill: room(0), free: room(-1)}
}

// fillUp writes to a file until the disk is full.
func fillUp(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	block := make([]byte, 512)
	for range 1 << 20 {
		if _, err = f.Write(block); err != nil {
			_ = f.Close() // it has failed already
			return nil
		}
	}
	return errors.Join(errors.New("the small disk does not fill up"), f.Close())
}

// diskFull has the access token expire, by the clock, while nothing can be saved.
// The session must go on, be saved once there is room, and survive a restart.
func (t *torture) diskFull(ctx context.Context) (*row, error) {
	d, err := t.newDisk()
	if err != nil {
		return nil, err
	}
	defer d.remove()
	return t.diskFullOn(ctx, d)
}

func (t *torture) diskFullOn(ctx context.Context, d *disk) (*row, error) {
	r := newRow(evertoken, "disk full")
	r.Rounds = t.size.full
	s, err := t.newSceneIn(ctx, d.dir, evertoken, r, oauthtest.Config{AccessTokenLifetime: t.size.tokenLife})
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

	if err := d.fill(ctx, p); err != nil {
		return nil, fmt.Errorf("filling the disk: %w", err)
	}
	before, err := s.shelf.get(ctx)
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
	if now, err := s.shelf.get(ctx); err != nil || now != before {
		r.Torn++
		r.broken("the saved session changed while the disk was full (error: %v)", err)
	}
	if err := d.free(ctx, p); err != nil {
		return nil, fmt.Errorf("freeing the disk: %w", err)
	}
	if err := p.await(ctx, string(refresh.EventSaved), 1); err != nil {
		r.broken("not saved although there is room again: %v", err)
	}
	p.Kill() // what is saved must be enough
	if crowd, err = s.crowd(ctx, 1); err != nil {
		return nil, err
	}
	defer dismiss(crowd)
	s.srv.expire()
	s.callAll(ctx, crowd)
	if _, err := s.loss(ctx); err != nil {
		return nil, err
	}
	r.note("The disk is %s, and access tokens live %s. While nothing can be written, calls must go on through %d "+
		"or more expiries by the clock; then there is room, what is unsaved must be saved, the process is killed, and "+
		"the next one must be served.", d.name, t.size.tokenLife, t.size.full)
	return r, s.finish(ctx)
}

// pace is how long a worker rests between calls.
const pace = 50 * time.Millisecond

// callUntilRenewed has a worker call the API until the session was renewed once more
// and the worker has told that it could not save that.
func (s *scene) callUntilRenewed(ctx context.Context, p *process) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	const event = string(refresh.EventSaveFailed)
	renewed, told := s.srv.Refreshes(), p.seen(event)
	for s.srv.Refreshes() == renewed || p.seen(event) == told {
		s.callAll(ctx, []*process{p})
		sleep(ctx, pace)
		if ctx.Err() != nil {
			return fmt.Errorf("calling until the session is renewed: %w", context.Cause(ctx))
		}
	}
	return nil
}
