package main

import (
	"context"
	"fmt"

	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// A scene is a server with one session, the place where that is saved, and a row
// that counts what happens.
type scene struct {
	t     *torture
	srv   *server
	shelf shelf
	cfg   workerConfig // of the scene's workers
	row   *row
}

// newScene logs in to a new server. The caller closes the scene.
func (t *torture) newScene(ctx context.Context, c client, r *row, cfg oauthtest.Config) (*scene, error) {
	dir, err := t.newDir()
	if err != nil {
		return nil, err
	}
	return t.newSceneIn(ctx, dir, c, r, cfg)
}

func (t *torture) newSceneIn(ctx context.Context, dir string, c client, r *row, cfg oauthtest.Config) (*scene, error) {
	srv, err := newServer(cfg)
	if err != nil {
		return nil, err
	}
	s := &scene{t: t, srv: srv, row: r, cfg: workerConfig{
		Client: c, Dir: dir,
		TokenURL: srv.url(oauthtest.TokenEndpoint), API: srv.url(oauthtest.ResourceEndpoint),
	}}
	if s.shelf, err = newShelf(c, dir); err == nil {
		err = s.logIn(ctx)
	}
	if err != nil {
		srv.close()
		return nil, err
	}
	return s, nil
}

func (s *scene) close() { s.srv.close() }

// logIn does what a person has to do when the session is lost.
func (s *scene) logIn(ctx context.Context) error {
	pair, err := s.srv.Login(oauthtest.DefaultUser)
	if err != nil {
		return err
	}
	return s.shelf.put(ctx, pair)
}

// start starts a worker.
func (s *scene) start() (*process, error) {
	s.row.Processes++
	return s.t.start(s.cfg)
}

// crowd starts n workers, all of which go on with the saved session.
func (s *scene) crowd(ctx context.Context, n int) ([]*process, error) {
	var crowd []*process
	for range n {
		p, err := s.start()
		if err != nil {
			return nil, err
		}
		crowd = append(crowd, p)
	}
	for _, err := range askAll(ctx, crowd, cmdOpen) {
		if err != nil {
			return nil, fmt.Errorf("opening the session: %w", err)
		}
	}
	return crowd, nil
}

// dismiss ends workers.
func dismiss(crowd []*process) {
	for _, p := range crowd {
		p.Kill()
	}
}

// askAll gives a command to all at once and returns their answers.
func askAll(ctx context.Context, crowd []*process, command string) []error {
	sendAll(crowd, command)
	return replies(ctx, crowd)
}

func sendAll(crowd []*process, command string) {
	for _, p := range crowd {
		_ = p.Say(command) // who has ended answers so
	}
}

func replies(ctx context.Context, crowd []*process) []error {
	errs := make([]error, len(crowd))
	for i, p := range crowd {
		errs[i] = p.reply(ctx)
	}
	return errs
}

// callAll has all of them call the API, which must serve them.
func (s *scene) callAll(ctx context.Context, crowd []*process) {
	for _, err := range askAll(ctx, crowd, cmdCall) {
		s.row.served(err)
	}
}

// loss reports and counts whether the session is lost, and then logs in anew.
func (s *scene) loss(ctx context.Context) (bool, error) {
	if !s.srv.lost() {
		return false, nil
	}
	s.row.Lost++
	s.row.broken("the session was lost")
	return true, s.logIn(ctx)
}

// inspect counts what should not be there after somebody died.
func (s *scene) inspect(ctx context.Context, before saved) saved {
	now, err := s.shelf.get(ctx)
	switch {
	case err != nil:
		s.row.Torn++
		s.row.broken("the saved session cannot be read: %v", err)
	case now.version < before.version:
		s.row.Torn++
		s.row.broken("the file went back from version %d to %d", before.version, now.version)
	}
	if !s.shelf.free(ctx) {
		s.row.Locks++
		s.row.broken("the lock is held by nobody who lives")
	}
	return now
}

// finish counts what is left when all is over.
func (s *scene) finish(ctx context.Context) error {
	s.inspect(ctx, saved{})
	if err := s.shelf.sweep(); err != nil {
		return err
	}
	if left := temps(s.cfg.Dir); len(left) > 0 {
		s.row.broken("%d temporary files are left", len(left))
	}
	s.srv.count(s.row)
	return nil
}
