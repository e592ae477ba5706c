package oauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/evertoken/evertoken/internal/heldport"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

func TestF58_PortInUseSaysWhatToDo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	for _, host := range []string{"127.0.0.1", "localhost"} {
		var opened atomic.Bool
		ctx, cancel := context.WithCancel(t.Context())
		c := oauth.NewClient(oauth.Config{
			ClientID: "id", AuthURL: "https://auth.test/auth", TokenURL: "https://auth.test/token", Output: io.Discard,
			RedirectURL: fmt.Sprintf("http://%s:%d/callback", host, port),
			OpenBrowser: func(context.Context, string) error {
				opened.Store(true)
				cancel()
				return nil
			},
		})
		_, err = c.Authenticate(ctx)
		cancel()
		fail := failure(t, err)
		if !errors.Is(err, syscall.EADDRINUSE) || !errors.Is(err, oauth.ErrTransient) {
			t.Errorf("%s: got %v; want EADDRINUSE as ErrTransient", host, err)
		}
		for _, word := range []string{fmt.Sprint(port), "RedirectURL", "device code"} {
			if !strings.Contains(fail.Error(), word) {
				t.Errorf("%s: error %q does not say %s", host, err, word)
			}
		}
		if opened.Load() {
			t.Errorf("%s: the browser was opened for a login that cannot return", host)
		}
	}
}

// heldPort returns an address of the loopback interface, with a port that is only listened
// at by who asks for that, for the time of the test.
func heldPort(t *testing.T) string {
	t.Helper()
	port, err := heldport.Hold("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(port.Release)
	return port.Addr
}

func TestRedirectURLIsTakenAsRegistered(t *testing.T) {
	for name, redirect := range map[string]func(t *testing.T) (configured, want string){
		"fixed port": func(t *testing.T) (string, string) {
			u := "http://" + heldPort(t) + "/oauth/return"
			return u, u
		},
		"name localhost": func(t *testing.T) (string, string) {
			u := strings.Replace("http://"+heldPort(t)+"/callback", "127.0.0.1", "localhost", 1)
			return u, u
		},
		"any port": func(*testing.T) (string, string) { return "http://127.0.0.1/cb", "http://127.0.0.1:*/cb" },
		"any port of localhost": func(*testing.T) (string, string) {
			return "http://localhost/cb", "http://localhost:*/cb"
		},
		"no path": func(*testing.T) (string, string) { return "http://127.0.0.1", "http://127.0.0.1:*" },
		"IPv6": func(t *testing.T) (string, string) {
			if l, err := net.Listen("tcp", "[::1]:0"); err != nil {
				t.Skipf("no IPv6 loopback: %v", err)
			} else {
				_ = l.Close()
			}
			return "http://[::1]/cb", "http://[::1]:*/cb"
		},
	} {
		t.Run(name, func(t *testing.T) {
			configured, want := redirect(t)
			s := server(t, oauthtest.Config{})
			a := authenticate(t, s, func(cfg *oauth.Config) { cfg.RedirectURL = configured })
			u, err := url.Parse(a.callback)
			if err != nil || a.callback != strings.Replace(want, "*", u.Port(), 1) {
				t.Errorf("returns to %s; want %s", a.callback, want)
			}
			a.logIn(newPerson(s, nil))
			if _, err := a.end(); err != nil {
				t.Error(err)
			}
		})
	}
}

// The second server has been made to answer a login at the first: mix-up.
func TestAnswerOnAnotherIssuersPathIsNotTaken(t *testing.T) {
	s := server(t, oauthtest.Config{})
	texts, reading := pastes()
	a := authenticate(t, s, reading, func(cfg *oauth.Config) { cfg.RedirectURL, cfg.Issuer = "http://127.0.0.1/acme/callback", "" })
	if !strings.HasSuffix(a.callback, "/acme/callback") {
		t.Fatalf("returns to %s", a.callback)
	}
	query := newPerson(s, nil).callback(t, a.url)
	elsewhere := strings.Replace(a.callback, "/acme/", "/other/", 1) + "?" + query.Encode()
	if shown := a.do(http.MethodGet, elsewhere); shown.status != http.StatusNotFound {
		t.Errorf("HTTP %d; want 404", shown.status)
	}
	a.paste(texts, elsewhere)
	a.paste(texts, a.callback+"?"+query.Encode()) // is still asked for
	if _, err := a.end(); err != nil {
		t.Error(err)
	}
	wantNoMistakes(t, s)
}

func TestRedirectURLMustReachThisProgram(t *testing.T) {
	for _, redirect := range []string{
		"https://127.0.0.1/cb", "http://app.example.com/cb", "myapp:/cb", "http://192.168.1.5/cb", "http://127.0.0.1/cb?x=" + secret, "http://127.0.0.1/cb#x", "http://u@127.0.0.1/", "%zz",
	} {
		c := oauth.NewClient(oauth.Config{ClientID: "id", AuthURL: "https://auth.test/auth", TokenURL: "https://auth.test/token", RedirectURL: redirect, Output: io.Discard})
		_, err := c.Authenticate(t.Context())
		if failure(t, err); !errors.Is(err, oauth.ErrMisconfigured) || !strings.Contains(err.Error(), "AuthCodeURL") {
			t.Errorf("%s: got %v; want ErrMisconfigured pointing to AuthCodeURL", redirect, err)
		}
	}
}
