package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/sleep"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/torture/internal/disk"
	"github.com/evertoken/evertoken/torture/internal/process"
	"github.com/evertoken/evertoken/torture/internal/report"
	"github.com/evertoken/evertoken/torture/internal/worker"
)

// A departure is a way for a directory to go away, and to come back.
type departure struct {
	name       string
	away, back func() error
}

// departures returns the ways for a directory, which is below parent, and makes both.
func departures(parent, dir string) (ways []departure, remove func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	for _, what := range []struct{ name, path string }{{"the directory is moved", dir}, {"the one above it is moved", parent}} {
		elsewhere := what.path + ".away"
		ways = append(ways, departure{
			what.name,
			func() error { return os.Rename(what.path, elsewhere) },
			func() error { return os.Rename(elsewhere, what.path) },
		})
	}
	// A mounted home: when it is unmounted, an empty directory is in its place.
	home := parent + ".mounted"
	if err := os.Mkdir(home, 0o700); err != nil {
		return nil, nil, err
	}
	unmount, err := disk.Bind(home, parent)
	if err != nil {
		return ways, func() {}, nil // no privileges
	}
	remove = func() { _ = unmount() }
	if err := os.MkdirAll(dir, 0o700); err != nil {
		remove()
		return nil, nil, err
	}
	ways[1].away, ways[1].name = unmount, "its home is unmounted"
	ways[1].back = func() error { _, err := disk.Bind(home, parent); return err }
	return ways, remove, nil
}

// directoryAway moves the directory of the session away for a while.
func (t *torture) directoryAway(ctx context.Context, c worker.Client, rand *rand.Rand) (*report.Row, error) {
	r := newRow(c, either(c, "directory away and back", "directory away"))
	top, err := t.newDir()
	if err != nil {
		return nil, err
	}
	parent := filepath.Join(top, "home")
	dir := filepath.Join(parent, "sessions")
	ways, remove, err := departures(parent, dir)
	if err != nil {
		return nil, err
	}
	defer remove()
	s, err := t.newSceneIn(ctx, dir, c, r, oauthtest.Config{})
	if err != nil {
		return nil, err
	}
	defer s.close()
	s.cfg.CheckInterval = time.Second
	crowd, err := s.crowd(ctx, t.several(c))
	if err != nil {
		return nil, err
	}
	defer dismiss(crowd)
	var names []string
	for i := range t.size.restores {
		way := ways[i%len(ways)]
		if i < len(ways) {
			names = append(names, way.name)
		}
		lasts := time.Second/2 + time.Duration(rand.Int64N(int64(3*time.Second)))
		if err := s.goAway(ctx, crowd, way, lasts); err != nil {
			return nil, err
		}
		r.Rounds++
	}
	for _, p := range crowd {
		if n := p.Seen(string(refresh.EventLoggedOut)); n > 0 {
			r.Broken("a process took it for a logout")
		}
	}
	r.Note("%s For up to 3.5 s each round %s. A living token must be served meanwhile; then the API no longer takes it, "+
		"and callers call until they are served. How long that takes counts from when the directory is back.",
		s.shares(crowd), strings.Join(names, ", or "))
	return r, s.finish(ctx)
}

// several is how many processes share a session in rows where one mistake is looked for.
// What several of x/oauth2 do to each other without any trouble is in row 8.
func (t *torture) several(c worker.Client) int {
	if c == worker.XOAuth2 {
		return 1
	}
	return t.size.few
}

// shares says for the notes who has the session.
func (s *scene) shares(crowd []*process.Process) string {
	if s.cfg.Client == worker.XOAuth2 {
		return "One process has the session, as several do what row 8 shows."
	}
	return number(len(crowd), "process shares", "processes share") + " a session."
}

func (s *scene) goAway(ctx context.Context, crowd []*process.Process, way departure, lasts time.Duration) error {
	s.callAll(ctx, crowd)
	if err := way.away(); err != nil {
		return err
	}
	_ = sleep.For(ctx, lasts/2)
	s.callAll(ctx, crowd)
	s.srv.Expire()
	sendAll(crowd, callers(2))
	_ = sleep.For(ctx, lasts/2)
	if err := way.back(); err != nil {
		return err
	}
	err := s.countSince(ctx, crowd, time.Now(), way.name)
	_, lost := s.loss(ctx)
	return errors.Join(err, lost)
}
