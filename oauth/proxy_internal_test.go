package oauth

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/oauth/internal/wire"
)

const proxyPassword = "proxy-password-7d1f"

// wantUnsent fails the test unless err is of a request of which nothing was sent, and
// shows neither the proxy's password nor words of strangers.
func wantUnsent(t *testing.T, err error) *Error {
	t.Helper()
	fail, ok := errors.AsType[*Error](err)
	if !ok || fail.Kind != ErrTransient || fail.Sent || fail.Status != 0 {
		t.Fatalf("got %#v; want ErrTransient and nothing sent", fail)
	}
	wantClean(t, err)
	return fail
}

func wantClean(t *testing.T, err error) {
	t.Helper()
	for _, secret := range []string{proxyPassword, "refresh-token-1b2c", "stranger"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the error shows %q: %v", secret, err)
		}
	}
}

// refreshThrough asks a server that is nowhere for new tokens.
func refreshThrough(t *testing.T, tokenURL string, rt http.RoundTripper, change ...func(*Config)) error {
	t.Helper()
	cfg := Config{ClientID: "id", TokenURL: tokenURL, HTTPClient: &http.Client{Transport: rt}}
	for _, f := range change {
		f(&cfg)
	}
	_, err := NewClient(cfg).RefreshToken(t.Context(), "refresh-token-1b2c")
	return err
}

// proxyAt returns the address of a proxy with a password.
func proxyAt(scheme, host string) func(*http.Request) (*url.URL, error) {
	return http.ProxyURL(&url.URL{Scheme: scheme, User: url.UserPassword("user", proxyPassword), Host: host})
}

// through returns how requests get to a proxy: with the transport of ours, one of
// the caller's, one inside another, and the copy that presents a certificate.
func through(proxy func(*http.Request) (*url.URL, error)) map[string]func(t *testing.T, tokenURL string) error {
	plain := func() *http.Transport { return &http.Transport{Proxy: proxy, DisableKeepAlives: true} }
	return map[string]func(t *testing.T, tokenURL string) error{
		"ours": func(t *testing.T, tokenURL string) error {
			own := wire.DefaultTransport().(*http.Transport)
			own.Proxy, own.TLSHandshakeTimeout = proxy, 0 // however busy the machine is
			return refreshThrough(t, tokenURL, own)
		},
		"the caller's": func(t *testing.T, tokenURL string) error { return refreshThrough(t, tokenURL, plain()) },
		"inside another": func(t *testing.T, tokenURL string) error {
			return refreshThrough(t, tokenURL, struct{ http.RoundTripper }{plain()})
		},
		"with a certificate": func(t *testing.T, tokenURL string) error {
			s := httptest.NewTLSServer(nil)
			defer s.Close()
			return refreshThrough(t, tokenURL, plain(), func(cfg *Config) {
				cfg.ClientAuth = ClientAuth{}.Presenting(&s.TLS.Certificates[0])
			})
		},
	}
}

func TestProxyThatDoesNotConnectSaysWhy(t *testing.T) {
	for status, want := range map[int]string{
		407: "the proxy wants a user name and password",
		401: "the proxy refuses the connection (HTTP 401)",
		403: "the proxy refuses the connection (HTTP 403)",
		404: "the proxy refuses the connection (HTTP 404)",
		502: "the proxy refuses the connection (HTTP 502)",
		503: "the proxy refuses the connection (HTTP 503)",
	} {
		proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodConnect {
				t.Errorf("the proxy was asked to %s", r.Method)
			}
			w.Header().Set("Proxy-Authenticate", "Basic realm=stranger")
			http.Error(w, "stranger", status)
		}))
		for name, ask := range through(proxyAt("http", proxy.Listener.Addr().String())) {
			fail := wantUnsent(t, ask(t, "https://auth.test/token"))
			if fail.Err.Error() != want {
				t.Errorf("%s, HTTP %d: %v; want %q", name, status, fail, want)
			}
			if auth := errors.Is(fail, ErrProxyAuth); auth != (status == 407) || auth != strings.Contains(fail.Hint, "HTTPS_PROXY=http://user:password@") {
				t.Errorf("%s, HTTP %d: matches ErrProxyAuth: %v, hint %q", name, status, auth, fail.Hint)
			}
		}
		proxy.Close()
	}
}

// A proxy can call its status what it likes. Where the transport is ours that does
// not matter; nowhere are the words shown.
func TestProxysOwnWordsAreNotShown(t *testing.T) {
	host := serving(t, func(c net.Conn, _ *bufio.Reader) {
		_, _ = io.WriteString(c, "HTTP/1.1 407 stranger\r\n\r\n")
	})
	for name, ask := range through(proxyAt("http", host)) {
		fail := wantUnsent(t, ask(t, "https://auth.test/token"))
		ours := name == "ours" || name == "with a certificate"
		if got := errors.Is(fail, ErrProxyAuth); got != ours {
			t.Errorf("%s: got %v; matches ErrProxyAuth: %v", name, fail, got)
		}
	}
}

// serving accepts connections, answers what begins each with talk, and returns the
// address.
func serving(t *testing.T, talk func(net.Conn, *bufio.Reader)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReader(c)
				if _, err := r.Peek(1); err == nil {
					talk(c, r)
				}
				_, _ = io.Copy(io.Discard, r) // until the other side is done, or it would see a reset
			}()
		}
	}()
	return l.Addr().String()
}

