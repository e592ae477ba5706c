package oauth_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// The limits of requests: a refresh is bounded by its caller's context alone, since its
// answer may be all that is left of the session, and every other request by the limits
// that programs set for those.
func TestF81_ARefreshIsBoundedByItsContextAlone(t *testing.T) {
	const none = 0
	for _, tt := range []struct{ timeout, client, caller, refresh, other time.Duration }{
		{none, none, none, 3 * time.Minute, 30 * time.Second},
		{4 * time.Second, none, none, 3 * time.Minute, 4 * time.Second},
		{none, 5 * time.Second, none, 3 * time.Minute, 5 * time.Second},
		{none, none, time.Hour, time.Hour, 30 * time.Second},
		{4 * time.Second, 5 * time.Second, 10 * time.Minute, 10 * time.Minute, 4 * time.Second},
		{4 * time.Second, none, 2 * time.Second, 2 * time.Second, 2 * time.Second},
	} {
		for op, want := range map[string]time.Duration{"refresh": tt.refresh, "introspect": tt.other} {
			t.Run(fmt.Sprintf("%+v/%s", tt, op), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := oauthtest.New(oauthtest.Config{})
					pair, _ := s.Login("alice")
					s.Script(oauthtest.Fault{Endpoint: oauthtest.AnyEndpoint, Hang: true})
					cfg := s.OAuthConfig()
					cfg.Timeout, cfg.HTTPClient.Timeout = tt.timeout, tt.client
					ctx := t.Context()
					if tt.caller != none {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, tt.caller)
						defer cancel()
					}
					start := time.Now()
					var err error
					if c := oauth.NewClient(cfg); op == "refresh" {
						_, err = c.Refresh(ctx, pair)
					} else {
						_, err = c.Introspect(ctx, pair.AccessToken)
					}
					if took := time.Since(start); took != want {
						t.Errorf("gave up after %v; want %v", took, want)
					}
					if fail := failure(t, err); op == "refresh" && !fail.Unknown() || !errors.Is(err, oauth.ErrTransient) {
						t.Errorf("got %v (unknown: %v); want an unknown outcome after a deadline", err, fail.Unknown())
					}
				})
			})
		}
	}
}

func TestF81_TheAnswerOfAServerThatPausesIsTaken(t *testing.T) {
	for _, pause := range []time.Duration{31 * time.Second, 45 * time.Second, 2 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			s := oauthtest.New(oauthtest.Config{})
			pair, _ := s.Login("alice")
			s.Script(oauthtest.Fault{Delay: pause})
			cfg := s.OAuthConfig()
			cfg.HTTPClient.Timeout = 30 * time.Second
			next, err := oauth.NewClient(cfg).Refresh(t.Context(), pair)
			if err != nil || next.RefreshToken == pair.RefreshToken {
				t.Errorf("after %v: %v, %v; want the new pair", pause, next, err)
			}
		})
	}
}

// piped returns a client whose every connection is served by serve, in memory, so that
// it belongs to a bubble. HTTP/2 is spoken without TLS.
func piped(t *testing.T, http2 bool, serve func(net.Conn)) *oauth.Client {
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			serve(theirs)
			_ = theirs.Close()
		}()
		return ours, nil
	}}
	if http2 {
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetUnencryptedHTTP2(true)
	}
	t.Cleanup(transport.CloseIdleConnections)
	return oauth.NewClient(oauth.Config{ClientID: "id", TokenURL: "http://127.0.0.1/token", HTTPClient: &http.Client{Transport: transport}})
}

// slowly writes text a byte at a time, a second apart, as long as the peer listens.
func slowly(c io.Writer, text string) {
	for i := range text {
		time.Sleep(time.Second)
		if _, err := io.WriteString(c, text[i:i+1]); err != nil {
			return
		}
	}
}

// answers reads a request and says something.
func answers(say func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		req, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		say(c)
	}
}

