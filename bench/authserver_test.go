package bench_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// An authServer is a token endpoint for the timed scenarios. It is a function and
// no HTTP server, since expires_in has whole seconds, and the scenarios' tokens
// live for milliseconds. Like every server it answers after a while, and a caller
// that gives up does not take the request back.
type authServer struct {
	latency time.Duration
	life    time.Duration
	// used is how much of the first token's life is over when it is handed out.
	used time.Duration
	// trouble, if set, is the answer to a request that arrives this long after the
	// first token was handed out: an HTTP status, and what Retry-After says.
	trouble func(since time.Duration) (status int, retryAfter time.Duration)

	mu       sync.Mutex
	began    time.Time   // when the first token was handed out
	requests []time.Time // when they arrived
	under    int         // requests that are not answered yet
	overlaps int         // requests that arrived during another one
}

// lead is how long before a token's end the contenders are told to renew it. It
// is what evertoken does by itself with tokens that live for less than a quarter
// of an hour.
func (s *authServer) lead() time.Duration { return s.life / 3 }

// A grant is what a request brings.
type grant struct {
	token           string
	issued, expires time.Time
}

// firstGrant is the token of an authServer's first answer.
const firstGrant = "token 1"

// A refusal is the error of a request that brought nothing.
type refusal struct {
	status  int
	retryAt time.Time // zero: the server did not say
}

func (r *refusal) Error() string { return "bench: " + http.StatusText(r.status) }

func (s *authServer) grant(ctx context.Context) (grant, error) {
	n, refused := s.arrive()
	defer s.leave()
	answer := time.NewTimer(s.latency)
	defer answer.Stop()
	select {
	case <-answer.C:
	case <-ctx.Done():
		return grant{}, ctx.Err()
	}
	if refused != nil {
		return grant{}, refused
	}
	now := time.Now()
	g := grant{token: fmt.Sprintf("token %d", n), issued: now, expires: now.Add(s.life)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.began.IsZero() {
		s.began = now
		g.issued, g.expires = now.Add(-s.used), g.expires.Add(-s.used)
	}
	return g, nil
}

func (s *authServer) arrive() (n int, refused *refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.requests = append(s.requests, now)
	if s.under++; s.under > 1 {
		s.overlaps++
	}
	if s.trouble == nil || s.began.IsZero() {
		return len(s.requests), nil
	}
	if status, after := s.trouble(now.Sub(s.began)); status != 0 {
		refused = &refusal{status: status}
		if after > 0 {
			refused.retryAt = now.Add(after)
		}
	}
	return len(s.requests), refused
}

func (s *authServer) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.under--
}

// arrived returns how many requests came between two times after the first token
// was handed out.
func (s *authServer) arrived(from, to time.Duration) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, at := range s.requests {
		if since := at.Sub(s.began); since > from && since <= to {
			n++
		}
	}
	return n
}

func (s *authServer) overlapped() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.overlaps
}

// The scenarios are worth what the server counts.
func TestAuthServerCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &authServer{latency: time.Second, life: 9 * time.Second, used: 6 * time.Second,
			trouble: func(since time.Duration) (int, time.Duration) {
				if since < 10*time.Second {
					return 429, time.Minute
				}
				return 0, 0
			}}
		first, err := s.grant(t.Context())
		if err != nil || first.token != firstGrant || time.Until(first.expires) != 3*time.Second || first.expires.Sub(first.issued) != s.life {
			t.Fatalf("the first grant: %+v, %v; want 3 s left of 9", first, err)
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				_, err := s.grant(t.Context())
				if r := (*refusal)(nil); !errors.As(err, &r) || r.status != 429 || time.Until(r.retryAt) != 59*time.Second {
					t.Errorf("in trouble: %v; want 429 and a minute, a second ago", err)
				}
			})
		}
		wg.Wait()
		time.Sleep(10 * time.Second)
		if g, err := s.grant(t.Context()); err != nil || time.Until(g.expires) != s.life {
			t.Errorf("after the trouble: %+v, %v; want a whole life", g, err)
		}
		if s.overlapped() != 2 || s.arrived(-time.Hour, time.Hour) != 5 || s.arrived(time.Second, time.Hour) != 1 {
			t.Errorf("%d overlaps, %d requests, %d after the trouble; want 2, 5, 1",
				s.overlapped(), s.arrived(-time.Hour, time.Hour), s.arrived(time.Second, time.Hour))
		}
	})
}