func TestProxysAnswerToAPlainRequestIsNotTheServers(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusProxyAuthRequired)
		_, _ = io.WriteString(w, `{"error":"invalid_grant","stranger":true}`)
	}))
	defer proxy.Close()
	for name, ask := range through(proxyAt("http", proxy.Listener.Addr().String())) {
		err := ask(t, "http://127.0.0.1:1/token")
		fail, ok := errors.AsType[*Error](err)
		if !ok || !errors.Is(err, ErrProxyAuth) || !errors.Is(err, ErrTransient) || fail.Verdict() != VerdictTrouble || fail.Status != 407 || fail.Hint == "" {
			t.Errorf("%s: got %v; want ErrProxyAuth, and neither a refusal nor an unknown outcome", name, err)
		}
		wantClean(t, err)
	}
}

func TestProxyOutOfReachIsNamed(t *testing.T) {
	insecure := httptest.NewUnstartedServer(nil)
	insecure.Config.ErrorLog = log.New(io.Discard, "", 0)
	insecure.StartTLS()
	defer insecure.Close()
	for name, tt := range map[string]struct{ scheme, host, want string }{
		"refused":             {"http", "127.0.0.1:1", "the proxy cannot be reached: dial tcp 127.0.0.1:1: connection refused"},
		"refused, SOCKS":      {"socks5", "127.0.0.1:1", "the proxy cannot be reached: dial tcp 127.0.0.1:1: connection refused"},
		"certificate unknown": {"https", insecure.Listener.Addr().String(), "the proxy cannot be reached: the server's certificate is not trusted: it is signed by no authority that this machine knows"},
	} {
		for kind, ask := range through(proxyAt(tt.scheme, tt.host)) {
			if fail := wantUnsent(t, ask(t, "https://auth.test/token")); fail.Err.Error() != tt.want {
				t.Errorf("%s, %s: %v; want %q", name, kind, fail.Err, tt.want)
			}
		}
	}
}

func TestSOCKSProxyThatRefusesSaysWhy(t *testing.T) {
	greeting := func(method byte) []byte { return []byte{5, method} }
	for name, tt := range map[string]struct {
		answers [][]byte // one for each message
		want    string
	}{
		"no method":      {[][]byte{greeting(0xff)}, ErrProxyAuth.Error()},
		"wrong password": {[][]byte{greeting(2), {1, 1}}, ErrProxyAuth.Error()},
		"by its rules":   {[][]byte{greeting(0), {5, 2, 0, 1, 0, 0, 0, 0, 0, 0}}, "the SOCKS proxy refuses the connection"},
		"unreachable":    {[][]byte{greeting(0), {5, 4, 0, 1, 0, 0, 0, 0, 0, 0}}, "the SOCKS proxy refuses the connection"},
	} {
		host := serving(t, func(c net.Conn, r *bufio.Reader) {
			for _, answer := range tt.answers {
				if _, err := r.Peek(1); err != nil {
					return
				}
				_, _ = r.Discard(r.Buffered())
				_, _ = c.Write(answer)
			}
		})
		for kind, ask := range through(proxyAt("socks5", host)) {
			fail := wantUnsent(t, ask(t, "https://auth.test/token"))
			if auth := tt.want == ErrProxyAuth.Error(); fail.Err.Error() != tt.want || errors.Is(fail, ErrProxyAuth) != auth || (fail.Hint != "") != auth {
				t.Errorf("%s, %s: got %v; want %q", name, kind, fail, tt.want)
			}
		}
	}
}

func TestUnreadableProxyAddressIsNotShown(t *testing.T) {
	own := &http.Transport{Proxy: func(*http.Request) (*url.URL, error) {
		return nil, errors.New("invalid proxy address http://user:" + proxyPassword + "@stranger:x")
	}}
	wantClean(t, refreshThrough(t, "https://auth.test/token", own))
	wire.TellProxyErrors(own)
	if fail := wantUnsent(t, refreshThrough(t, "https://auth.test/token", own)); !strings.Contains(fail.Error(), "the address of the proxy cannot be read") {
		t.Errorf("got %v; want that the address cannot be read", fail)
	}
}

func TestOwnProxyHookIsKept(t *testing.T) {
	proxy := httptest.NewServer(http.NotFoundHandler())
	defer proxy.Close()
	mine, asked := errors.New("mine"), 0
	for _, result := range []error{nil, mine} {
		own := &http.Transport{Proxy: proxyAt("http", proxy.Listener.Addr().String())}
		own.OnProxyConnectResponse = func(context.Context, *url.URL, *http.Request, *http.Response) error { asked++; return result }
		wire.TellProxyErrors(own)
		_, err := (&http.Client{Transport: own}).Get("https://auth.test/")
		if errors.Is(err, mine) != (result == mine) || strings.Contains(err.Error(), "the proxy refuses the connection (HTTP 404)") != (result == nil) {
			t.Errorf("hook returns %v: got %v", result, err)
		}
	}
	if asked != 2 {
		t.Errorf("the program's hook was called %d times; want 2", asked)
	}
}

// What a transport reports after it began to write may be anything's word, and so
// may that of one which reports nothing.
func TestWordsOfAStatusAreAProxysOnlyBeforeAnythingWasSent(t *testing.T) {
	fake := roundTripperFunc(func(*http.Request) (*http.Response, error) { return nil, errors.New("Service Unavailable") })
	err := refreshThrough(t, "https://auth.test/token", fake)
	if fail, ok := errors.AsType[*Error](err); !ok || !fail.Sent || strings.Contains(err.Error(), "proxy") {
		t.Errorf("got %v; want nothing about a proxy", err)
	}
}

type roundTripperFunc func(*http.Request) (*http.Response, error)

func (f roundTripperFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
