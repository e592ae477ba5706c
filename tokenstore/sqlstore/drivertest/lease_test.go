package drivertest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/evertoken/evertoken/tokenstore"
)

// Whoever sees a session sees its lock, and nobody else does.
func TestF13_LockIsWhereTheSessionIs(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		s, same := p.store(t), p.store(t)
		apart := p
		apart.Table = newTable()
		migrate(t, apart)
		mustSet(t, s, "default", &tokenstore.Record{Tokens: newPair("a")})
		lease := mustLock(t, s, "default")
		defer lease.Unlock()
		mustGet(t, same, "default")
		wantLocked(t, same)
		other := apart.store(t)
		if _, err := other.Get(t.Context(), "default"); !errors.Is(err, tokenstore.ErrNotFound) {
			t.Errorf("another table has the session: %v", err)
		}
		_ = mustLock(t, other, "default").Unlock()
	})
}

// The call takes three times as long as the lease. It is renewed meanwhile.
func TestF14_LeaseShorterThanTheCall(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		for p.LeaseTime = time.Second; !outlasted(t, p); p.LeaseTime *= 2 {
			if p.LeaseTime > 16*time.Second {
				t.Fatal("no lease is renewed")
			}
		}
	})
}

// outlasted holds the lock for three times as long as a lease. It returns false if the lease
// was lost, as it may be where the machine is too busy to renew it in time: before anybody
// else has the lock.
func outlasted(t *testing.T, p place) bool {
	t.Helper()
	s, other := p.store(t), p.store(t)
	lease := mustLock(t, s, "default")
	end := func() int64 { return p.number(t, `SELECT until FROM "%s_leases"`) }
	for first := end(); end() < first+3*p.LeaseTime.Milliseconds(); {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		next, err := other.Lock(ctx, "default")
		cancel()
		lost := errors.Is(lease.Err(), tokenstore.ErrLeaseLost)
		if err == nil {
			_ = next.Unlock()
			if !lost {
				t.Fatal("two hold the lock at once")
			}
		}
		if lost {
			_ = lease.Unlock()
			return false
		}
	}
	if err := lease.Unlock(); err != nil {
		t.Error(err)
	}
	return true
}

func TestF15_F16_LockOfAnotherProcessIsRespectedUntilItDies(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		p.LeaseTime = longLease
		s, holder := p.store(t), startHelper(t, "hold", p, "")
		holder.wants(t, "held")
		wantLocked(t, s)
		if n, err := s.Cleanup(t.Context()); n != 0 || err != nil {
			t.Errorf("Cleanup: %d, %v", n, err)
		}
		holder.Kill()
		// All of the lease but a second has passed.
		p.exec(t, fmt.Sprintf(`UPDATE "%%s_leases" SET until = until - %d`, (longLease-time.Second).Milliseconds()))
		begun := time.Now()
		if err := mustLock(t, s, "default").Unlock(); err != nil {
			t.Error(err)
		}
		t.Logf("taken over after %v", time.Since(begun).Round(time.Millisecond))
	})
}

// Somebody else has the lock, whatever the holder believes.
func TestF18_HolderWhoLostItsLeaseLeavesTheNextOneAlone(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		p.LeaseTime = time.Second
		s := p.store(t)
		lease := mustLock(t, s, "default")
		p.exec(t, `UPDATE "%s_leases" SET owner = 'another', until = until + 60000`)
		await(t, "the loss of the lease", func() bool { return errors.Is(lease.Err(), tokenstore.ErrLeaseLost) })
		if err := lease.Unlock(); err != nil {
			t.Error(err)
		}
		wantLocked(t, s)
	})
}

// A holder that was stopped for too long, and does not know it. Whoever took over has
// announced a spend; neither the older holder's announcement nor its pair gets in.
func TestF12_F19_HolderWithoutItsLockCannotSave(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		p.LeaseTime = longLease
		stopped, next := p.store(t), p.store(t)
		mustSet(t, stopped, "default", &tokenstore.Record{Tokens: newPair("a")})
		lost := mustLock(t, stopped, "default")
		late := mustGet(t, stopped, "default")
		p.exec(t, `UPDATE "%s_leases" SET until = 1`) // it has ended by the database's clock

		lease := mustLock(t, next, "default")
		rec := mustGet(t, next, "default")
		rec.Pending = &tokenstore.Mark{Token: tokenstore.Fingerprint(rec.Tokens.RefreshToken), At: time.Now()}
		version := mustSet(t, next, "default", rec)

		late.Tokens = newPair("late")
		if _, err := stopped.Set(t.Context(), "default", late); !errors.Is(err, tokenstore.ErrConflict) {
			t.Errorf("the holder of before saves: %v; want %v", err, tokenstore.ErrConflict)
		}
		if err := stopped.Delete(t.Context(), "default", late.Version); !errors.Is(err, tokenstore.ErrConflict) {
			t.Errorf("the holder of before deletes: %v; want %v", err, tokenstore.ErrConflict)
		}
		if got := mustGet(t, next, "default"); got.Version != version || got.Tokens.AccessToken != "access-a" {
			t.Errorf("the record is %v", got)
		}
		if err := lost.Unlock(); err != nil {
			t.Error(err)
		}
		wantLocked(t, p.store(t))
		if err := errors.Join(lease.Err(), lease.Unlock()); err != nil {
			t.Error(err)
		}
	})
}

// What another program has written as the end of a lock, and what a holder has left whose
// clock was hours ahead, keeps no process from the lock and does not stay in the table. The lock
// of a process whose LeaseTime is longer than ours is respected.
func TestALeaseWhoseEndIsFarIsFree(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		in := func(d time.Duration) string { return fmt.Sprint(time.Now().Add(d).UnixMilli()) }
		far := []string{"9223372036854775807", in(3 * time.Hour)}
		if p.Driver == "sqlite" {
			far = append(far, "'abc'", "''", "x'ff'", "1e300", "9e999")
		}
		p.LeaseTime = time.Minute
		s := p.store(t)
		rec := &tokenstore.Record{Tokens: newPair("a")}
		rec.Version = mustSet(t, s, "default", rec)
		plant := func(until string) {
			t.Helper()
			p.exec(t, `DELETE FROM "%s_leases"`)
			p.exec(t, `INSERT INTO "%s_leases" (name, owner, until) VALUES ('default', 'gone', `+until+`)`)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		for _, until := range far {
			plant(until)
			if lease, err := s.Lock(ctx, "default"); err != nil {
				t.Fatalf("until %s: Lock: %v", until, err)
			} else if err := errors.Join(lease.Err(), lease.Unlock()); err != nil {
				t.Errorf("until %s: %v", until, err)
			}
			plant(until)
			switch spending, version, err := s.BeginSpend(ctx, s, "default", rec, false); {
			case errors.Is(err, errors.ErrUnsupported):
			case err != nil:
				t.Fatalf("until %s: BeginSpend: %v", until, err)
			default:
				rec.Version = version
				_ = spending.Unlock()
			}
			plant(until)
			if _, err := s.Cleanup(ctx); err != nil {
				t.Errorf("until %s: Cleanup: %v", until, err)
			}
			if n := p.number(t, `SELECT count(*) FROM "%s_leases"`); n != 0 {
				t.Errorf("until %s: Cleanup leaves it", until)
			}
		}
		p.LeaseTime = time.Second
		plant(in(2 * time.Minute))
		wantLocked(t, p.store(t))
	})
}
