// Package once remembers what may be used one time.
package once

import (
	"sync"
	"time"
)

// Leeway is how far ahead a client's clock may be, and so how long an ID is
// remembered after its end.
const Leeway = 10 * time.Second

// A Set remembers IDs for as long as they could be used. The zero value is empty.
// It is safe for concurrent use.
type Set struct {
	mu    sync.Mutex // guards until
	until map[string]time.Time
}

// First reports whether id was not seen before, and remembers it.
func (s *Set) First(id string, until, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for old, end := range s.until {
		if now.After(end.Add(Leeway)) {
			delete(s.until, old)
		}
	}
	if _, seen := s.until[id]; seen {
		return false
	}
	if s.until == nil {
		s.until = make(map[string]time.Time)
	}
	s.until[id] = until
	return true
}
