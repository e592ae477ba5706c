package authclient_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/evertoken/evertoken/examples/grpc/authclient"
	"github.com/evertoken/evertoken/examples/grpc/authpb"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// A plainServer has no TLS, and counts the calls that reach it.
type plainServer struct {
	listener *bufconn.Listener
	calls    atomic.Int32
	carried  atomic.Int32 // those with a token
}

func newPlainServer(t *testing.T) *plainServer {
	p := &plainServer{listener: bufconn.Listen(64 << 10)}
	s := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
		p.calls.Add(1)
		if md, _ := metadata.FromIncomingContext(s.Context()); len(md["authorization"]) > 0 {
			p.carried.Add(1)
		}
		return status.Error(codes.Unavailable, "")
	}))
	go s.Serve(p.listener) // its error says that Stop has ended it
	t.Cleanup(s.Stop)
	return p
}

func (p *plainServer) connect(t *testing.T, opts ...grpc.DialOption) *grpc.ClientConn {
	conn, err := grpc.NewClient("passthrough:///plain.example.com", append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return p.listener.DialContext(ctx) }))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// A sidecar encrypts what leaves the machine, and takes calls in the clear.
func TestPlaintextIsSwitchedOnForOneTarget(t *testing.T) {
	for name, tt := range map[string]struct {
		origins []string
		carries bool
	}{
		"its own":       {[]string{"http://plain.example.com:443"}, true},
		"its own, TLS":  {[]string{"https://plain.example.com"}, true},
		"first":         {nil, true},
		"another":       {[]string{"https://api.example.com"}, false},
		"another, http": {[]string{"http://api.example.com"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, oauthtest.Config{}, func(t *testing.T, f *fixture) {
				m := refresh.NewManager(refresh.Config{OAuthClient: f.auth, AllowedOrigins: tt.origins, InsecurePlaintextGRPC: true})
				if err := m.Start(t.Context(), f.first); err != nil {
					t.Fatal(err)
				}
				defer m.Stop()
				plain := newPlainServer(t)
				account := authpb.NewAccountClient(plain.connect(t, authclient.Carry(m)...))
				if _, err := account.Whoami(t.Context(), new(authpb.WhoamiRequest)); status.Code(err) != codes.Unavailable {
					t.Errorf("%v", err)
				} else if errors.Is(err, oauth.ErrMisconfigured) == tt.carries {
					t.Errorf("%v; want it to match ErrMisconfigured: %v", err, !tt.carries)
				}
				if n := plain.carried.Load(); (n == 1) != tt.carries || plain.calls.Load() != n {
					t.Errorf("%d calls, %d of them with a token", plain.calls.Load(), n)
				}
			})
		})
	}
}
