// Package teststore has what the tests of several stores do with a store.
package teststore

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/evertoken/evertoken/tokenstore"
)

// Set saves rec, and returns its version.
func Set(t testing.TB, s tokenstore.Store, name string, rec *tokenstore.Record) uint64 {
	t.Helper()
	version, err := s.Set(t.Context(), name, rec)
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// Get returns the record that is saved.
func Get(t testing.TB, s tokenstore.Store, name string) *tokenstore.Record {
	t.Helper()
	rec, err := s.Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// patience is how long anything may take before a test gives up: far longer than the
// slowest machine needs.
const patience = 2 * time.Minute

// Lock takes the lock of a session.
func Lock(t testing.TB, s tokenstore.Locker, name string) tokenstore.Lease {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	lease, err := s.Lock(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	return lease
}

// WantLocked requires that the lock of a session is busy, and nothing worse. A server that is
// busy itself has more time to say so.
func WantLocked(t testing.TB, s tokenstore.Locker, name string) {
	t.Helper()
	err := tokenstore.ErrUnavailable
	for wait := 200 * time.Millisecond; errors.Is(err, tokenstore.ErrUnavailable) && wait < patience; wait *= 2 {
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		var lease tokenstore.Lease
		if lease, err = s.Lock(ctx, name); err == nil {
			_ = lease.Unlock()
		}
		cancel()
	}
	if !errors.Is(err, tokenstore.ErrLocked) || errors.Is(err, tokenstore.ErrUnavailable) {
		t.Errorf("Lock: %v; want %v", err, tokenstore.ErrLocked)
	}
}

// Await waits for what another process, or a server, does.
func Await(t testing.TB, what string, done func() bool) {
	t.Helper()
	for begun := time.Now(); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > patience {
			t.Fatalf("gave up waiting: %s", what)
		}
	}
}

// CountUp adds one to the number that a record carries as RefreshedBy. Updates that
// overtake each other unnoticed are missing from it.
func CountUp(ctx context.Context, s tokenstore.Store, name string) error {
	rec, err := s.Get(ctx, name)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(rec.RefreshedBy)
	if err != nil {
		return err
	}
	rec.RefreshedBy = strconv.Itoa(n + 1)
	_, err = s.Set(ctx, name, rec)
	return err
}

// CountLocked does so n times, each under the session's lock. A conflict is an
// error: under the lock no other writer may save.
func CountLocked(ctx context.Context, s interface {
	tokenstore.Store
	tokenstore.Locker
}, name string, n int) error {
	for range n {
		lease, err := s.Lock(ctx, name)
		if err != nil {
			return err
		}
		if err := CountUp(ctx, s, name); err != nil {
			return err
		}
		if err := lease.Unlock(); err != nil {
			return err
		}
	}
	return nil
}