// silence is for ever, as far as the peer lets it.
func silence(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

const chunked = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"

// No answer keeps its caller beyond the deadline, and none is waited for of which
// nothing more can come.
func TestF82_AnswersThatDoNotEnd(t *testing.T) {
	const deadline = time.Minute
	dripping := strings.Repeat(" ", 1000)
	spoken := func(text string, then func(net.Conn)) func(net.Conn) {
		return answers(func(c net.Conn) {
			_, _ = io.WriteString(c, text)
			then(c)
		})
	}
	for name, tt := range map[string]struct {
		serve func(net.Conn)
		http2 bool
		takes time.Duration
		pair  bool
	}{
		"silence":       {serve: answers(silence), takes: deadline},
		"nothing read":  {serve: func(net.Conn) { time.Sleep(time.Hour) }, takes: deadline},
		"101, silence":  {serve: spoken("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", silence)},
		"101, dripping": {serve: spoken("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", func(c net.Conn) { slowly(c, dripping) })},
		"1xx for ever": {serve: answers(func(c net.Conn) {
			for range 1000 {
				time.Sleep(20 * time.Second)
				if _, err := io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n\r\n"); err != nil {
					return
				}
			}
		}), takes: deadline},
		"headers drip": {serve: spoken("HTTP/1.1 200 OK\r\nX: ", func(c net.Conn) { slowly(c, strings.Repeat("x", 1000)) }), takes: deadline},
		"no body":      {serve: spoken("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", silence), takes: deadline},
		"a body drips": {serve: spoken(chunked, func(c net.Conn) {
			for _, b := range okBody[:40] + dripping {
				time.Sleep(time.Second)
				if _, err := fmt.Fprintf(c, "1\r\n%c\r\n", b); err != nil {
					return
				}
			}
		}), takes: deadline},
		"cut in the last member": {serve: spoken(chunked+fmt.Sprintf("%x\r\n%s\r\n", len(okBody)-4, okBody[:len(okBody)-4]), silence), takes: deadline, pair: true},
		"whole, then silence":    {serve: spoken(chunked+fmt.Sprintf("%x\r\n%s\r\n", len(okBody), okBody), silence), takes: time.Second, pair: true},
		"whole, then space": {serve: spoken(chunked+fmt.Sprintf("%x\r\n%s\r\n", len(okBody), okBody), func(c net.Conn) {
			for range dripping {
				time.Sleep(time.Second / 3)
				if _, err := io.WriteString(c, "1\r\n \r\n"); err != nil {
					return
				}
			}
		}), takes: time.Second, pair: true},
		"whole, of a wrong length": {serve: spoken("HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n"+okBody, silence), takes: time.Second, pair: true},
		"a refusal, then silence":  {serve: spoken("HTTP/1.1 400 Bad Request\r\nContent-Length: 4000\r\n\r\n"+`{"error":"invalid_grant","access_token":"a1"}`, silence), takes: deadline},
		"HTTP/2, pings only":       {serve: pings, http2: true, takes: deadline},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), deadline)
				defer cancel()
				begun := time.Now()
				pair, err := piped(t, tt.http2, tt.serve).RefreshToken(ctx, "r1")
				took := time.Since(begun)
				time.Sleep(2 * time.Hour) // the server's side ends too
				if took != tt.takes {
					t.Errorf("it took %v; want %v", took, tt.takes)
				}
				if tt.pair {
					if err != nil || pair.RefreshToken != "r2" {
						t.Errorf("got %v, %v; want the tokens that came", pair, err)
					}
					return
				}
				if fail := failure(t, err); errors.Is(err, oauth.ErrLoginRequired) || fail.Status == 0 && !fail.Unknown() {
					t.Errorf("got %v (unknown: %v); want an unknown outcome", err, fail.Unknown())
				}
			})
		})
	}
}

// pings speaks HTTP/2: settings, and then pings alone.
func pings(c net.Conn) {
	if _, err := io.ReadFull(c, make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))); err != nil {
		return
	}
	go silence(c)
	writeFrame(c, frameSettings, 0, 0, nil)
	for n := range uint64(1000) {
		time.Sleep(5 * time.Second)
		if c.SetWriteDeadline(time.Now().Add(time.Second)) != nil {
			return
		}
		writeFrame(c, 6, 0, 0, binary.BigEndian.AppendUint64(nil, n))
	}
}

// A transport of the program's may hand out bodies that know nothing of a context.
func TestF82_ABodyThatIgnoresItsContext(t *testing.T) {
	for name, body := range map[string]string{"nothing": "", "the tokens": okBody, "a part of them": okBody[:20]} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := over(&wire{answer: func(*http.Request) (*http.Response, error) {
					r, w := io.Pipe()
					go func() { _, _ = io.WriteString(w, body) }()
					resp := response(200, "")
					resp.Body, resp.ContentLength = r, -1
					return resp, nil
				}})
				begun := time.Now()
				pair, err := c.RefreshToken(t.Context(), "r1")
				want := 3 * time.Minute
				if body == okBody {
					want = time.Second
				}
				if took := time.Since(begun); took != want || (err == nil) != (body == okBody) {
					t.Errorf("after %v: %v, %v; want an end after %v", took, pair, err, want)
				}
			})
		})
	}
}

// What has come is looked at now and then while the rest comes, but not for every byte.
func TestF82_ABodyOfClosingBracketsCostsLittle(t *testing.T) {
	c := over(&wire{answer: func(*http.Request) (*http.Response, error) {
		resp := response(200, "")
		resp.Body = io.NopCloser(iotest.OneByteReader(strings.NewReader(`{"a":[` + strings.Repeat("{},", 1<<12))))
		return resp, nil
	}})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := c.RefreshToken(t.Context(), "r1"); err == nil {
		t.Error("no error for an answer without tokens")
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
		t.Errorf("reading 12 KiB took %d MiB of memory", n>>20)
	}
}
