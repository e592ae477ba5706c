package refresh_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// connecting is a RoundTripper of net/http whose connections come from dial.
func connecting(t *testing.T, dial func(ctx context.Context, address string) (net.Conn, error)) *http.Transport {
	rt := &http.Transport{DialContext: func(ctx context.Context, _, address string) (net.Conn, error) { return dial(ctx, address) }}
	t.Cleanup(rt.CloseIdleConnections)
	return rt
}

// answered is a connection whose other end reads a request, and answers with text or, if that is
// empty, hangs up.
func answered(text string) net.Conn {
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		if req, err := http.ReadRequest(bufio.NewReader(theirs)); err == nil {
			_, _ = io.Copy(io.Discard, req.Body)
			_, _ = io.WriteString(theirs, text)
		}
	}()
	return ours
}

// hungUp is a connection that ends before anything was said.
func hungUp() net.Conn {
	ours, theirs := net.Pipe()
	_ = theirs.Close()
	return ours
}

// A first request that found no connection, as one to a mistyped host, has shown the token to
// nobody. One that may have been sent has.
func TestOriginThatWasNotReachedBindsNothing(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	for what, tt := range map[string]struct {
		url   string
		dial  func(ctx context.Context, address string) (net.Conn, error)
		binds bool
	}{
		"no such host":      {"https://typo.test/", func(context.Context, string) (net.Conn, error) { return nil, &net.DNSError{IsNotFound: true} }, false},
		"refused":           {"https://typo.test/", func(context.Context, string) (net.Conn, error) { return nil, refused }, false},
		"no TLS":            {"https://typo.test/", func(context.Context, string) (net.Conn, error) { return hungUp(), nil }, false},
		"the caller leaves": {"https://typo.test/", func(ctx context.Context, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }, false},
		"no answer":         {"http://localhost/", func(context.Context, string) (net.Conn, error) { return answered(""), nil }, true},
		"an answer":         {"http://localhost/", func(context.Context, string) (net.Conn, error) { return answered(ok), nil }, true},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{}).start(t)
				base := connecting(t, tt.dial)
				req, _ := post(t, tt.url)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if resp, err := f.Transport(base).RoundTrip(req.WithContext(ctx)); err == nil {
					drain(t, resp)
				}
				_, w := f.wired()
				everywhere{}.on(w)
				err := try(t, f.Transport(w), "https://api.test/")
				if tt.binds {
					refusedFor(t, err, tt.url[:len(tt.url)-1], "https://api.test")
				} else if err != nil || w.bare() != 0 {
					t.Errorf("the origin that can be reached: %v", err)
				}
			})
		})
	}
}

// A RoundTripper that tells nothing of its connections may have sent what it could not.
func TestOriginBehindARoundTripperThatTellsNothingIsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		_, w := f.wired()
		everywhere{"typo.test": func(r *http.Request) (*http.Response, error) {
			_ = r.Body.Close()
			return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
		}}.on(w)
		if err := try(t, f.Transport(w), "https://typo.test/"); err == nil {
			t.Fatal("no error")
		}
		refusedFor(t, try(t, f.Transport(w), "https://api.test/"), "https://typo.test")
	})
}

// While it is not known whether the first origin can be reached, the token goes to no other.
func TestOneOfManyOriginsOfWhichSomeCannotBeReachedIsTheFirst(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, oauthtest.Config{}).start(t)
			var mu sync.Mutex
			got := make(map[string]bool) // the hosts that a request was sent to
			base := connecting(t, func(ctx context.Context, address string) (net.Conn, error) {
				time.Sleep(rand.N(time.Second))
				host, _, _ := net.SplitHostPort(address)
				if strings.HasPrefix(host, "127.1.") {
					return nil, &net.OpError{Op: "dial", Err: errors.New("no route")}
				}
				mu.Lock()
				defer mu.Unlock()
				got[host] = true
				return answered("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"), nil
			})
			transport := f.Transport(base)
			hosts := []string{"127.1.0.1", "127.1.0.2", "127.1.0.3", "127.1.0.4", "127.0.0.1", "127.0.0.2", "127.0.0.3"}
			var callers sync.WaitGroup
			for i := range 30 {
				callers.Go(func() {
					for range 5 {
						time.Sleep(rand.N(time.Second))
						_ = try(t, transport, "http://"+hosts[i%len(hosts)]+"/")
					}
				})
			}
			callers.Wait()
			if len(got) == 0 { // chance had it so: nothing is bound, then
				if err := try(t, transport, "http://127.0.0.1/"); err != nil {
					t.Error(err)
				}
			}
			if len(got) != 1 {
				t.Errorf("the token went to %v; want one host", got)
			}
		})
	}
}

// A request that leaves does not free the origin for which another one still waits.
func TestOriginIsTheFirstWhileAnyRequestForItIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		transport := f.Transport(connecting(t, func(context.Context, string) (net.Conn, error) {
			time.Sleep(3 * time.Second)
			return answered("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"), nil
		}))
		var callers sync.WaitGroup
		callers.Go(func() {
			if err := try(t, transport, "http://localhost/"); err != nil {
				t.Error(err)
			}
		})
		callers.Go(func() {
			req, _ := post(t, "http://localhost/")
			ctx, leave := context.WithTimeout(t.Context(), time.Second)
			defer leave()
			if _, err := transport.RoundTrip(req.WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v; want that of its context", err)
			}
		})
		for range 3 {
			time.Sleep(1500 * time.Millisecond) // after it has left, and after the other one's answer
			refusedFor(t, try(t, transport, "http://127.0.0.1/"), "http://localhost", "http://127.0.0.1")
		}
		callers.Wait()
	})
}

// A call of gRPC asks for the token once it has a connection.
func TestACallOfGRPCBindsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		if _, err := f.GetRequestMetadata(t.Context(), "https://api.test/service"); err != nil {
			t.Fatal(err)
		}
		_, w := f.wired()
		everywhere{}.on(w)
		if err := try(t, f.Transport(w), "https://other.test/"); !errors.Is(err, oauth.ErrMisconfigured) {
			t.Errorf("error %v; want that the token is for api.test", err)
		}
	})
}
