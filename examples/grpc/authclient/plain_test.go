package authclient_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
)

// A plainServer has no TLS, and counts the calls that reach it.
type plainServer struct {
	listener *bufconn.Listener
	calls    atomic.Int32
}

func newPlainServer(t *testing.T) *plainServer {
	p := &plainServer{listener: bufconn.Listen(64 << 10)}
	s := grpc.NewServer(grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error {
		p.calls.Add(1)
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
