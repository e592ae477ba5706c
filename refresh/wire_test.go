package refresh_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// A wire is the network below a Transport: it notes every request, answers those
// for known hosts by a function, and leaves the rest to the server.
type wire struct {
	base  http.RoundTripper
	hosts map[string]roundTripFunc

	mu     sync.Mutex
	seen   []sent
	bodies []*trackedBody // of the answers
}

// sent is a request as it went over the wire.
type sent struct{ url, authorization string }

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.seen = append(w.seen, sent{r.URL.String(), r.Header.Get("Authorization")})
	w.mu.Unlock()
	answer := w.base.RoundTrip
	if f := w.hosts[r.URL.Host]; f != nil {
		answer = f
	}
	resp, err := answer(r)
	if err == nil && resp.Body != nil {
		body := &trackedBody{Reader: resp.Body}
		resp.Body = body
		w.mu.Lock()
		w.bodies = append(w.bodies, body)
		w.mu.Unlock()
	}
	return resp, err
}

// requests returns what went over the wire so far.
func (w *wire) requests() []sent {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]sent(nil), w.seen...)
}

// bare returns how many requests went out without a token.
func (w *wire) bare() (n int) {
	for _, r := range w.requests() {
		if r.authorization == "" {
			n++
		}
	}
	return n
}

// wired returns a client whose requests go through the manager to a wire.
func (f *fixture) wired() (*http.Client, *wire) {
	w := &wire{base: f.server.Client().Transport, hosts: make(map[string]roundTripFunc)}
	return &http.Client{Transport: f.Transport(w)}, w
}

// answering returns a host that gives the same answer to each request.
func answering(status int, headers ...string) roundTripFunc {
	return func(r *http.Request) (*http.Response, error) {
		if r.Body != nil {
			_, _ = io.Copy(io.Discard, r.Body)
			_ = r.Body.Close()
		}
		h := http.Header{}
		for i := 0; i < len(headers); i += 2 {
			h.Add(headers[i], headers[i+1])
		}
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader("answer")), Request: r}, nil
	}
}

// A trackedBody knows whether it was read to its end and closed.
type trackedBody struct {
	io.Reader
	ended, closed atomic.Bool
}

func (b *trackedBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		b.ended.Store(true)
	}
	return n, err
}

func (b *trackedBody) Close() error {
	b.closed.Store(true)
	return nil
}

// get sends a GET and returns the status; the body must be readable.
func get(t *testing.T, client *http.Client, url string) int {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	return drain(t, resp)
}

// drain reads and closes the body and returns the status.
func drain(t *testing.T, resp *http.Response) int {
	t.Helper()
	defer resp.Body.Close()
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Errorf("the body of the %d answer cannot be read: %v", resp.StatusCode, err)
	}
	return resp.StatusCode
}

// fetch is get for tests that start goroutines, which must not end the test.
func fetch(client *http.Client, url string) (int, error) {
	resp, err := client.Get(url)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// post returns a POST with a body that can be watched. GetBody is for the caller
// to set.
func post(t *testing.T, url string) (*http.Request, *trackedBody) {
	t.Helper()
	body := &trackedBody{Reader: strings.NewReader("payload")}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return req, body
}

// loseToken makes the session one without a living token and without hope.
func (f *fixture) loseToken(t *testing.T) {
	t.Helper()
	f.server.RevokeAll(oauthtest.DefaultUser)
	f.first.ExpiresAt, f.first.IssuedAt = f.first.IssuedAt, f.first.IssuedAt.Add(-minute)
	f.start(t)
	if _, err := f.TokenContext(t.Context()); !errors.Is(err, oauth.ErrLoginRequired) {
		t.Fatalf("a dead session gave %v", err)
	}
}

// withOrigins sets Config.AllowedOrigins.
func withOrigins(origins ...string) func(*refresh.Config) {
	return func(cfg *refresh.Config) { cfg.AllowedOrigins = origins }
}
