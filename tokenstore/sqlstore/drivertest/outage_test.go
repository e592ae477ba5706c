//go:build real && linux

package drivertest

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/faultproxy"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/sqlstore"
)

// wantUnavailable requires that every method says that the database is away, and none
// that the lock is busy or the session gone. Each has the given time.
func wantUnavailable(t *testing.T, s *sqlstore.Store, wait time.Duration) {
	t.Helper()
	for what, call := range map[string]func(context.Context) error{
		"Get": func(ctx context.Context) error { _, err := s.Get(ctx, "default"); return err },
		"Set": func(ctx context.Context) error {
			_, err := s.Set(ctx, "new", &tokenstore.Record{Tokens: newPair("a")})
			return err
		},
		"Delete":  func(ctx context.Context) error { return s.Delete(ctx, "default", 1) },
		"Stamp":   func(ctx context.Context) error { _, err := s.Stamp(ctx, "default"); return err },
		"Lock":    func(ctx context.Context) error { _, err := s.Lock(ctx, "new"); return err },
		"Names":   func(ctx context.Context) error { _, err := s.Names(ctx); return err },
		"Records": func(ctx context.Context) error { _, err := s.Records(ctx); return err },
		"Pages": func(ctx context.Context) (err error) {
			for _, err = range s.Pages(ctx, 1) {
			}
			return err
		},
		"Count":   func(ctx context.Context) error { _, err := s.Count(ctx); return err },
		"Cleanup": func(ctx context.Context) error { _, err := s.Cleanup(ctx); return err },
		"Migrate": s.Migrate,
	} {
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		err := call(ctx)
		cancel()
		if !errors.Is(err, tokenstore.ErrUnavailable) {
			t.Errorf("%s: %v; want %v", what, err, tokenstore.ErrUnavailable)
		}
		for _, wrong := range []error{tokenstore.ErrLocked, tokenstore.ErrNotFound, tokenstore.ErrConflict, tokenstore.ErrLeaseLost, tokenstore.ErrDamaged} {
			if errors.Is(err, wrong) {
				t.Errorf("%s: %v is taken for %v", what, err, wrong)
			}
		}
	}
}

// The server crashes while a lock is held, and is started again before the lease has
// ended: nobody takes the lock meanwhile, and its holder saves.
func TestF17_ServerCrashesAndIsRestarted(t *testing.T) {
	server := startPostgres(t)
	p := server.newPlace(t)
	p.LeaseTime = longLease
	migrate(t, p)
	s, other := p.store(t), p.store(t)
	rec := &tokenstore.Record{Tokens: newPair("a")}
	rec.Version = mustSet(t, s, "default", rec)
	lease := mustLock(t, s, "default")
	server.kill()
	wantUnavailable(t, s, patience)
	server.start()
	wantLocked(t, other)
	if err := lease.Err(); err != nil {
		t.Errorf("the lease after a restart: %v", err)
	}
	rec.Tokens = newPair("b")
	mustSet(t, s, "default", rec)
	if got := mustGet(t, other, "default"); got.Tokens.AccessToken != "access-b" {
		t.Errorf("saved is %v", got)
	}
	if err := lease.Unlock(); err != nil {
		t.Error(err)
	}
	if err := mustLock(t, other, "default").Unlock(); err != nil {
		t.Error(err)
	}
}

// A server that is stopped takes connections and says nothing.
func TestF17_ServerIsStopped(t *testing.T) {
	server := startPostgres(t)
	p := server.newPlace(t)
	p.LeaseTime = time.Second
	migrate(t, p)
	s := p.store(t)
	rec := &tokenstore.Record{Tokens: newPair("a")}
	mustSet(t, s, "default", rec)
	lease := mustLock(t, s, "default")
	server.signal(syscall.SIGSTOP)
	wantUnavailable(t, s, 300*time.Millisecond)
	await(t, "the loss of the lease", func() bool { return errors.Is(lease.Err(), tokenstore.ErrLeaseLost) })
	server.signal(syscall.SIGCONT)
	if err := lease.Unlock(); err != nil {
		t.Error(err)
	}
	mustGet(t, s, "default")
	if err := mustLock(t, s, "default").Unlock(); err != nil {
		t.Error(err)
	}
}

