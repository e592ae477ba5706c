package bench_test

import (
	"errors"
	"net/http"
	"testing"

	"golang.org/x/oauth2"

	"github.com/evertoken/evertoken/refresh"
)

// BenchmarkTransport authorizes one request and gives it to a base transport that
// does nothing.
func BenchmarkTransport(b *testing.B) { measure(b, transports()) }

func transports() []contender {
	return []contender{
		{evertoken, func(tb testing.TB) op {
			m, base := start(tb, refresh.Config{OAuthClient: neverRefresh}, livingPair()), newBase()
			return sending(tb, m.Transport(base), base)
		}},
		{floor, func(tb testing.TB) op {
			base, pair := newBase(), livingPair()
			source := newFloorSource(nil, newFloorToken(pair.AccessToken, "", pair.ExpiresAt))
			return sending(tb, &floorTransport{source, base}, base)
		}},
		{xoauth2, func(tb testing.TB) op {
			base := newBase()
			source := oauth2.ReuseTokenSource(livingPair().OAuth2(), noTokenSource{})
			return sending(tb, &oauth2.Transport{Source: source, Base: base}, base)
		}},
	}
}

// sending sends one request, the same each time, through a transport. The op's
// token is the Authorization header that arrived.
func sending(tb testing.TB, transport http.RoundTripper, base *base) op {
	req := newRequest(tb)
	headers := len(req.Header)
	return func() (string, error) {
		resp, err := transport.RoundTrip(req)
		if err != nil {
			return "", err
		}
		if len(req.Header) != headers {
			return "", errors.New("bench: the transport changed the caller's request")
		}
		return base.authorization, resp.Body.Close()
	}
}

// newRequest is a request with the headers that API clients commonly set.
func newRequest(tb testing.TB) *http.Request {
	req, err := http.NewRequest(http.MethodGet, "https://api.test/v1/things?limit=10", nil)
	if err != nil {
		tb.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "bench/1.0")
	req.Header.Set("X-Request-Id", "4f1c2a")
	return req
}

// base is where requests end. It always gives the same answer.
type base struct {
	answer        *http.Response
	authorization string // of the last request
}

func newBase() *base {
	return &base{answer: &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}}
}

// RoundTrip implements http.RoundTripper.
func (b *base) RoundTrip(req *http.Request) (*http.Response, error) {
	b.authorization = req.Header["Authorization"][0]
	return b.answer, nil
}

func TestTransportsAuthorizeTheRequest(t *testing.T) {
	for _, c := range transports() {
		t.Run(c.name, func(t *testing.T) {
			work := c.open(t)
			for range 3 {
				if got, want := mustWork(t, work), "Bearer "+livingPair().AccessToken; got != want {
					t.Errorf("Authorization is not the session's (%d bytes; want %d)", len(got), len(want))
				}
			}
		})
	}
}

func TestTransportAllocatesNoMoreThanTheFloor(t *testing.T) {
	allocations := make(map[string]float64)
	for _, c := range transports() {
		work := c.open(t)
		allocations[c.name] = testing.AllocsPerRun(1000, func() { mustWork(t, work) })
	}
	if allocations[evertoken] > allocations[floor] {
		t.Errorf("allocations per request: %v", allocations)
	}
}
