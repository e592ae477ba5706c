package oauth_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

func TestSentTellsWhatMayHaveArrived(t *testing.T) {
	const closedPort = "http://127.0.0.1:1" // tcpmux, which nobody runs
	fakes := func(err error) func(*testing.T, *oauth.Config) {
		return func(_ *testing.T, cfg *oauth.Config) {
			w := &wire{answer: func(*http.Request) (*http.Response, error) { return nil, err }}
			cfg.HTTPClient = &http.Client{Transport: w}
		}
	}
	for _, tt := range []struct {
		name string
		set  func(*testing.T, *oauth.Config)
		sent bool
		is   error
	}{
		{"dial refused", func(_ *testing.T, cfg *oauth.Config) { cfg.TokenURL = closedPort }, false, syscall.ECONNREFUSED},
		{"name unknown", func(_ *testing.T, cfg *oauth.Config) {
			cfg.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "auth.test", IsNotFound: true}}
			}}}
		}, false, nil},
		{"certificate not trusted", func(t *testing.T, cfg *oauth.Config) {
			s := httptest.NewUnstartedServer(http.NotFoundHandler())
			s.Config.ErrorLog = quietLog()
			s.StartTLS()
			t.Cleanup(s.Close)
			cfg.TokenURL = s.URL
		}, false, nil},
		{"no TLS on the port", func(t *testing.T, cfg *oauth.Config) {
			s := httptest.NewServer(http.NotFoundHandler())
			t.Cleanup(s.Close)
			cfg.TokenURL = strings.Replace(s.URL, "http:", "https:", 1)
		}, false, nil},
		{"TLS handshake broken", func(t *testing.T, cfg *oauth.Config) {
			cfg.TokenURL = "https://" + accepting(t, func(c net.Conn) { _ = c.Close() })
		}, false, nil},
		{"reset after the request", func(t *testing.T, cfg *oauth.Config) {
			cfg.TokenURL = "http://" + accepting(t, func(c net.Conn) {
				receive(c)
				_ = c.(*net.TCPConn).SetLinger(0)
				_ = c.Close()
			})
		}, true, nil},
		{"closed after the request", func(t *testing.T, cfg *oauth.Config) {
			cfg.TokenURL = "http://" + accepting(t, func(c net.Conn) {
				receive(c)
				_ = c.Close()
			})
		}, true, io.ErrUnexpectedEOF},
		{"half a header", func(t *testing.T, cfg *oauth.Config) {
			cfg.TokenURL = "http://" + accepting(t, func(c net.Conn) {
				receive(c)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX-"+secret)
				_ = c.Close()
			})
		}, true, nil},
		{"no HTTP", func(t *testing.T, cfg *oauth.Config) {
			cfg.TokenURL = "http://" + accepting(t, func(c net.Conn) {
				receive(c)
				_, _ = io.WriteString(c, "220 mail "+secret+"\r\n")
				_ = c.Close()
			})
		}, true, nil},
		{"silent transport, dial error", fakes(&net.OpError{Op: "dial", Net: "tcp", Err: errors.New(secret)}), false, nil},
		{"silent transport, reset", fakes(&net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}), true, syscall.ECONNRESET},
		{"silent transport, unknown error", fakes(errors.New(secret)), true, nil},
		{"silent transport, unknown network error", fakes(&net.OpError{Op: "write", Net: "tcp", Err: errors.New(secret)}), true, nil},
		{"SOCKS proxy refused", fakes(&net.OpError{Op: "socks connect", Net: "tcp", Err: errors.New(secret)}), false, nil},
		{"proxy refused", fakes(&net.OpError{Op: "proxyconnect", Net: "tcp", Err: errors.New(secret)}), false, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := oauth.Config{ClientID: "id", TokenURL: "https://auth.test/token"}
			tt.set(t, &cfg)
			cfg.TokenURL += "?key=" + secret
			_, err := oauth.NewClient(cfg).RefreshToken(t.Context(), secret)
			fail := failure(t, err)
			if fail.Sent != tt.sent || fail.Unknown() != tt.sent || !errors.Is(err, oauth.ErrTransient) {
				t.Errorf("got %v (sent: %v, unknown: %v); want ErrTransient, sent: %v", err, fail.Sent, fail.Unknown(), tt.sent)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("got %v; want it to match %v", err, tt.is)
			}
		})
	}
}

func TestEndOfContextIsTold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := oauthtest.New(oauthtest.Config{})
	pair, _ := s.Login("alice")
	_, err := oauth.NewClient(s.OAuthConfig()).Refresh(ctx, pair)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, oauth.ErrTransient) {
		t.Errorf("got %v; want ErrTransient for a cancelled context", err)
	}
	if n := s.Refreshes(); n != 0 {
		t.Errorf("%d refreshes under a context that had ended", n)
	}
}

// TLS 1.3 lets a client write before the server has judged its certificate, so
// that failure counts as sent: it is not certain that nothing arrived.
func TestRefusedClientCertificateIsNotCertainlyUnsent(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = quietLog()
	s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	s.StartTLS()
	defer s.Close()
	_, err := oauth.NewClient(oauth.Config{ClientID: "id", TokenURL: s.URL, HTTPClient: s.Client()}).RefreshToken(t.Context(), secret)
	if !errors.Is(err, oauth.ErrTransient) {
		t.Errorf("got %v; want ErrTransient", err)
	}
	failure(t, err)
}
