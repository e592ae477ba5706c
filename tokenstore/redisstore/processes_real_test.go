//go:build real && unix

package redisstore_test

import (
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

func newScene(t *testing.T, processes int) *scene {
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
		Redis:    server.addr,
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

// race has a new process call the API after an expiry, and then, when that has the lock and
// stands at the gate before the spend, all others. It returns the first one. Only its lease is
// short: that of another, which a busy machine does not renew in time, would end too.
func (s *scene) race() *process {
	s.t.Helper()
	cfg := s.cfg
	cfg.Lease = short.LeaseTime
	holder := startWorker(s.t, cfg)
	for _, word := range []string{openWord, guardWord} {
		holder.tell(word)
		if err := holder.answer(); err != nil {
			s.t.Fatalf("a new process: %s: %v", word, err)
		}
	}
	s.expire()
	holder.tell(callWord)
	select {
	case <-holder.gate:
	case line := <-holder.said:
		s.t.Fatalf("a process gets no lock: %s", line)
	case <-time.After(patience):
		s.t.Fatal("a process gets no lock")
	}
	for _, p := range s.crowd {
		p.tell(callWord)
	}
	return holder
}

// served waits for the answers of the crowd, which must have been served.
func (s *scene) served() {
	s.t.Helper()
	for i, p := range s.crowd {
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
	s := newScene(t, processes)
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
	s := newScene(t, 16)
	for range rounds {
		s.race().Kill()
		late := startWorker(t, s.cfg)
		late.tell(openWord)
		if err := late.answer(); err != nil {
			t.Fatalf("a new process: %v", err)
		}
		s.served()
	}
	s.audit(rounds)
}

// Whoever has the lock is stopped before it spends, and wakes up when its lease is over
// and another has renewed. It spends nothing, and adopts.
func TestACrowdWhoseHolderSleepsBeyondItsLease(t *testing.T) {
	const rounds = 4
	s := newScene(t, 16)
	for range rounds {
		asleep := s.race()
		asleep.signal(sigStop)
		s.served()
		asleep.signal(sigCont)
		asleep.tell(goOn)
		// It may be told to try again, as its lease is lost: then it does.
		if err := asleep.answer(); err != nil {
			asleep.tell(callWord)
			if err := asleep.answer(); err != nil {
				t.Errorf("the one that slept was not served: %v", err)
			}
		}
		asleep.Kill()
	}
	s.audit(rounds)
}
