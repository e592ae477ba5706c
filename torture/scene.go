package main

import (
	"context"
	"fmt"

	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/torture/internal/process"
	"github.com/evertoken/evertoken/torture/internal/report"
	"github.com/evertoken/evertoken/torture/internal/saved"
	"github.com/evertoken/evertoken/torture/internal/server"
	"github.com/evertoken/evertoken/torture/internal/worker"
)

// A scene is a server with one session, the place where that is saved, and a row
// that counts what happens.
type scene struct {
	t     *torture
	srv   *server.Server
	shelf saved.Shelf
	cfg   worker.Config // of the scene's workers
	row   *report.Row
	when  string // of the round, if problems are to tell
}

// newRow returns the row of a client. Only x/oauth2 is not judged.
func newRow(c worker.Client, what string) *report.Row {
	if c == worker.XOAuth2 {
		return &report.Row{What: "x/oauth2: " + what}
	}
	return &report.Row{What: what, Judged: true}
}

// either is the name of a row, which is shorter for x/oauth2.
func either(c worker.Client, ours, theirs string) string {
	if c == worker.XOAuth2 {
		return theirs
	}
	return ours
}

func newShelf(c worker.Client, dir, session string) (saved.Shelf, error) {
	if c == worker.XOAuth2 {
		return saved.Plain{Dir: dir, Session: session}, nil
	}
	return saved.NewFile(dir, session)
}

// newScene logs in to a new server. The caller closes the scene.
func (t *torture) newScene(ctx context.Context, c worker.Client, r *report.Row, cfg oauthtest.Config) (*scene, error) {
	dir, err := t.newDir()
	if err != nil {
		return nil, err
	}
	return t.newSceneIn(ctx, dir, c, r, cfg)
}

func (t *torture) newSceneIn(ctx context.Context, dir string, c worker.Client, r *report.Row, cfg oauthtest.Config) (*scene, error) {
	home, err := t.newDir()
	if err != nil {
		return nil, err
	}
	srv, err := server.New(cfg)
	if err != nil {
		return nil, err
	}
	s := &scene{t: t, srv: srv, row: r, cfg: worker.Config{
		Client: c, Dir: dir, Home: home,
		TokenURL: srv.SocketURL(oauthtest.TokenEndpoint), API: srv.SocketURL(oauthtest.ResourceEndpoint),
	}}
	if s.shelf, err = newShelf(c, dir, ""); err == nil {
		err = s.logIn(ctx)
	}
	if err != nil {
		srv.Close()
		return nil, err
	}
	return s, nil
}

// newPoolScene logs in to a session for each of the users; no users means one session.
func (t *torture) newPoolScene(ctx context.Context, c worker.Client, r *report.Row, users []string) (*scene, error) {
	cfg := oauthtest.Config{}
	if len(users) > 0 {
		cfg.Users = make(map[string]string)
		for _, user := range append([]string{oauthtest.DefaultUser}, users...) {
			cfg.Users[user] = "secret"
		}
	}
	s, err := t.newScene(ctx, c, r, cfg)
	if err != nil {
		return nil, err
	}
	s.cfg.Sessions = users
	for _, user := range users {
		if err := s.logInTo(ctx, user); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

// logInTo logs in to a user's session of a pool.
func (s *scene) logInTo(ctx context.Context, user string) error {
	pair, err := s.srv.Login(user)
	if err != nil {
		return err
	}
	shelf, err := newShelf(s.cfg.Client, s.cfg.Dir, user)
	if err != nil {
		return err
	}
	return shelf.Put(ctx, pair)
}

// expireAll makes the API reject the access tokens of all sessions.
func (s *scene) expireAll() {
	s.srv.Expire()
	for _, user := range s.cfg.Sessions {
		s.srv.ExpireAccess(user)
	}
}

// lossOfAny is loss for a scene that may have a pool.
func (s *scene) lossOfAny(ctx context.Context) error {
	_, err := s.loss(ctx)
	for _, user := range s.cfg.Sessions {
		if err == nil && s.srv.Sessions(user) == 0 {
			s.row.Lost++
			s.row.Broken("session %s was lost", user)
			err = s.logInTo(ctx, user)
		}
	}
	return err
}

func (s *scene) close() { s.srv.Close() }

// logIn does what a person has to do when the session is lost.
func (s *scene) logIn(ctx context.Context) error {
	pair, err := s.srv.Login(oauthtest.DefaultUser)
	if err != nil {
		return err
	}
	return s.shelf.Put(ctx, pair)
}

// start starts a worker.
func (s *scene) start() (*process.Process, error) {
	s.row.Processes++
	return s.t.workers.Start(s.cfg)
}

// crowd starts n workers, all of which go on with the saved session.
func (s *scene) crowd(ctx context.Context, n int) ([]*process.Process, error) {
	var crowd []*process.Process
	for range n {
		p, err := s.start()
		if err != nil {
			return nil, err
		}
		crowd = append(crowd, p)
	}
	for _, err := range askAll(ctx, crowd, worker.CmdOpen) {
		if err != nil {
			return nil, fmt.Errorf("opening the session: %w", err)
		}
	}
	return crowd, nil
}

// dismiss ends workers.
func dismiss(crowd []*process.Process) {
	for _, p := range crowd {
		p.Kill()
	}
}

// askAll gives a command to all at once and returns their answers.
func askAll(ctx context.Context, crowd []*process.Process, command string) []error {
	sendAll(crowd, command)
	return replies(ctx, crowd)
}

func sendAll(crowd []*process.Process, command string) {
	for _, p := range crowd {
		_ = p.Say(command) // replies tells which have ended
	}
}

func replies(ctx context.Context, crowd []*process.Process) []error {
	errs := make([]error, len(crowd))
	for i, p := range crowd {
		errs[i] = p.Reply(ctx)
	}
	return errs
}

// callAll has all of them call the API, which must serve them.
func (s *scene) callAll(ctx context.Context, crowd []*process.Process) {
	for i, err := range askAll(ctx, crowd, worker.CmdCall) {
		if err != nil && s.when != "" {
			err = fmt.Errorf("%s: %w", s.when, err)
		}
		s.row.CountServed(err, crowd[i].Took())
	}
}

// loss reports and counts whether the session is lost, and then logs in anew.
func (s *scene) loss(ctx context.Context) (bool, error) {
	if !s.srv.Lost() {
		return false, nil
	}
	s.row.Lost++
	s.row.Broken("the session was lost")
	return true, s.logIn(ctx)
}

// inspect counts what should not be there after a process died.
func (s *scene) inspect(ctx context.Context, before saved.State) saved.State {
	now, err := s.shelf.Get(ctx)
	switch {
	case err != nil:
		s.row.Torn++
		s.row.Broken("the saved session cannot be read: %v", err)
	case now.Version < before.Version:
		s.row.Torn++
		s.row.Broken("the file went back from version %d to %d", before.Version, now.Version)
	}
	if !s.shelf.Free(ctx) {
		s.row.Locks++
		s.row.Broken("no living process holds the lock, and it is not free")
	}
	return now
}

// finish counts what is left when all is over.
func (s *scene) finish(ctx context.Context) error {
	s.inspect(ctx, saved.State{})
	if err := s.shelf.Sweep(); err != nil {
		return err
	}
	if left := saved.Temps(s.cfg.Dir); len(left) > 0 {
		s.row.Broken("%d temporary files are left", len(left))
	}
	s.srv.Count(s.row)
	return nil
}

// number says how many of something there are.
func number(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
