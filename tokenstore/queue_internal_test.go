package tokenstore

import (
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
)

// A turn can come in the very moment in which its waiter gives up.
func TestTurnThatComesTooLateIsPassedOn(t *testing.T) {
	for _, others := range []int{0, 1} {
		q := new(queue)
		if !q.tryLock("k") {
			t.Fatal("a new queue holds a lock")
		}
		turn := make(chan struct{})
		q.held["k"].waiters = append(q.held["k"].waiters, turn)
		next := make(chan struct{})
		if others == 1 {
			q.held["k"].waiters = append(q.held["k"].waiters, next)
		}
		q.unlock("k")      // it is its turn now,
		q.leave("k", turn) // but it is leaving
		if others == 1 {
			select {
			case <-next:
			default:
				t.Error("the next in line did not get the turn")
			}
			q.unlock("k")
		}
		if !q.tryLock("k") {
			t.Errorf("the lock is held by nobody, with %d others in line", others)
		}
	}
}

// A session may be renewed while Cleanup takes its lock.
func TestCleanupLooksAgainUnderTheLock(t *testing.T) {
	m := new(Memory)
	rec := &Record{Tokens: &oauth.TokenPair{AccessToken: "a", ExpiresAt: time.Unix(1, 0)}}
	version, err := m.Set(t.Context(), "default", rec)
	if err != nil {
		t.Fatal(err)
	}
	n, err := cleanup(t.Context(), m, []string{"default", "never there"}, func(name string) (Lease, error) {
		renewed := &Record{Tokens: &oauth.TokenPair{AccessToken: "b"}, Version: version}
		if _, err := m.Set(t.Context(), name, renewed); err != nil {
			return nil, err
		}
		return m.Lock(t.Context(), name)
	})
	if n != 0 || err != nil {
		t.Errorf("cleanup of a renewed session: %d, %v; want 0", n, err)
	}
	if _, err := m.Get(t.Context(), "default"); err != nil {
		t.Errorf("the renewed session is gone: %v", err)
	}
}
