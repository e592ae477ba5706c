//go:build real && unix

package redisstore_test

import (
	"slices"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/redisstore"
)

// A scene is a strict authorization server with one session, which a crowd of
// processes shares in one Redis.
type scene struct {
	t     *testing.T
	auth  *oauthtest.Server
	cfg   workerConfig
	crowd []*process
}

func newScene(t *testing.T, lease time.Duration, processes int) *scene {
	t.Helper()
	server := startServer(t)
	auth := oauthtest.NewServer(oauthtest.Config{})
	t.Cleanup(auth.Close)
	tokens, err := auth.Login(oauthtest.DefaultUser)
	if err != nil {
		t.Fatal(err)
	}
	set(t, server.open("", redisstore.Config{}), "default", &tokenstore.Record{Tokens: tokens})
	s := &scene{t: t, auth: auth, cfg: workerConfig{
		Redis: server.addr, Lease: lease,
		TokenURL: auth.Endpoint(oauthtest.TokenEndpoint), API: auth.Endpoint(oauthtest.ResourceEndpoint),
	}}
	for range processes {
		s.crowd = append(s.crowd, startWorker(t, s.cfg))
	}
	s.all(openWord)
	return s
}

// all gives a word to all processes; it must work for every one of them.
func (s *scene) all(word string) {
	s.t.Helper()
	for i, err := range tellAll(s.crowd, word) {
		if err != nil {
			s.t.Fatalf("process %d: %s: %v", i, word, err)
		}
	}
}

// expire makes the API reject the token that all have.
func (s *scene) expire() { s.auth.ExpireAccess(oauthtest.DefaultUser) }

// holder returns which process stands at the gate: it has the lock.
func (s *scene) holder() int {
	s.t.Helper()
	found := -1
	eventually(s.t, "a process has the lock", func() bool {
		found = slices.IndexFunc(s.crowd, func(p *process) bool { return len(p.gate) > 0 })
		return found >= 0
	})
	<-s.crowd[found].gate
	return found
}

// race has all processes call the API after an expiry, with a gate before the spend. It
// returns which of them has the lock.
func (s *scene) race() int {
	s.t.Helper()
	s.all(guardWord)
	s.expire()
	for _, p := range s.crowd {
		p.tell(callWord)
	}
	return s.holder()
}

// open opens the gate to all but one process, also to those who come later.
func (s *scene) open(but int) {
	for i, p := range s.crowd {
		if i != but {
			p.tell(goOn)
		}
	}
}

// served waits for the answers of all but one process, who must have been served.
func (s *scene) served(but int) {
	s.t.Helper()
	for i, p := range s.crowd {
		if i == but {
			continue
		}
		if err := p.answer(); err != nil {
			s.t.Errorf("process %d was not served: %v", i, err)
		}
	}
}

// audit checks what all this cost.
func (s *scene) audit(expiries int) {
	s.t.Helper()
	if n := len(s.auth.Spends()); n != expiries {
		s.t.Errorf("%d expiries cost %d spends", expiries, n)
	}
	if mistakes := s.auth.Audit(); len(mistakes) > 0 {
		s.t.Errorf("mistakes: %v", mistakes)
	}
	if s.auth.Sessions(oauthtest.DefaultUser) != 1 {
		s.t.Error("the session was lost")
	}
}

func TestACrowdSpendsOncePerExpiry(t *testing.T) {
	const processes, expiries = 16, 20
	s := newScene(t, redisstore.DefaultLeaseTime, processes)
	for range expiries {
		s.expire()
		s.all(callWord)
	}
	s.audit(expiries)
}

// F16: whoever has the lock is killed, after it has announced the spend. The lease
// ends, and the next one does it.
func TestF16_ACrowdWhoseHolderIsKilled(t *testing.T) {
	const rounds = 4
	s := newScene(t, short.LeaseTime, 16)
	for range rounds {
		dead := s.race()
		s.crowd[dead].Kill()
		s.open(dead)
		s.served(dead)
		s.crowd[dead] = startWorker(t, s.cfg)
		s.crowd[dead].tell(openWord)
		if err := s.crowd[dead].answer(); err != nil {
			t.Fatalf("a new process: %v", err)
		}
	}
	s.audit(rounds)
}

// Whoever has the lock is stopped before it spends, and wakes up when its lease is over
// and another has renewed. It spends nothing, and adopts.
func TestACrowdWhoseHolderSleepsBeyondItsLease(t *testing.T) {
	const rounds = 4
	s := newScene(t, short.LeaseTime, 16)
	for range rounds {
		asleep := s.race()
		s.crowd[asleep].signal(sigStop)
		s.open(asleep) // not to the sleeper, whose stop may take the kernel a moment
		s.served(asleep)
		s.crowd[asleep].signal(sigCont)
		s.crowd[asleep].tell(goOn)
		// It may be told to try again, as its lease is lost: then it does.
		if err := s.crowd[asleep].answer(); err != nil {
			s.crowd[asleep].tell(callWord)
			if err := s.crowd[asleep].answer(); err != nil {
				t.Errorf("the one that slept was not served: %v", err)
			}
		}
	}
	s.audit(rounds)
}
