package demo

import (
	"context"
	"fmt"
	"sync"

	"github.com/evertoken/evertoken/tokenstore"
)

// A demoStore is a file store that counts the pairs it has saved, and whose disk
// can be made full.
type demoStore struct {
	*tokenstore.File

	mu      sync.Mutex // guards what follows; never held across I/O
	failure error
	last    string // fingerprint of the refresh token saved last
	saved   int
}

func newDemoStore(dir string) (*demoStore, error) {
	file, err := tokenstore.NewFile(dir)
	if err != nil {
		return nil, err
	}
	return &demoStore{File: file}, nil
}

// Set implements tokenstore.Store. A full disk is met by new pairs only: one that
// is full before the refresh token is spent does no harm.
func (s *demoStore) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	fingerprint := tokenstore.Fingerprint(rec.Tokens.RefreshToken)
	s.mu.Lock()
	failure, isNew := s.failure, fingerprint != s.last
	s.mu.Unlock()
	if isNew && failure != nil {
		return 0, fmt.Errorf("save session %q: %w", name, failure)
	}
	version, err := s.File.Set(ctx, name, rec)
	if err == nil && isNew {
		s.mu.Lock()
		s.last, s.saved = fingerprint, s.saved+1
		s.mu.Unlock()
	}
	return version, err
}

// fail makes saving fail with err, or work again with nil.
func (s *demoStore) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = err
}

func (s *demoStore) saves() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saved
}
