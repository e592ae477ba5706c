package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/sleep"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/torture/internal/process"
	"github.com/evertoken/evertoken/torture/internal/report"
	"github.com/evertoken/evertoken/torture/internal/worker"
)

// A restorer puts a copy of a directory back in its place.
type restorer struct {
	name string
	do   func(backup, dir string) error
}

// restorers are the ways of people and programs.
var restorers = []restorer{
	{"over the files", func(backup, dir string) error { return copyFiles(backup, dir, os.WriteFile) }},
	{"in the place of the files", func(backup, dir string) error { return copyFiles(backup, dir, replaceFile) }},
	{"in the place of the directory", func(backup, dir string) error {
		fresh := dir + ".fresh"
		return errors.Join(os.CopyFS(fresh, os.DirFS(backup)), makePrivate(fresh), os.Rename(dir, dir+".old"),
			os.Rename(fresh, dir), os.RemoveAll(dir+".old"))
	}},
}

// makePrivate gives what is below a directory the modes of our files, which backups keep
// and os.CopyFS does not.
func makePrivate(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o600)
		if e.IsDir() {
			mode = 0o700
		}
		return os.Chmod(path, mode)
	})
}

// copyFiles writes each file of a directory tree to another one.
func copyFiles(from, to string, write func(path string, data []byte, mode fs.FileMode) error) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return write(filepath.Join(to, strings.TrimPrefix(path, from)), data, 0o600)
	})
}

// replaceFile writes a file as tools do that copy whole trees.
func replaceFile(path string, data []byte, mode fs.FileMode) error {
	if err := os.WriteFile(path+".part", data, mode); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}

// behind are how many renewals an old copy does not know. Records tell of sixteen tokens
// before their own.
var behind = []int{1, 2, 5, 17, 20}

// oldCopyDaemons puts an old copy of the directory back while processes have the session,
// half of which have not heard of the last renewal.
func (t *torture) oldCopyDaemons(ctx context.Context, c worker.Client, rand *rand.Rand) (*report.Row, error) {
	r := newRow(c, either(c, "old copy put back: daemons", "old copy put back"))
	s, err := t.newScene(ctx, c, r, oauthtest.Config{})
	if err != nil {
		return nil, err
	}
	defer s.close()
	s.cfg.CheckInterval = time.Second
	n := t.size.few
	if c == worker.XOAuth2 {
		n = 2 // more do what row 8 shows
	}
	crowd, err := s.crowd(ctx, n)
	if err != nil {
		return nil, err
	}
	defer dismiss(crowd)
	for i := range t.size.restores {
		how, renewals := restorers[i%len(restorers)], behind[rand.IntN(len(behind))]
		what := fmt.Sprintf("a copy %d renewals old put %s", renewals, how.name)
		informed := len(crowd)
		if i%2 == 1 {
			informed /= 2
			what += ", of whose last renewal half of the processes have not heard"
		}
		if err := s.goBack(ctx, crowd, informed, how, renewals, what); err != nil {
			return nil, err
		}
		r.Rounds++
	}
	if c == worker.XOAuth2 {
		r.Note("As row 13, by the program of row 8, in two processes. After a loss a person logs in anew.")
		s.srv.Count(r)
		return r, nil
	}
	r.Note("%d processes share a session. Each round the directory is copied, the session renewed %v times (in every "+
		"other round half of the processes are stopped the last time), and the copy put back over the files, in their place, or in that of the "+
		"directory. Then the API no longer takes the access token, and all of them call it, again and again for %v: whoever "+
		"has the newest pair writes it over the copy, all are served, and nothing that was spent is sent.", t.size.few, behind, t.size.patience)
	return r, s.finish(ctx)
}

// goBack is one round of oldCopyDaemons.
func (s *scene) goBack(ctx context.Context, crowd []*process.Process, informed int, how restorer, renewals int, what string) error {
	backup, err := s.copyDir()
	if err != nil {
		return err
	}
	rest := crowd[informed:]
	for i := range renewals {
		if i == renewals-1 {
			for _, p := range rest {
				if err := p.Halt(); err != nil {
					return err
				}
			}
		}
		s.srv.Expire()
		askAll(ctx, crowd[:informed], worker.CmdCall) // the row is about what follows

	}
	err = how.do(backup, s.cfg.Dir)
	for _, p := range rest {
		err = errors.Join(err, p.Resume())
	}
	if err != nil {
		return err
	}
	s.srv.Expire()
	for left, begun := crowd, time.Now(); len(left) > 0; {
		var again []*process.Process
		for i, err := range askAll(ctx, left, worker.CmdCall) {
			switch {
			case err == nil:
				s.row.CountServed(nil, left[i].Took())
			case time.Since(begun) < s.t.size.patience:
				again = append(again, left[i])
			default:
				s.row.CountServed(fmt.Errorf("after %s: %w", what, err), left[i].Took())
			}
		}
		if left = again; len(left) > 0 {
			time.Sleep(time.Second)
		}
	}
	if lost, err := s.loss(ctx); err != nil || lost {
		askAll(ctx, crowd, worker.CmdCall) // they go on with the new login
		return err
	}
	if spent, err := s.spentSaved(ctx); err != nil || spent && s.cfg.Client == worker.Evertoken {
		s.row.Torn++
		s.row.Broken("after %s and a renewal the file holds a token that was spent (error: %v)", what, err)
	}
	return nil
}

