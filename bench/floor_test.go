package bench_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A floorSource is the least code that could hand out tokens correctly. Less
// would be wrong:
//
//   - One atomic load, because another goroutine replaces the token.
//   - One reading of the wall clock, because the token dies by it; a monotonic
//     clock stands still while a laptop sleeps. wallClock is the cheapest reading
//     that the system has. A clock that a timer copies is cheaper, and more code.
//   - One comparison, without a margin, and no second thought about a clock that
//     is set back.
//   - A lock, taken by whoever finds the token dead, so that one of them renews it.
//
// It saves nothing, coordinates with nobody, waits for no Retry-After, cannot be
// stopped, and stalls its callers while it renews.
type floorSource struct {
	cur    atomic.Pointer[floorToken]
	mu     sync.Mutex
	client *floorClient
}

// A floorToken is what must be kept of an answer, with the header value that
// every request needs. Never modified.
type floorToken struct {
	access, refresh string
	authorization   []string
	expires         int64 // nanoseconds since 1970
}

func newFloorToken(access, refresh string, expires time.Time) *floorToken {
	header := "Bearer " + access
	return &floorToken{
		access: header[len("Bearer "):], refresh: refresh,
		authorization: []string{header}, expires: expires.UnixNano(),
	}
}

func newFloorSource(client *floorClient, first *floorToken) *floorSource {
	f := &floorSource{client: client}
	f.cur.Store(first)
	return f
}

func (f *floorSource) token() (*floorToken, error) {
	if t := f.cur.Load(); wallClock() < t.expires {
		return t, nil
	}
	return f.renew()
}

func (f *floorSource) renew() (*floorToken, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.cur.Load()
	if wallClock() < t.expires {
		return t, nil
	}
	next, err := f.client.refresh(context.Background(), t.refresh)
	if err == nil {
		f.cur.Store(next)
	}
	return next, err
}

// access is token for a benchmark.
func (f *floorSource) access() (string, error) {
	t, err := f.token()
	if err != nil {
		return "", err
	}
	return t.access, nil
}

// A floorTransport is the least code that is a legal RoundTripper: it may not
// modify the request, so it copies it, with a header map of the copy's own. The
// values in the map are shared, since nobody may write to them.
type floorTransport struct {
	source *floorSource
	base   http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (f *floorTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	t, err := f.source.token()
	if err != nil {
		return nil, err
	}
	authorized := *req
	authorized.Header = maps.Clone(req.Header)
	authorized.Header["Authorization"] = t.authorization
	return f.base.RoundTrip(&authorized)
}

// A floorClient sends the request of RFC 6749 section 6 and believes the answer.
type floorClient struct{ service }

func (c *floorClient) refresh(ctx context.Context, refreshToken string) (*floorToken, error) {
	form := url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {refreshToken},
		"client_id": {clientID}, "client_secret": {clientSecret},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.tokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	sent := time.Now()
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("bench: HTTP %d", resp.StatusCode)
	}
	var answer struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
		ExpiresIn    int64  `json:"expires_in"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if answer.AccessToken == "" {
		return nil, errors.New("bench: no access token")
	}
	return newFloorToken(answer.AccessToken, answer.RefreshToken, sent.Add(time.Duration(answer.ExpiresIn)*time.Second)), nil
}
