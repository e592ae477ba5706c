package oauthtest

import (
	"context"
	"fmt"
)

// Requests returns how many requests reached e, answered or not. AnyEndpoint
// counts all. Requests that a Down fault kept away are not counted.
func (s *Server) Requests(e Endpoint) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requestsLocked(e)
}

// AwaitRequests returns when at least n requests have reached e since the server
// began, or with ctx's error when ctx ends before that. Tests wait with it for
// what another goroutine or process is about to do, instead of sleeping.
func (s *Server) AwaitRequests(ctx context.Context, e Endpoint, n int) error {
	for {
		s.mu.Lock()
		got, arrived := s.requestsLocked(e), s.arrived
		s.mu.Unlock()
		if got >= n {
			return nil
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return fmt.Errorf("oauthtest: %d of %d requests reached %s: %w", got, n, e, context.Cause(ctx))
		}
	}
}

func (s *Server) requestsLocked(e Endpoint) int {
	if e != AnyEndpoint {
		return s.requests[e]
	}
	total := 0
	for _, n := range s.requests {
		total += n
	}
	return total
}

func (s *Server) count(e Endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[e]++
	close(s.arrived)
	s.arrived = make(chan struct{})
}

// Refreshes returns how many refresh grants the server carried out, whether or
// not the answers arrived.
func (s *Server) Refreshes() int { return s.engine.Sessions.Refreshes() }

// Served returns how many requests the protected resource accepted.
func (s *Server) Served() int {
	served, _ := s.engine.Resource.Counts()
	return served
}

// Rejected returns how many requests the protected resource refused because of
// their token, not counting faults.
func (s *Server) Rejected() int {
	_, rejected := s.engine.Resource.Counts()
	return rejected
}
