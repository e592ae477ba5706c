//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/evertoken/evertoken/internal/workers"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/torture/internal/process"
	"github.com/evertoken/evertoken/torture/internal/saved"
	"github.com/evertoken/evertoken/torture/internal/worker"
)

// crashSteps are the steps of a refresh at which a process dies, in order, with
// the evidence that it must leave: whether the file announces the spend, whether
// the server has carried it out, and whether the file has the successor.
var crashSteps = []struct {
	name                      string
	announced, spent, durable bool
}{
	{"before it takes the lock", false, false, false},
	{"holding the lock", false, false, false},
	{"before it announces the spend", false, false, false},
	{"having announced the spend", true, false, false},
	{"having told its program", true, false, false},
	{"before it sends the request", true, false, false},
	{"having sent the request", true, true, false},
	{"having received the answer", true, true, false},
	{"before it saves the pair", true, true, false},
	{midFile, true, true, false},
	{"having saved the pair", false, true, true},
	{"having shown the pair", false, true, true},
	{"before it unlocks", false, true, true},
	{"having unlocked", false, true, true},
}

// midFile is the step within a Set, at which no test can stop a process for sure. What a
// process that died there leaves is made instead; that real writers leave no more is
// for tokenstore's tests to show, which kill many.
const midFile = "in the middle of the temporary file"

// diesAt begins the name of a client that dies at a step.
const diesAt = "dies "

func stepOf(c worker.Client) (string, bool) { return strings.CutPrefix(string(c), diesAt) }

// A doomed is a program that is killed at one step of its first refresh.
type doomed struct {
	*worker.Keeper
	step string
}

// at kills the process if this is the step.
func (d *doomed) at(step string) {
	if d.step == step {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until the signal is here
	}
}

func (d *doomed) Open(ctx context.Context) error {
	var err error
	if d.Store, err = tokenstore.NewFile(d.Dir()); err != nil {
		return err
	}
	cfg := d.Config()
	cfg.Store = &doomedStore{File: d.Store, d: d}
	oc := d.OAuthConfig()
	oc.HTTPClient = &http.Client{Transport: d}
	inner := oauth.NewClient(oc)
	cfg.OAuthClient = refresh.RefresherFunc(func(ctx context.Context, t *oauth.TokenPair) (*oauth.TokenPair, error) {
		d.at("before it sends the request")
		next, err := inner.Refresh(ctx, t)
		d.at("having received the answer")
		return next, err
	})
	cfg.OnEvent = func(e refresh.Event) {
		switch e.Kind {
		case refresh.EventRefreshing:
			d.at("having told its program")
		case refresh.EventRefreshed:
			d.at("having shown the pair")
		}
	}
	return d.Start(ctx, cfg)
}

// RoundTrip sends a token request.
func (d *doomed) RoundTrip(req *http.Request) (*http.Response, error) {
	trace := &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { d.at("having sent the request") }}
	return http.DefaultTransport.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
}

// A doomedStore is the store of a doomed program. Its first Set announces the
// spend, its second saves the pair.
type doomedStore struct {
	*tokenstore.File
	d    *doomed
	sets int
}

func (s *doomedStore) Lock(ctx context.Context, name string) (tokenstore.Lease, error) {
	s.d.at("before it takes the lock")
	lease, err := s.File.Lock(ctx, name)
	s.d.at("holding the lock")
	return &doomedLease{lease, s.d}, err
}

func (s *doomedStore) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	s.sets++
	before, after := "before it announces the spend", "having announced the spend"
	if s.sets == 2 {
		before, after = "before it saves the pair", "having saved the pair"
		if s.d.step == midFile {
			s.writeHalf(name, rec)
			s.d.at(midFile)
		}
	}
	s.d.at(before)
	version, err := s.File.Set(ctx, name, rec)
	s.d.at(after)
	return version, err
}

// writeHalf writes half of the temporary file of a Set.
func (s *doomedStore) writeHalf(name string, rec *tokenstore.Record) {
	data, err := json.Marshal(rec)
	if err == nil {
		err = os.WriteFile(filepath.Join(s.Dir(), name+".json.tmp-1"), data[:len(data)/2], 0o600)
	}
	if err != nil {
		panic(err) // the test fails, since nothing is left then
	}
}

type doomedLease struct {
	tokenstore.Lease
	d *doomed
}

