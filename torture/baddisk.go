package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/sleep"
	"github.com/evertoken/evertoken/internal/trouble"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/torture/internal/disk"
	"github.com/evertoken/evertoken/torture/internal/process"
	"github.com/evertoken/evertoken/torture/internal/report"
	"github.com/evertoken/evertoken/torture/internal/worker"
)

// badDiskDaemon has the access token expire, by the clock, while nothing can be saved.
// The session must go on in memory, be saved once it can be, and survive a restart.
func (t *torture) badDiskDaemon(ctx context.Context) (*report.Row, error) {
	r := newRow(worker.Evertoken, "bad disk: a daemon")
	names, err := t.onBadDisks(ctx, r, func(disk.Fault) bool { return true }, t.daemonOn)
	r.Note("Access tokens live %s. While nothing can be written, calls must go on through %d or more expiries by the "+
		"clock (but without descriptors, where the session cannot be locked, and nothing must be spent); then it can be, "+
		"what is unsaved must be saved, the process is killed, and the next one must be served. "+
		"What happens to the disk or the process: %s.", t.size.tokenLife, t.size.full, names)
	return r, err
}

// onBadDisks runs something on a disk for each fault of those chosen, and returns their
// names.
func (t *torture) onBadDisks(ctx context.Context, r *report.Row, chosen func(disk.Fault) bool,
	run func(context.Context, *disk.Disk, disk.Fault, *report.Row) error) (names string, err error) {
	var parts []part
	var list []string
	faults := disk.Limits
	for i := 0; i < len(faults); i++ {
		dir, err := t.newDir()
		if err != nil {
			return "", err
		}
		d, all := disk.New(dir)
		defer d.Remove()
		faults = all
		if f := faults[i]; chosen(f) {
			list = append(list, f.Name)
			parts = append(parts, func(ctx context.Context, r *report.Row) error {
				if err := run(ctx, d, f, r); err != nil {
					return fmt.Errorf("%s: %w", f.Name, err)
				}
				return nil
			})
		}
	}
	return strings.Join(list, "; "), beside(ctx, r, parts...)
}

func (t *torture) daemonOn(ctx context.Context, d *disk.Disk, f disk.Fault, r *report.Row) error {
	s, err := t.newSceneIn(ctx, d.Dir, worker.Evertoken, r, oauthtest.Config{AccessTokenLifetime: t.size.tokenLife})
	if err != nil {
		return err
	}
	defer s.close()
	s.cfg.CheckInterval = time.Second // it is also the longest wait between two tries to save
	crowd, err := s.crowd(ctx, 1)
	if err != nil {
		return err
	}
	p := crowd[0]
	defer p.Kill()
	s.srv.Expire()
	s.when = f.Name + ", before"
	s.callAll(ctx, crowd) // renewed once, so the session has its lock file: without a lock nothing is spent

	if err := f.Break(ctx, d, s.shelf.Path(), p, 0); err != nil {
		return fmt.Errorf("making it bad: %w", err)
	}
	s.when = f.Name
	before, err := s.shelf.Get(ctx)
	if f.NoLock {
		_ = sleep.For(ctx, t.size.tokenLife+time.Second)
		r.Rounds++
	}
	for i := 0; err == nil && i < t.size.full && !f.NoLock; i++ {
		if i == t.size.full-1 {
			// Taken for long-lived, the last one is not renewed soon: it must be saved for
			// its own sake.
			s.srv.Script(oauthtest.Fault{ExpiresIn: "3600"})
		}
		err = s.callUntilRenewed(ctx, p)
		r.Rounds++
	}
	if err != nil {
		return err
	}
	// What can be saved beside the old record is welcome; what is there must not go back.
	if now, err := s.shelf.Get(ctx); err != nil || now.Version < before.Version {
		r.Torn++
		r.Broken("%s: the saved session went from version %d to %d (error: %v)", f.Name, before.Version, now.Version, err)
	}
	if err := f.Mend(ctx, d, s.shelf.Path(), p); err != nil {
		return fmt.Errorf("mending it: %w", err)
	}
	if f.NoLock {
		s.callAll(ctx, crowd)
	} else if err := s.awaitSaved(ctx); err != nil {
		r.Broken("%s: not saved although it could be again: %v", f.Name, err)
	}
	p.Kill() // what is saved must be enough
	s.when = "after " + f.Name
	if crowd, err = s.crowd(ctx, 1); err != nil {
		return err
	}
	defer dismiss(crowd)
	s.srv.Expire()
	s.callAll(ctx, crowd)
	if _, err := s.loss(ctx); err != nil {
		return err
	}
	return s.finish(ctx)
}

