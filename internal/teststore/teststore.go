// Package teststore has what the tests of several stores do with a store.
package teststore

import (
	"context"
	"strconv"
	"testing"

	"github.com/evertoken/evertoken/tokenstore"
)

// Set saves rec, and returns its version.
func Set(t *testing.T, s tokenstore.Store, name string, rec *tokenstore.Record) uint64 {
	t.Helper()
	version, err := s.Set(t.Context(), name, rec)
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// Get returns the record that is saved.
func Get(t *testing.T, s tokenstore.Store, name string) *tokenstore.Record {
	t.Helper()
	rec, err := s.Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return rec
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
// error: under the lock nobody else may save.
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
