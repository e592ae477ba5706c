package kratos

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kratos/kratos/v2/log"
	kgrpc "github.com/go-kratos/kratos/v2/transport/grpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/evertoken/evertoken/examples/grpc/authclient"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/dialect"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

func TestMain(m *testing.M) {
	log.SetLogger(log.NewStdLogger(io.Discard))
	m.Run()
}

// forms are how the framework's defaults, and what teams set, write an answer.
var forms = map[string]Options{
	"default":                        {},
	"proto names":                    {ProtoNames: true},
	"nested errors":                  {NestedErrors: true},
	"proto names, and nested errors": {ProtoNames: true, NestedErrors: true},
}

// inProcess serves requests without sockets, so that they fit into a bubble.
type inProcess struct{ handler http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r = r.Clone(r.Context())
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	return w.Result(), nil
}

const baseURL = "https://kratos.example"

func clientOf(b *Backend, d dialect.Dialect) *dialect.Client {
	return dialect.NewClient(d, dialect.Config{BaseURL: baseURL, DeviceID: "laptop", HTTPClient: &http.Client{Transport: inProcess{b.HTTP()}}})
}

// A keeper is what both transports have.
type keeper interface {
	refresh.Refresher
	Login(ctx context.Context, username, password string) (*oauth.TokenPair, error)
	Revoke(ctx context.Context, t *oauth.TokenPair) error
}

// speak has a client say everything that it can to a backend.
func speak(t *testing.T, b *Backend, c keeper) {
	t.Helper()
	for who, want := range map[string]error{"alice": oauth.ErrLoginRequired, "bob": oauth.ErrUserNotFound} {
		if _, err := c.Login(t.Context(), who, "x"); !errors.Is(err, want) {
			t.Errorf("login of %s with a wrong password: %v; want %v", who, err, want)
		}
	}
	login := func() *oauth.TokenPair {
		t.Helper()
		pair, err := c.Login(t.Context(), "alice", "wonderland")
		if err != nil {
			t.Fatal(err)
		}
		if life, known := pair.Lifetime(); !known || life != Life || pair.RefreshToken == "" {
			t.Fatalf("pair %v, life %v; want both tokens and %v", pair, life, Life)
		}
		return pair
	}
	refused := func(what string, pair *oauth.TokenPair, want error) {
		t.Helper()
		if _, err := c.Refresh(t.Context(), pair); !errors.Is(err, want) {
			t.Errorf("%s: %v; want %v", what, err, want)
		}
	}
	first := login()
	next, err := c.Refresh(t.Context(), first)
	if err != nil || next.RefreshToken == first.RefreshToken || next.RefreshToken == "" {
		t.Fatalf("refresh: %v, %v", next, err)
	}
	if life, known := next.Lifetime(); !known || life != Life {
		t.Errorf("life after a refresh: %v", life)
	}
	b.Edit(func(b *Backend) {
		if slices.ContainsFunc(b.Devices, func(d string) bool { return d != "laptop" }) {
			t.Errorf("devices %q; want the laptop", b.Devices)
		}
	})
	refused("unknown", &oauth.TokenPair{RefreshToken: "nonsense"}, oauth.ErrTokenInvalid)
	refused("none", &oauth.TokenPair{AccessToken: "a"}, oauth.ErrRefreshTokenRequired)
	other := login()
	refused("spent", first, oauth.ErrTokenReused)
	refused("of a session that reuse has ended", other, oauth.ErrTokenInvalid)
	expired := login()
	b.Edit(func(b *Backend) { b.Expire(expired.RefreshToken) })
	refused("expired", expired, oauth.ErrTokenExpired)

	b.Edit(func(b *Backend) { clear(b.live) })
	out := login()
	dead := out.Clone()
	dead.AccessToken, dead.ExpiresAt = "dead", time.Now().Add(-time.Second)
	if err := c.Revoke(t.Context(), dead); !errors.Is(err, oauth.ErrTransient) || b.Sessions() != 1 {
		t.Errorf("logout with a dead access token: %v, %d sessions; want an error, since the session lives", err, b.Sessions())
	}
	if err := c.Revoke(t.Context(), out); err != nil || b.Sessions() != 0 {
		t.Errorf("logout: %v, %d sessions", err, b.Sessions())
	}
	gone := login()
	b.Edit(func(b *Backend) { b.RemoveUser() })
	refused("of a user who is gone", gone, oauth.ErrUserNotFound)
}

func TestKratosIsUnderstoodOverHTTP(t *testing.T) {
	for name, o := range forms {
		t.Run(name, func(t *testing.T) {
			b := New(o)
			speak(t, b, clientOf(b, dialect.Kratos()))
		})
	}
}

// A logout by the access token alone has nothing to send in its body, and Kratos refuses
// a request without a media type.
func TestKratosTakesARequestWithNothingInItsBody(t *testing.T) {
	d := dialect.Kratos()
	d.Logout.Fields = []dialect.Field{{Value: dialect.AccessToken, Place: dialect.InAuthorization}}
	b := New(Options{})
	c := clientOf(b, d)
	pair, err := c.Login(t.Context(), "alice", "wonderland")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Revoke(t.Context(), pair); err != nil || b.Sessions() != 0 {
		t.Errorf("logout: %v, %d sessions; want it to end", err, b.Sessions())
	}
}