// awaitSaved waits until what is saved has not been spent: then it is the newest pair. That
// a pair was saved is not enough, since there may be a newer one.
func (s *scene) awaitSaved(ctx context.Context) error {
	limit, cancel := context.WithTimeout(ctx, worker.Patience)
	defer cancel()
	for {
		spent, err := s.spentSaved(ctx)
		if err != nil || !spent {
			return err
		}
		if _ = sleep.For(limit, pace); limit.Err() != nil {
			return context.Cause(limit)
		}
	}
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
		_ = sleep.For(ctx, pace)
		if ctx.Err() != nil {
			return fmt.Errorf("calling until the session is renewed: %w", context.Cause(ctx))
		}
	}
	return nil
}

// badDiskCommand runs a command for a token on a disk that cannot be written. A living
// token must be printed, and a dead one be a failure, at once, that costs nothing: the
// next command, on the same disk when it is well again, must be served.
func (t *torture) badDiskCommand(ctx context.Context, c worker.Client, _ *rand.Rand) (*report.Row, error) {
	r := newRow(c, "bad disk: a command")
	var names string
	parts := []part{func(ctx context.Context, r *report.Row) (err error) {
		names, err = t.onBadDisks(ctx, r, func(f disk.Fault) bool { return !f.Process },
			func(ctx context.Context, d *disk.Disk, f disk.Fault, r *report.Row) error {
				return t.commandOn(ctx, d, f, c, r)
			})
		return err
	}}
	if c == worker.Evertoken {
		parts = append(parts, t.commandWithFewFiles)
	}
	err := beside(ctx, r, parts...)
	if names == "" {
		names = "no disk is, as nothing may be mounted here"
	}
	if c == worker.Evertoken {
		names += "; few files can be open (ulimit -n)"
	}
	r.Note("A command (%s) is run for a token while the disk is bad: %s; of what runs out none is left, or some. A "+
		"living token must be printed; with a dead one the command must end within %s, with exit code 4 or 5, having "+
		"spent nothing, or print a new one that it could save. What runs out may also do so while the request is at the "+
		"server: the answer must be saved. Then the disk is well, and the next command must be served.",
		programName(c), names, atOnce)
	return r, err
}

func programName(c worker.Client) string {
	if c == worker.XOAuth2 {
		return "the program of row 8 that ends after one call"
	}
	return "evertoken token"
}

func (t *torture) commandOn(ctx context.Context, d *disk.Disk, f disk.Fault, c worker.Client, r *report.Row) error {
	s, err := t.newSceneIn(ctx, d.Dir, c, r, oauthtest.Config{})
	if err != nil {
		return err
	}
	defer s.close()
	p, err := s.newProgram(ctx)
	if err != nil {
		return err
	}
	for left := range f.Lefts {
		for _, life := range []time.Duration{time.Minute, -time.Minute} { // due, and dead
			what := fmt.Sprintf("%s, %d left, a token of %s", f.Name, left, life)
			if err := s.age(ctx, life); err != nil {
				return err
			}
			spends := len(s.srv.Spends())
			if err := f.Break(ctx, d, s.shelf.Path(), nil, left); err != nil {
				return fmt.Errorf("making it bad: %w", err)
			}
			got, err := p.token(ctx)
			if err := f.Mend(ctx, d, s.shelf.Path(), nil); err != nil {
				return fmt.Errorf("mending it: %w", err)
			}
			if err != nil {
				return err
			}
			s.judgeRun(what, got, life > 0, len(s.srv.Spends()) > spends)
			if err := s.nextRun(ctx, p, what); err != nil {
				return err
			}
			r.Rounds++
		}
	}
	if f.Lefts > 1 {
		if err := s.runOut(ctx, p, d, f); err != nil {
			return err
		}
	}
	return s.finish(ctx)
}

