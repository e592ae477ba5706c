package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/test/bufconn"

	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// name is how certificates and connections call the host.
const name = "api.example.com"

// A Host runs the server of New in memory, behind TLS and an authority of its own,
// and can go down and come back. It opens no socket, so it works in a synctest
// bubble. Safe for concurrent use.
type Host struct {
	backend *oauthtest.Server
	cert    tls.Certificate
	roots   *x509.CertPool

	mu       sync.Mutex // guards what follows
	listener *bufconn.Listener
	server   *grpc.Server // nil while the host is down
}

// NewHost returns a host that is up.
func NewHost(backend *oauthtest.Server) (*Host, error) {
	cert, roots, err := NewCertificate(name)
	if err != nil {
		return nil, err
	}
	h := &Host{backend: backend, cert: cert, roots: roots}
	h.Up()
	return h, nil
}

// Up starts the server, unless it runs.
func (h *Host) Up() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.server != nil {
		return
	}
	h.server, h.listener = New(h.backend, h.cert), bufconn.Listen(64<<10)
	go h.server.Serve(h.listener) // its error says that Down has ended it
}

// Down breaks all connections, and refuses new ones until Up.
func (h *Host) Down() {
	h.mu.Lock()
	server := h.server
	h.server = nil
	h.mu.Unlock()
	if server != nil {
		server.Stop()
	}
}

// Connect returns a connection to the host that trusts its authority. opts come
// after those that lead there.
func (h *Host) Connect(opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+name, append([]grpc.DialOption{
		grpc.WithContextDialer(h.dial),
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: h.roots})),
	}, opts...)...)
}

var errDown = errors.New("connection refused")

func (h *Host) dial(ctx context.Context, addr string) (net.Conn, error) {
	h.mu.Lock()
	server, listener := h.server, h.listener
	h.mu.Unlock()
	if server == nil {
		return nil, &net.OpError{Op: "dial", Net: "memory", Err: errDown}
	}
	return listener.DialContext(ctx)
}
