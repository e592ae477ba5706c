package refresh_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// An API that refuses many requests in words that can mean anything has the Store asked by all
// who wait at once, and not by one after the other.
func TestRefusedRequestsShareTheirLookAtTheStore(t *testing.T) {
	for _, took := range []time.Duration{5 * time.Millisecond, 50 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			s := newFaultyStore()
			f := newFixture(t, oauthtest.Config{}, s.use).start(t)
			time.Sleep(time.Minute)
			var reads atomic.Int64
			s.edit(func(s *faultyStore) {
				s.onGet = func(context.Context) error { reads.Add(1); time.Sleep(took); return nil }
			})
			client := &http.Client{Transport: f.Transport(answering(http.StatusBadRequest))}
			var mu sync.Mutex
			var all []time.Duration
			var calls sync.WaitGroup
			begun := time.Now()
			for range 3000 { // 250 a second
				calls.Go(func() {
					begun := time.Now()
					if status := get(t, client, "https://api.example.com/"); status != http.StatusBadRequest {
						t.Errorf("HTTP %d", status)
					}
					mu.Lock()
					defer mu.Unlock()
					all = append(all, time.Since(begun))
				})
				time.Sleep(4 * time.Millisecond)
			}
			calls.Wait()
			if longest := slices.Max(all); longest > 2*took {
				t.Errorf("a Store that takes %v held an answer up for %v", took, longest)
			}
			if n := reads.Load(); n > int64(time.Since(begun)/took)+1 {
				t.Errorf("%d reads in %v", n, time.Since(begun))
			}
			f.clean(t)
		})
	}
}

// A caller who leaves while it looks for all ends its own wait alone.
func TestARefusedRequestThatIsGivenUpKeepsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFaultyStore()
		f := newFixture(t, oauthtest.Config{}, s.use).start(t)
		time.Sleep(time.Minute)
		s.edit(func(s *faultyStore) {
			s.onGet = func(ctx context.Context) error {
				select {
				case <-time.After(time.Second):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		})
		client := &http.Client{Transport: f.Transport(answering(http.StatusBadRequest))}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		var calls sync.WaitGroup
		call := func(ctx context.Context, within time.Duration) {
			calls.Go(func() {
				begun := time.Now()
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://api.example.com/", nil)
				if err != nil {
					t.Error(err)
					return
				}
				if resp, err := client.Do(req); err == nil {
					_ = resp.Body.Close()
				}
				if took := time.Since(begun); took > within {
					t.Errorf("a call took %v; want %v at most", took, within)
				}
			})
		}
		call(ctx, 100*time.Millisecond)
		synctest.Wait()
		for range 5 {
			call(t.Context(), 2200*time.Millisecond)
		}
		calls.Wait()
		f.clean(t)
	})
}