// commandWithFewFiles runs a command that can open so many files and sockets, from hardly
// any to all that it needs, so that it lacks one at each step.
func (t *torture) commandWithFewFiles(ctx context.Context, r *report.Row) error {
	s, err := t.newScene(ctx, worker.Evertoken, r, oauthtest.Config{})
	if err != nil {
		return err
	}
	defer s.close()
	p, err := s.newProgram(ctx)
	if err != nil {
		return err
	}
	starved := *p.(*tool)
	for n := fewFiles; n <= enoughFiles; n += t.size.fileStep {
		what := fmt.Sprintf("at most %d files can be open", n)
		starved.wrap = fmt.Sprintf(`ulimit -n %d; exec "$0" "$@"`, n)
		if err := s.age(ctx, -time.Minute); err != nil {
			return err
		}
		spends := len(s.srv.Spends())
		got, err := starved.token(ctx)
		if err != nil {
			return err
		}
		s.judgeRun(what, got, false, len(s.srv.Spends()) > spends)
		if err := s.nextRun(ctx, p, what); err != nil {
			return err
		}
		r.Rounds++
	}
	return s.finish(ctx)
}

// Go's runtime itself ends a process that opens its first file with room for less.
const (
	fewFiles    = 8
	enoughFiles = 16
)

// runOut takes what is left of the disk while a command's request is at the server. There
// is no way back then, so room for the answer must have been reserved.
func (s *scene) runOut(ctx context.Context, p program, d *disk.Disk, f disk.Fault) error {
	what := f.Name + " while the request is under way"
	if err := s.age(ctx, -time.Minute); err != nil {
		return err
	}
	pause := new(trouble.Trouble)
	s.srv.Tokens.Fall(pause)
	type result struct {
		run
		err error
	}
	ended := make(chan result, 1)
	go func() {
		got, err := p.token(ctx)
		ended <- result{got, err}
	}()
	err := await(ctx, pause.Struck())
	if err == nil {
		err = f.Break(ctx, d, s.shelf.Path(), nil, 0)
	}
	s.srv.Tokens.Heal()
	got := <-ended
	if err := errors.Join(err, got.err, f.Mend(ctx, d, s.shelf.Path(), nil)); err != nil {
		return err
	}
	s.row.CountServed(got.run.err(what), got.took)
	s.row.Rounds++
	return s.nextRun(ctx, p, what)
}

// judgeRun judges the run of a command that could not save.
func (s *scene) judgeRun(what string, got run, living, spent bool) {
	failed := got.code == exitTemporary || got.code == exitConfig
	switch {
	case living || got.code == 0:
		s.row.CountServed(got.err(what), got.took)
	case !failed:
		s.row.Broken("%s: %s", what, got.exits())
	case spent:
		s.row.Broken("%s: a refresh token was spent by a command that failed: %s", what, got.exits())
	}
	if got.took > atOnce {
		s.row.TooSlow("%s: %s", what, got.exits())
	}
	s.row.Wait = max(s.row.Wait, report.Millis(got.took.Milliseconds()))
}

// err returns an error if the run has failed.
func (r run) err(what string) error {
	if r.code == 0 {
		return nil
	}
	return fmt.Errorf("%s: %s", what, r.exits())
}

// nextRun runs the command once more, with a dead token, when all is well again.
func (s *scene) nextRun(ctx context.Context, p program, what string) error {
	if err := s.age(ctx, -time.Minute); err != nil {
		return err
	}
	got, err := p.token(ctx)
	if err != nil {
		return err
	}
	s.row.CountServed(got.err("after "+what), got.took)
	_, err = s.loss(ctx)
	return err
}