func (l *doomedLease) Unlock() error {
	l.d.at("before it unlocks")
	err := l.Lease.Unlock()
	l.d.at("having unlocked")
	return err
}

func TestF28_KilledAtAnyStepTheNextProcessIsServed(t *testing.T) {
	for _, step := range crashSteps {
		t.Run(step.name, func(t *testing.T) {
			s, old := crashAt(t, step.name, oauthtest.Config{Grace: grace})
			checkEvidence(t, s, old, step.announced, step.spent, step.durable)
			next := openNext(t, s)
			if err := next.Ask(t.Context(), worker.CmdCall); err != nil {
				t.Errorf("the next process is not served: %v", err)
			}
			want := 1
			if step.spent && !step.durable {
				want = 2 // one ambiguous replay, and no more
			}
			if n := spendsOf(s, old); n != want {
				t.Errorf("the refresh token was sent %d times; want %d", n, want)
			}
			checkNothingLeft(t, s)
		})
	}
}

func TestF28_WithoutAGraceWindowOnlyALostAnswerEndsTheSession(t *testing.T) {
	for _, step := range crashSteps {
		t.Run(step.name, func(t *testing.T) {
			s, old := crashAt(t, step.name, oauthtest.Config{})
			checkEvidence(t, s, old, step.announced, step.spent, step.durable)
			next := openNext(t, s)
			err, ends := next.Ask(t.Context(), worker.CmdCall), step.spent && !step.durable
			if (err != nil) != ends || s.srv.Lost() != ends {
				t.Errorf("the next call: %v, lost: %v; want an end of the session: %v", err, s.srv.Lost(), ends)
			}
			if now := mustRead(t, s); ends && now.RefreshToken != old {
				t.Error("the old refresh token was deleted, although nothing has replaced it")
			}
			checkNothingLeft(t, s)
		})
	}
}

// crashAt has a process die at a step of a refresh. It returns the scene and the
// refresh token from before.
func crashAt(t *testing.T, step string, cfg oauthtest.Config) (*scene, string) {
	t.Helper()
	to := newTest(t)
	s := newTestScene(t, to, worker.Client(diesAt+step), cfg)
	old := mustRead(t, s).RefreshToken
	p := openNext(t, s)
	s.srv.Expire()
	err := p.Ask(t.Context(), worker.CmdCall)
	if !errors.Is(err, workers.ErrEnded) {
		t.Fatalf("the process that was to die says: %v", err)
	}
	if err := s.srv.Quiet(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.srv.AnswerLost(old)
	if left := saved.Temps(s.cfg.Dir); (len(left) > 0) != (step == midFile) {
		t.Errorf("temporary files: %q", left)
	}
	s.cfg.Client = worker.Evertoken
	return s, old
}

// openNext starts a process and has it open the session.
func openNext(t *testing.T, s *scene) *process.Process {
	t.Helper()
	p, err := s.start()
	if err == nil {
		err = p.Ask(t.Context(), worker.CmdOpen)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustRead(t *testing.T, s *scene) saved.State {
	t.Helper()
	now, err := s.shelf.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return now
}

// spendsOf returns how often a refresh token has reached the server.
func spendsOf(s *scene, refreshToken string) int {
	n := 0
	for _, sp := range s.srv.Spends() {
		if sp.TokenHash == saved.Hash(refreshToken) {
			n++
		}
	}
	return n
}

// checkEvidence checks what the dead process has left.
func checkEvidence(t *testing.T, s *scene, old string, announced, spent, durable bool) {
	t.Helper()
	now := mustRead(t, s)
	if now.Pending != announced {
		t.Errorf("the file announces a spend: %v; want %v", now.Pending, announced)
	}
	if got := spendsOf(s, old) > 0; got != spent {
		t.Errorf("the server has seen the refresh token: %v; want %v", got, spent)
	}
	if got := now.RefreshToken != old; got != durable {
		t.Errorf("the file has another refresh token: %v; want %v", got, durable)
	}
	if !s.shelf.Free(t.Context()) {
		t.Error("the lock has outlived its holder")
	}
}

// checkNothingLeft checks what all of it comes to.
func checkNothingLeft(t *testing.T, s *scene) {
	t.Helper()
	if err := s.finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !s.row.Holds() {
		t.Errorf("broken: %q", s.row.Problems)
	}
}