// A day of a session, whose token the API sees every five minutes, until the backend is
// restarted and forgets it.
func TestSessionAtKratosLivesForADay(t *testing.T) {
	for name, o := range forms {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := New(o)
				c := clientOf(b, dialect.Kratos())
				pair, err := c.Login(t.Context(), "alice", "wonderland")
				if err != nil {
					t.Fatal(err)
				}
				var mu sync.Mutex
				var told []error
				m := refresh.NewManager(refresh.Config{OAuthClient: c, Store: new(tokenstore.Memory), OnRefreshFail: func(err error) bool {
					mu.Lock()
					defer mu.Unlock()
					told = append(told, err)
					return false
				}})
				if err := m.Start(t.Context(), pair); err != nil {
					t.Fatal(err)
				}
				defer m.Stop()
				api := &http.Client{Transport: m.Transport(inProcess{b.HTTP()})}
				for range 24 * 12 {
					time.Sleep(5 * time.Minute)
					resp, err := api.Get(baseURL + "/api/v1/me")
					if err != nil {
						t.Fatal(err)
					}
					body, _ := io.ReadAll(resp.Body)
					if resp.Body.Close(); resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "alice") {
						t.Fatalf("the API answers %d %s", resp.StatusCode, body)
					}
				}
				b.Edit(func(b *Backend) {
					if b.Reused != 0 || b.Spends < 24*4 || b.Spends > 24*8 {
						t.Errorf("%d spends, %d reuses", b.Spends, b.Reused)
					}
					b.Forget()
				})
				time.Sleep(time.Hour)
				if mu.Lock(); len(told) != 1 || !errors.Is(told[0], oauth.ErrTokenInvalid) {
					t.Errorf("OnRefreshFail heard %v", told)
				}
				mu.Unlock()
			})
		})
	}
}

func TestKratosIsUnderstoodOverGRPC(t *testing.T) {
	for _, service := range []string{"api.auth.v1.Auth", "auth.v1.Auth"} {
		t.Run(service, func(t *testing.T) {
			b := New(Options{})
			conn := dial(t, b, service)
			speak(t, b, authclient.New(conn, authclient.CallsAt(conn, service), "laptop"))
		})
	}
}

// One word for all reasons and for trouble, as over HTTP.
func TestKratosThatTellsNoReasonIsUnderstoodOverGRPC(t *testing.T) {
	b := New(Options{RefreshError: true})
	conn := dial(t, b, "api.auth.v1.Auth")
	c := authclient.New(conn, authclient.CallsAt(conn, "api.auth.v1.Auth"), "laptop")
	_, err := c.Refresh(t.Context(), &oauth.TokenPair{RefreshToken: "nonsense"})
	fail, is := errors.AsType[*oauth.Error](err)
	if !is || !errors.Is(err, oauth.ErrTransient) || !errors.Is(err, oauth.ErrTokenInvalid) || fail.Verdict() != oauth.VerdictUnclear {
		t.Errorf("error %v; want one that ends nothing and says what it may be about", err)
	}
}

// A client for another proto file is a mistake of its program's, and no outage.
func TestKratosWithoutTheServiceIsMisconfigured(t *testing.T) {
	b := New(Options{})
	conn := dial(t, b, "api.auth.v1.Auth")
	c := authclient.New(conn, authclient.CallsAt(conn, "auth.v1.Auth"), "laptop")
	_, err := c.Refresh(t.Context(), &oauth.TokenPair{RefreshToken: "r"})
	var fail *oauth.Error
	if !errors.As(err, &fail) || !errors.Is(err, oauth.ErrMisconfigured) || fail.Verdict() != oauth.VerdictSettings {
		t.Errorf("error %v; want ErrMisconfigured, about the settings", err)
	}
}

// dial starts the backend behind TLS, and returns a connection to it.
func dial(t *testing.T, b *Backend, service string) *grpc.ClientConn {
	t.Helper()
	certified := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
	t.Cleanup(certified.Close)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := b.GRPC(service, kgrpc.Listener(listener), kgrpc.TLSConfig(&tls.Config{Certificates: certified.TLS.Certificates}))
	ended := make(chan error, 1)
	go func() { ended <- server.Start(context.Background()) }()
	roots := certified.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: "example.com"})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		_ = server.Stop(context.Background())
		if err := <-ended; err != nil && !errors.Is(err, net.ErrClosed) {
			t.Log(fmt.Errorf("the server ended: %w", err))
		}
	})
	return conn
}

// The documented backend tells none of its reasons: 500 REFRESH_ERROR for all. A restart
// has forgotten the session, and nothing but time tells that from trouble.
func TestSessionAtKratosThatTellsNoReasonIsSuspected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Options{RefreshError: true})
		c := clientOf(b, dialect.Kratos())
		pair, err := c.Login(t.Context(), "alice", "wonderland")
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var told []error
		m := refresh.NewManager(refresh.Config{OAuthClient: c, Store: new(tokenstore.Memory), OnRefreshFail: func(err error) bool {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, err)
			return false
		}})
		if err := m.Start(t.Context(), pair); err != nil {
			t.Fatal(err)
		}
		defer m.Stop()
		time.Sleep(time.Hour)
		b.Edit((*Backend).Forget)
		time.Sleep(time.Hour)
		mu.Lock()
		defer mu.Unlock()
		if len(told) != 1 || !errors.Is(told[0], refresh.ErrSuspected) {
			t.Errorf("OnRefreshFail heard %v; want one suspicion", told)
		}
	})
}
