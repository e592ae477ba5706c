// Package pending holds logins under way: what a person still has to decide, and
// what a client still has to redeem.
package pending

import (
	"sync"
	"time"

	"github.com/evertoken/evertoken/internal/authserver/secret"
)

// memory is how long something dead is remembered, to notice that it is used again.
const memory = time.Hour

// tidyInterval is how often what is dead longer than that is dropped.
const tidyInterval = time.Minute

// A shelf keeps things by the hash of a secret.
type shelf[T any] struct {
	now     func() time.Time
	expires func(*T) time.Time

	mu     sync.Mutex // guards what follows, and the things
	kept   map[string]*T
	tidied time.Time
}

func newShelf[T any](now func() time.Time, expires func(*T) time.Time) shelf[T] {
	return shelf[T]{now: now, expires: expires, kept: make(map[string]*T)}
}

// put keeps a thing under a secret.
func (s *shelf[T]) put(key string, thing *T) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept[secret.Hash(key)] = thing
	if now.Sub(s.tidied) < tidyInterval {
		return
	}
	s.tidied = now
	for hash, old := range s.kept {
		if now.After(s.expires(old).Add(memory)) {
			delete(s.kept, hash)
		}
	}
}

// foundLocked returns what is kept under a secret, or nil.
func (s *shelf[T]) foundLocked(key string) *T { return s.kept[secret.Hash(key)] }
