//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/internal/workers"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/torture/internal/process"
	"github.com/evertoken/evertoken/torture/internal/worker"
)

// commandEnv makes the test binary the command itself.
const commandEnv = "EVERTOKEN_TORTURE_COMMAND"

// familyEnv makes it a parent of workers, one of them stopped, that waits.
const familyEnv = "EVERTOKEN_TORTURE_FAMILY"

// TestMain runs the tests, or makes the test binary a worker or the command.
func TestMain(m *testing.M) {
	switch {
	case workers.Inside() && testWorker():
	case workers.Inside():
		main()
	case os.Getenv(familyEnv) != "": // after the workers, who inherit it
		os.Exit(haveFamily())
	case os.Getenv(commandEnv) != "":
		main()
	default:
		os.Exit(m.Run())
	}
}

// Clients with a mistake, which the command must find out.
const (
	lonely    worker.Client = "lonely"    // refreshes without a lock, and without announcing it
	forgetful worker.Client = "forgetful" // says that it has saved what it will save later
)

// testWorker serves the clients that only tests have. It reports whether the
// worker was one.
func testWorker() bool {
	var cfg worker.Config
	if workers.Config(&cfg) != nil {
		return false
	}
	w := worker.New(os.Stdout)
	k := worker.NewKeeper(w, cfg)
	wrap := func(f *tokenstore.File) tokenstore.Store { return f }
	switch cfg.Client {
	case lonely:
		wrap = func(f *tokenstore.File) tokenstore.Store { return lonelyStore{f} }
	case forgetful:
		// What it has spent is not known to the next process, which would not go on.
		cache, err := os.MkdirTemp("", "cache-*")
		if err != nil {
			return false
		}
		os.Setenv("XDG_CACHE_HOME", cache)
		wrap = func(f *tokenstore.File) tokenstore.Store { return &forgetfulStore{File: f} }
	default:
		step, ok := stepOf(cfg.Client)
		if !ok {
			return false
		}
		w.Role = &doomed{Keeper: k, step: step}
	}
	if w.Role == nil {
		w.Role = &wrapped{k, wrap}
	}
	w.Serve(os.Stdin)
	return true
}

// A wrapped is a keeper over a store that is not quite right.
type wrapped struct {
	*worker.Keeper
	wrap func(*tokenstore.File) tokenstore.Store
}

func (w *wrapped) Open(ctx context.Context) error {
	var err error
	if w.Store, err = tokenstore.NewFile(w.Dir()); err != nil {
		return err
	}
	cfg := w.Config()
	cfg.Store = w.wrap(w.Store)
	return w.Start(ctx, cfg)
}

// A lonelyStore has no lock, and tells no other process what is about to happen.
type lonelyStore struct{ tokenstore.Store }

func (s lonelyStore) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	if rec.Pending != nil {
		return rec.Version, nil
	}
	return s.Store.Set(ctx, name, rec)
}

// A forgetfulStore keeps new pairs to itself.
type forgetfulStore struct {
	*tokenstore.File
	pair *oauth.TokenPair // as last read
}

func (s *forgetfulStore) Get(ctx context.Context, name string) (*tokenstore.Record, error) {
	rec, err := s.File.Get(ctx, name)
	if err == nil && s.pair == nil {
		s.pair = rec.Tokens
	}
	return rec, err
}

func (s *forgetfulStore) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	if rec.Tokens.RefreshToken != s.pair.RefreshToken {
		return rec.Version, nil
	}
	return s.File.Set(ctx, name, rec)
}

// newTest returns a torture of a few seconds that ends with the test.
func newTest(t *testing.T) *torture {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	to, err := newTorture(1, true, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(to.clear)
	return to
}

// haveFamily starts two workers, stops one, says so, and waits to be killed.
func haveFamily() int {
	to, err := newTorture(1, true, os.Stderr)
	if err != nil {
		fmt.Println(err)
		return worker.ExitBroken
	}
	for _, halted := range []bool{false, true} {
		p, err := to.workers.Start(worker.Config{Client: worker.Evertoken})
		if err == nil && halted {
			err = haltForSure(p)
		}
		if err != nil {
			fmt.Println(err)
			return worker.ExitBroken
		}
	}
	fmt.Println(to.dir)
	select {}
}

// haltForSure returns when the process stands still.
func haltForSure(p *process.Process) error {
	if err := p.Halt(); err != nil {
		return err
	}
	for {
		state, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(p.Pid())).Output()
		if err != nil || strings.HasPrefix(string(state), "T") {
			return err
		}
	}
}