// A host is cut off while it holds the lock. It counts the lease as lost before
// anybody else has it, and what it does when it is back changes nothing.
func TestF12_F18_F19_HolderIsCutOff(t *testing.T) {
	server := startPostgres(t)
	p := server.newPlace(t)
	p.LeaseTime = time.Second
	migrate(t, p)
	far, proxy := server.behindProxy(p)
	p.LeaseTime = longLease
	away, near := far.store(t), p.store(t)
	mustSet(t, away, "default", &tokenstore.Record{Tokens: newPair("a")})
	lost := mustLock(t, away, "default")
	late := mustGet(t, away, "default")

	proxy.Hold()
	lease := mustLock(t, near, "default")
	if err := lost.Err(); !errors.Is(err, tokenstore.ErrLeaseLost) {
		t.Errorf("two hold the lock at once: %v", err)
	}
	rec := mustGet(t, near, "default")
	rec.Tokens = newPair("b")
	mustSet(t, near, "default", rec)
	proxy.Resume()

	late.Tokens = newPair("late")
	if _, err := away.Set(t.Context(), "default", late); !errors.Is(err, tokenstore.ErrConflict) {
		t.Errorf("who was cut off saves: %v; want %v", err, tokenstore.ErrConflict)
	}
	if err := lost.Unlock(); err != nil {
		t.Error(err)
	}
	wantLocked(t, p.store(t))
	if err := errors.Join(lease.Err(), lease.Unlock()); err != nil {
		t.Error(err)
	}
	if got := mustGet(t, away, "default"); got.Tokens.AccessToken != "access-b" {
		t.Errorf("saved is %v", got)
	}
}

// The connection breaks around a Set. Nothing is known then; and whoever tries again
// finds either that it was saved or that it was not, and never half of it.
func TestConnectionBreaksAroundASet(t *testing.T) {
	server := startPostgres(t)
	for name, tt := range map[string]struct {
		at    faultproxy.Point
		saved bool
	}{
		"before the request": {faultproxy.BeforeRequest, false},
		"amid the request":   {faultproxy.MidRequest, false},
		"before the answer":  {faultproxy.BeforeAnswer, true},
		"amid the answer":    {faultproxy.MidAnswer, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := server.newPlace(t)
			migrate(t, p)
			far, proxy := server.behindProxy(p)
			s := far.store(t)
			rec := &tokenstore.Record{Tokens: newPair("a")}
			rec.Version = mustSet(t, s, "default", rec)
			rec.Tokens = newPair("b")
			fired := proxy.Arm(faultproxy.Fault{Match: "access-b", At: tt.at})
			_, err := s.Set(t.Context(), "default", rec)
			<-fired
			if !errors.Is(err, tokenstore.ErrUnavailable) || errors.Is(err, tokenstore.ErrConflict) {
				t.Errorf("%v; want %v", err, tokenstore.ErrUnavailable)
			}
			_, err = s.Set(t.Context(), "default", rec)
			if errors.Is(err, tokenstore.ErrConflict) != tt.saved || err != nil && !tt.saved {
				t.Errorf("the second time: %v", err)
			}
			if got := mustGet(t, s, "default"); got.Tokens.AccessToken != "access-b" {
				t.Errorf("saved is %v", got)
			}
		})
	}
}

// The lock was taken, and the answer lost: it is nobody's, and ends by itself.
func TestF16_AnswerToALockIsLost(t *testing.T) {
	server := startPostgres(t)
	p := server.newPlace(t)
	p.LeaseTime = time.Second
	migrate(t, p)
	far, proxy := server.behindProxy(p)
	s := far.store(t)
	if err := mustLock(t, s, "default").Unlock(); err != nil { // the connection is up
		t.Error(err)
	}
	fired := proxy.Arm(faultproxy.Fault{Match: "answer-lost", At: faultproxy.BeforeAnswer})
	_, err := s.Lock(t.Context(), "answer-lost")
	<-fired
	if !errors.Is(err, tokenstore.ErrUnavailable) {
		t.Errorf("%v; want %v", err, tokenstore.ErrUnavailable)
	}
	if n := p.number(t, `SELECT count(*) FROM "%s_leases"`); n != 1 {
		t.Errorf("%d leases; want the one whose owner is not told", n)
	}
	if err := mustLock(t, s, "answer-lost").Unlock(); err != nil {
		t.Error(err)
	}
}

// An outage ends and nobody has to do anything.
func TestCrowdGoesOnAfterACrashOfTheServer(t *testing.T) {
	server := startPostgres(t)
	p := server.newPlace(t)
	migrate(t, p)
	c := newCrowd(t, p)
	for i := range 3 {
		server.kill()
		server.start()
		c.expire()
		c.done(i + 1)
	}
	c.audit()
}