// copyDir copies the session's directory, and returns where to.
func (s *scene) copyDir() (string, error) {
	backup, err := s.t.newDir()
	if err != nil {
		return "", err
	}
	return backup, os.CopyFS(backup, os.DirFS(s.cfg.Dir))
}

// oldCopyCommand puts an old copy of the directory back, and runs a command. Without a
// process that has the newest pair it must say what has happened, and send nothing that
// was spent: when the newest files are back it goes on. With one it must be served.
func (t *torture) oldCopyCommand(ctx context.Context, c worker.Client, rand *rand.Rand) (*report.Row, error) {
	r := newRow(c, "old copy put back: a command")
	s, err := t.newScene(ctx, c, r, oauthtest.Config{})
	if err != nil {
		return nil, err
	}
	defer s.close()
	s.cfg.CheckInterval = time.Second
	tool := &tool{scene: s}
	if tool.path, err = t.buildTool(); err == nil {
		err = tool.logIn(ctx)
	}
	for i := 0; err == nil && i < t.size.restores; i++ {
		how, renewals := restorers[i%len(restorers)], behind[rand.IntN(len(behind))]
		err = tool.goBack(ctx, how, renewals, i%2 == 1, fmt.Sprintf("a copy %d renewals old put %s", renewals, how.name))
		r.Rounds++
	}
	if err != nil {
		return nil, err
	}
	r.Note("Each round the directory is copied, the session renewed %v times by a command (evertoken refresh), and the copy "+
		"put back as in row 13, with a dead access token in it. Then evertoken token is run. In every other round a process "+
		"keeps the session meanwhile: within %s a command must be served. Otherwise it must end with exit code 3 and the "+
		"cause and have sent nothing that was spent; then the newest files are put back, and the next command must be "+
		"served.", behind, t.size.patience)
	return r, s.finish(ctx)
}

// goBack is one round of oldCopyCommand.
func (t *tool) goBack(ctx context.Context, how restorer, renewals int, kept bool, what string) error {
	if err := t.age(ctx, -time.Minute); err != nil {
		return err
	}
	old, err := t.copyDir()
	if err != nil {
		return err
	}
	for range renewals {
		got, err := t.run(ctx, "refresh")
		if err != nil {
			return err
		}
		if err := got.err("evertoken refresh"); err != nil {
			t.row.Broken("%v", err)
		}
	}
	newest, err := t.copyDir()
	if err != nil {
		return err
	}
	if kept {
		crowd, err := t.crowd(ctx, 1)
		if err != nil {
			return err
		}
		defer dismiss(crowd)
		t.callAll(ctx, crowd)
	}
	if err := how.do(old, t.cfg.Dir); err != nil {
		return err
	}
	begun := time.Now()
	got, err := t.token(ctx)
	for kept && err == nil && got.code != 0 && time.Since(begun) < t.t.size.patience {
		_ = sleep.For(ctx, pace)
		got, err = t.token(ctx)
	}
	if err != nil {
		return err
	}
	if !kept {
		t.judgeOldCopy(what, got)
		if err := how.do(newest, t.cfg.Dir); err != nil {
			return err
		}
		begun = time.Now()
		if got, err = t.token(ctx); err != nil {
			return err
		}
	}
	t.row.CountServed(got.err("after "+what), time.Since(begun))
	_, err = t.loss(ctx)
	return err
}

// judgeOldCopy judges a command that was run over an old copy.
func (t *tool) judgeOldCopy(what string, got run) {
	switch {
	case got.code != exitLogin:
		t.row.Broken("over %s: %s", what, got.exits())
	case !strings.Contains(got.said, "older copy"):
		t.row.Broken("over %s the person does not hear of it: %s", what, got.exits())
	}
	t.row.Wait = max(t.row.Wait, report.Millis(got.took.Milliseconds()))
}
