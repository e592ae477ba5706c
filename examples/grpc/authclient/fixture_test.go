package authclient_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/evertoken/evertoken/examples/grpc/authclient"
	"github.com/evertoken/evertoken/examples/grpc/authpb"
	"github.com/evertoken/evertoken/examples/grpc/server"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

const refreshEndpoint = oauthtest.Endpoint("/kratos/api/v1/auth/refresh")

// A fixture is a manager over a gRPC server in memory. Tests run it in a synctest
// bubble, so that time is exact and costs nothing.
type fixture struct {
	*refresh.Manager
	backend *oauthtest.Server
	host    *server.Host
	auth    *authclient.Client
	account authpb.AccountClient
	store   tokenstore.Store
	first   *oauth.TokenPair

	mu    sync.Mutex // guards heard
	heard []error    // by OnRefreshFail
}

// bubble runs test with alice logged in and a manager started.
func bubble(t *testing.T, cfg oauthtest.Config, test func(t *testing.T, f *fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, cfg, new(tokenstore.Memory))
		if err := f.Start(t.Context(), f.first); err != nil {
			t.Fatal(err)
		}
		test(t, f)
	})
}

func newFixture(t *testing.T, cfg oauthtest.Config, store tokenstore.Store) *fixture {
	t.Helper()
	cfg.JWTRefreshTokens = true
	f := &fixture{backend: oauthtest.New(cfg), store: store}
	var err error
	if f.host, err = server.NewHost(f.backend); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.host.Down)
	f.auth = newClient(f.connect(t))
	if f.first, err = f.auth.Login(t.Context(), "alice", "wonderland"); err != nil {
		t.Fatal(err)
	}
	f.Manager = f.manager(t)
	f.account = authpb.NewAccountClient(f.connect(t, authclient.Carry(f.Manager)...))
	return f
}

func newClient(conn *grpc.ClientConn) *authclient.Client {
	return authclient.New(conn, authclient.CallsOf(authpb.NewAuthClient(conn)), "laptop")
}

// manager returns one for the fixture's store, with a connection of its own.
func (f *fixture) manager(t *testing.T) *refresh.Manager {
	t.Helper()
	m := refresh.NewManager(refresh.Config{
		OAuthClient: newClient(f.connect(t)), Store: f.store,
		OnRefreshFail: func(err error) bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.heard = append(f.heard, err)
			return false
		},
	})
	t.Cleanup(m.Stop)
	return m
}

func (f *fixture) connect(t *testing.T, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := f.host.Connect(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func (f *fixture) told() []error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.heard
}

func (f *fixture) whoami(ctx context.Context) error {
	_, err := f.account.Whoami(ctx, new(authpb.WhoamiRequest))
	return err
}

// refreshes is how many refresh requests have come.
func (f *fixture) refreshes() int { return f.backend.Requests(refreshEndpoint) }

func (f *fixture) script(faults ...oauthtest.Fault) {
	for i := range faults {
		faults[i].Endpoint = refreshEndpoint
	}
	f.backend.Script(faults...)
}

// alive fails the test unless the session lives, and the server has seen nothing
// wrong.
func (f *fixture) alive(t *testing.T) {
	t.Helper()
	if err := f.whoami(t.Context()); err != nil {
		t.Errorf("a call: %v", err)
	}
	if n := f.backend.Sessions("alice"); n != 1 {
		t.Errorf("%d sessions; want 1", n)
	}
	if told := f.told(); len(told) != 0 {
		t.Errorf("OnRefreshFail heard %v", told)
	}
	f.clean(t)
}

func (f *fixture) clean(t *testing.T) {
	t.Helper()
	for _, mistake := range f.backend.Audit() {
		t.Errorf("the server saw a mistake: %v", mistake)
	}
}

const minute = time.Minute
