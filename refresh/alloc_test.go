package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
)

// startLiving starts a manager whose token needs nothing for an hour.
func startLiving(t *testing.T) *refresh.Manager {
	t.Helper()
	m := refresh.NewManager(refresh.Config{
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

// sink answers every request with the same response.
type sink struct{ answer *http.Response }

func (s sink) RoundTrip(*http.Request) (*http.Response, error) { return s.answer, nil }

// allocations returns how many allocations f makes on average, rounded down, so
// that the few of the manager's own goroutine do not count.
func allocations(t *testing.T, f func() error) float64 {
	t.Helper()
	return testing.AllocsPerRun(1000, func() {
		if err := f(); err != nil {
			t.Fatal(err)
		}
	})
}
