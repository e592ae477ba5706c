package refresh_test

import (
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/benbjohnson/clock"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// A wallClock is a clock whose wall time can be moved, as by a suspended machine,
// a person or a time server. What the monotonic clock does meanwhile differs
// between systems. (In a bubble package time has no monotonic readings at all.)
type wallClock struct {
	clock.Clock
	made   time.Time
	offset atomic.Int64
	mono   monotonic
}

// monotonic is how a system's monotonic clock takes part in a move of the wall
// clock.
type monotonic int

const (
	monoStays monotonic = iota // any system when the clock is set; Linux and macOS also in a suspend
	monoMoves                  // systems that count the time asleep
	monoNone                   // programs whose clock has none
)

func newWallClock(t *testing.T, mono monotonic) *wallClock {
	t.Helper()
	now := time.Now()
	a, b := withMonotonic(now, time.Hour), withMonotonic(now.Add(-365*24*time.Hour), 2*time.Hour)
	if !a.Equal(now) || b.Sub(a) != time.Hour || a.Round(0).Sub(b.Round(0)) != 365*24*time.Hour {
		t.Fatal("time.Time is laid out differently in this Go release: adapt withMonotonic")
	}
	return &wallClock{Clock: clock.New(), made: now, mono: mono}
}

// move moves the wall clock by d.
func (c *wallClock) move(d time.Duration) { c.offset.Add(int64(d)) }

func (c *wallClock) Now() time.Time {
	now, offset := c.Clock.Now(), time.Duration(c.offset.Load())
	awake, wall := now.Sub(c.made), now.Add(offset)
	switch c.mono {
	case monoStays:
		return withMonotonic(wall, awake)
	case monoMoves:
		return withMonotonic(wall, awake+offset)
	}
	return wall.Round(0)
}

// wall is Now for a server, which knows the true time and no more.
func (c *wallClock) wall() time.Time { return c.Now().Round(0) }

func (c *wallClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }
func (c *wallClock) Until(t time.Time) time.Duration { return t.Sub(c.Now()) }

// withMonotonic returns a time with the given readings, which package time does
// not offer: the first word holds a flag, the seconds since 1885 and the
// nanoseconds, the second the monotonic reading.
func withMonotonic(wall time.Time, mono time.Duration) time.Time {
	seconds := wall.Unix() - time.Date(1885, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	t := time.Unix(0, 0)
	words := (*[2]uint64)(unsafe.Pointer(&t))
	words[0] = 1<<63 | uint64(seconds)<<30 | uint64(wall.Nanosecond())
	words[1] = uint64(mono)
	return t
}

// drivenBy makes the manager and its OAuth client live by c. The pair to start
// with is told in c's time.
func drivenBy(c clock.Clock) func(*refresh.Config) {
	return func(cfg *refresh.Config) {
		oc := cfg.OAuthClient.(*oauth.Client).Config()
		oc.Now = c.Now
		cfg.OAuthClient = oauth.NewClient(oc)
		cfg.Clock = c
	}
}

// through makes the OAuth client's requests go through wrap.
func through(wrap func(base http.RoundTripper) http.RoundTripper) func(*refresh.Config) {
	return func(cfg *refresh.Config) {
		oc := cfg.OAuthClient.(*oauth.Client).Config()
		oc.HTTPClient = &http.Client{Transport: wrap(oc.HTTPClient.Transport)}
		cfg.OAuthClient = oauth.NewClient(oc)
	}
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A network can be away: names are not resolved then, and nothing is sent.
type network struct {
	away  atomic.Bool
	tried atomic.Int64 // requests while it was away
}

func (n *network) wrap(base http.RoundTripper) http.RoundTripper {
	return roundTripFunc(func(r *http.Request) (*http.Response, error) {
		if !n.away.Load() {
			return base.RoundTrip(r)
		}
		n.tried.Add(1)
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: r.URL.Hostname(), IsNotFound: true}}
	})
}

// dated gives answers the Date header that real servers send.
func dated(base http.RoundTripper) http.RoundTripper {
	return roundTripFunc(func(r *http.Request) (*http.Response, error) {
		resp, err := base.RoundTrip(r)
		if err == nil {
			resp.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
		}
		return resp, err
	})
}

// call sends one request to the protected resource through the manager and
// returns the status.
func (f *fixture) call(t *testing.T) (int, error) {
	t.Helper()
	client := &http.Client{Transport: f.Transport(f.server.Client().Transport)}
	resp, err := client.Get(f.server.Resource())
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return resp.StatusCode, nil
}

// mustCall fails the test unless the resource accepts a request.
func (f *fixture) mustCall(t *testing.T) {
	t.Helper()
	if status, err := f.call(t); err != nil || status != http.StatusOK {
		t.Fatalf("a request was answered %d, %v; want 200 (%+v)", status, err, f.GetRefreshStatus())
	}
}

// served fails the test if the resource has refused a token.
func (f *fixture) served(t *testing.T) {
	t.Helper()
	if n := f.server.Rejected(); n != 0 {
		t.Errorf("the resource refused %d requests; want none", n)
	}
}

var errDisk = errors.New("no space left on device")

// tokenRequests returns how many requests reached the token endpoint.
func (f *fixture) tokenRequests() int { return f.server.Requests(oauthtest.TokenEndpoint) }
