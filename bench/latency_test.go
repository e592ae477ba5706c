package bench_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"
)

// What users of an API feel: how long its slowest requests take while tokens are renewed,
// and how soon callers go on after the authorization server was away.

// The requests below are sent at this rate, over HTTP and a real connection each.
const (
	every = 2 * time.Millisecond // 500 a second
	sent  = 5000                 // in ten seconds
)

// BenchmarkRequestsFast sends 500 requests a second for ten seconds with tokens that live
// for a second, at a token endpoint that takes 20 ms: ms of the slowest in a thousand, of
// the slowest of all, and how many came back with an error. The row of the floor has
// no authentication at all.
func BenchmarkRequestsFast(b *testing.B) {
	observeOf(b, requesters(), requests(20*time.Millisecond, time.Second))
}

// BenchmarkRequestsSlow does the same at a token endpoint that takes 1.2 s, with tokens
// that live for five.
func BenchmarkRequestsSlow(b *testing.B) {
	observeOf(b, requesters(), requests(1200*time.Millisecond, 5*time.Second))
}

// requesters are those who send requests side by side: few, so that they do not wait for
// each other's processor.
func requesters() []cache {
	list := slices.DeleteFunc(caches(), func(c cache) bool {
		return c.name != evertoken && c.name != xoauth2 && c.name != cloudAuth
	})
	return append(list, cache{floor, func(testing.TB, *authServer) caller {
		return func(context.Context) (string, error) { return firstGrant, nil }
	}})
}

// requests returns a scenario at a server that takes latency to answer, and whose tokens
// live for life.
func requests(latency, life time.Duration) scenario {
	return func(tb testing.TB, c cache) report {
		api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "" {
				w.WriteHeader(http.StatusUnauthorized)
			}
		}))
		defer api.Close()
		s := &authServer{latency: latency, life: life}
		get := c.open(tb, s)
		client := &http.Client{Transport: &carrier{get, &http.Transport{MaxIdleConnsPerHost: 1024}}}
		defer client.CloseIdleConnections()
		if took, err := request(client, api.URL); err != nil {
			tb.Errorf("%s: the first request, after %v: %v", c.name, took, err)
		}
		return sendAll(client, api.URL)
	}
}

// sendAll sends one request after the other, and does not wait for any of them.
func sendAll(client *http.Client, address string) report {
	took, failed := make([]time.Duration, sent), make([]bool, sent)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var wg sync.WaitGroup
	for i := range sent {
		<-ticker.C
		wg.Go(func() {
			var err error
			took[i], err = request(client, address)
			failed[i] = err != nil
		})
	}
	wg.Wait()
	errs := 0
	for _, f := range failed {
		if f {
			errs++
		}
	}
	return report{"p99.9-ms": millis(part(took, 0.999)), "max-ms": millis(part(took, 1)), "errors": float64(errs)}
}

// part returns the time within which a part of the calls was done. It sorts them.
func part(took []time.Duration, of float64) time.Duration {
	slices.Sort(took)
	return took[min(len(took)-1, int(of*float64(len(took))))]
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func request(client *http.Client, address string) (took time.Duration, err error) {
	begun := time.Now()
	resp, err := client.Get(address)
	if err == nil {
		err = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			err = errors.New("bench: " + resp.Status)
		}
	}
	return time.Since(begun), err
}

// A carrier sends requests with a token; it is as thin for one library as for another.
type carrier struct {
	get  caller
	base *http.Transport
}

func (c *carrier) RoundTrip(req *http.Request) (*http.Response, error) {
	token, err := c.get(req.Context())
	if err != nil {
		return nil, err
	}
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+token)
	return c.base.RoundTrip(req)
}

func (c *carrier) CloseIdleConnections() { c.base.CloseIdleConnections() }

// BenchmarkRecovery has 64 callers without a living token wait while the server answers 503
// for twenty seconds. A caller that is told of an error asks again after 100 ms, as a
// program would. Told are the ms from the server's return in which nine of ten callers
// and all of them have a token, and how many requests the server got while it was away.
func BenchmarkRecovery(b *testing.B) { observe(b, recovery) }

func recovery(tb testing.TB, c cache) report {
	const down = 20 * time.Second
	s := &authServer{latency: 5 * time.Millisecond, life: time.Hour, used: time.Hour,
		trouble: func(since time.Duration) (int, time.Duration) {
			if since < down {
				return 503, 0
			}
			return 0, 0
		}}
	get := c.open(tb, s)
	_, _ = get(context.Background()) // a token that is dead when it is there; msal's callers get it
	s.mu.Lock()
	back := s.began.Add(down)
	s.mu.Unlock()
	took := make([]time.Duration, crowdSize)
	var wg sync.WaitGroup
	for i := range took {
		wg.Go(func() {
			for {
				token, err := get(context.Background())
				if err == nil && token != firstGrant {
					took[i] = time.Since(back)
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
		})
	}
	wg.Wait()
	return report{"p90-ms": millis(part(took, 0.9)), "max-ms": millis(part(took, 1)), "requests": float64(s.arrived(0, down))}
}
