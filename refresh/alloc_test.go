package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
)

// startLiving starts a manager whose token needs nothing for an hour.
func startLiving(t *testing.T, origins ...string) *refresh.Manager {
	t.Helper()
	m := refresh.NewManager(refresh.Config{
		AllowedOrigins: origins,
		OAuthClient: refresh.RefresherFunc(func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
			return nil, errors.New("nothing was to be refreshed")
		}),
	})
	now := time.Now()
	err := m.Start(context.Background(), &oauth.TokenPair{
		AccessToken: strings.Repeat("a", 800), RefreshToken: "r", IssuedAt: now, ExpiresAt: now.Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Stop)
	return m
}

func TestHandingOutALivingTokenAllocatesNothing(t *testing.T) {
	m, ctx := startLiving(t), t.Context()
	for name, read := range map[string]func() error{
		"Token":        func() error { _, err := m.Token(); return err },
		"TokenContext": func() error { _, err := m.TokenContext(ctx); return err },
	} {
		if n := allocations(t, read); n != 0 {
			t.Errorf("%s: %v allocations; want 0", name, n)
		}
	}
}

// A RoundTripper may not change the caller's request, so it needs a copy of its
// own: the request, and the header map, which is two objects when it is small
// and some more when its entries need a table.
func TestTransportAllocatesTheCopyOfTheRequestAndNothingElse(t *testing.T) {
	m := startLiving(t)
	transport := m.Transport(sink{&http.Response{StatusCode: http.StatusOK, Body: http.NoBody}})
	for headers, most := range map[int]float64{0: 3, 3: 3, 7: 3, 12: 6} {
		req, err := http.NewRequest(http.MethodGet, "https://api.test/v1/things", nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range headers {
			req.Header.Set(fmt.Sprintf("X-Header-%d", i), "value")
		}
		n := allocations(t, func() error { _, err := transport.RoundTrip(req); return err })
		if n > most {
			t.Errorf("a request with %d headers: %v allocations; want at most %v", headers, n, most)
		}
	}
}

// Where the token may go is decided without an allocation, and the copy is no
// larger than the least that could be correct. (A request to http://localhost is guarded, which
// costs some besides.)
func TestTransportAllocatesNoMoreThanTheLeastLegalCopy(t *testing.T) {
	origins := []string{"https://first.test", "https://api.long-enough-for-the-heap.test", "http://127.0.0.1:8080"}
	for _, tt := range []struct {
		url     string
		origins []string
	}{
		{"https://api.test/v1/things", nil},
		{"https://api.test:8443/v1/things", nil},
		{"http://127.0.0.1:8080/v1/things", nil},
		{"http://[::1]:8080/v1/things", nil},
		{"https://api.long-enough-for-the-heap.test/v1/things", origins},
		{"https://api.long-enough-for-the-heap.test:443/v1/things", origins},
		{"http://127.0.0.1:8080/v1/things", origins},
	} {
		answer := sink{&http.Response{StatusCode: http.StatusOK, Body: http.NoBody}}
		transport := startLiving(t, tt.origins...).Transport(answer)
		req, err := http.NewRequest(http.MethodGet, tt.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "application/json")
		copied := func() error { return leastCopy(answer, req, "Bearer a") }
		ours := func() error { _, err := transport.RoundTrip(req); return err }
		if got, want := allocations(t, ours), allocations(t, copied); got > want {
			t.Errorf("%s, allowed %v: %v allocations; want at most %v", tt.url, tt.origins, got, want)
		}
		if got, want := allocated(t, ours), allocated(t, copied); got > want {
			t.Errorf("%s, allowed %v: %d bytes; want at most %d", tt.url, tt.origins, got, want)
		}
	}
}

// leastCopy is the least that a RoundTripper must do to add a header whose value no other
// request shares. It is not inlined, so that base may keep the copy, for all the compiler
// knows.
//
//go:noinline
func leastCopy(base http.RoundTripper, req *http.Request, authorization string) error {
	c := &struct {
		http.Request
		value [1]string
	}{*req, [1]string{authorization}}
	c.Header = maps.Clone(req.Header)
	c.Header["Authorization"] = c.value[:]
	_, err := base.RoundTrip(&c.Request) //nolint:bodyclose // it has none
	return err
}

// sink answers every request with the same response.
type sink struct{ answer *http.Response }

func (s sink) RoundTrip(*http.Request) (*http.Response, error) { return s.answer, nil }

// allocations returns how many allocations f makes on average, rounded down, so
// that the few of the manager's own goroutine do not count.
func allocations(t *testing.T, f func() error) float64 {
	t.Helper()
	return least(func() float64 {
		return testing.AllocsPerRun(1000, func() {
			if err := f(); err != nil {
				t.Fatal(err)
			}
		})
	})
}

// least measures until a result is no better than the best one, which it returns: what else
// the process does at times can only add.
func least[T float64 | uint64](measure func() T) T {
	for best := measure(); ; {
		next := measure()
		if next >= best {
			return best
		}
		best = next
	}
}

// allocated returns how many bytes f allocates on average, in steps of eight: less
// than that is the manager's own goroutine.
func allocated(t *testing.T, f func() error) uint64 {
	t.Helper()
	const runs = 1000
	return least(func() uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			if err := f(); err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		return (after.TotalAlloc - before.TotalAlloc) / runs / 8 * 8
	})
}
