package oauthtest

import (
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/evertoken/evertoken/internal/authserver"
)

// A Server is an authorization server and the protected resource behind it. It
// is an http.Handler; make one with New, NewServer or NewTLSServer.
type Server struct {
	// URL is where the server is reached, with neither a path nor a final slash.
	URL string

	cfg     Config
	engine  *authserver.Server
	script  script
	http    *http.Server   // nil after New
	serving sync.WaitGroup // of http, one for each port

	certificate *x509.Certificate // nil without TLS

	mu       sync.Mutex // guards what follows; never held across I/O or a wait
	requests map[Endpoint]int
	arrived  chan struct{} // closed and replaced with each request
}

// New returns a server that is reached through its Client only; its issuer is
// https://auth.test. It opens no socket and works in a synctest bubble. There is
// nothing to close. It can also be mounted as a handler, for which Config has no
// issuer: use NewServer where the address matters.
func New(cfg Config) *Server { return newServer(cfg, "https://auth.test") }

// NewServer returns a server that listens on a free port of 127.0.0.1 and speaks
// plain HTTP. It panics if it cannot listen, like httptest.NewServer. The caller
// calls Close.
func NewServer(cfg Config) *Server {
	l := listen()
	s := newServer(cfg, "http://"+l.Addr().String())
	s.serve(l)
	return s
}

// listen panics if it cannot, like httptest.NewServer.
func listen() net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic("oauthtest: cannot listen on 127.0.0.1: " + err.Error())
	}
	return l
}

// serve answers on the listeners until Close.
func (s *Server) serve(listeners ...net.Listener) {
	// No client of a test takes this long to send a header.
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	if s.certificate != nil {
		s.http.ErrorLog = log.New(io.Discard, "", 0) // a handshake that fails is the client's news
	}
	for _, l := range listeners {
		s.serving.Go(func() { _ = s.http.Serve(l) }) // always ends with an error, after Close with ErrServerClosed
	}
}

func newServer(cfg Config, url string) *Server {
	cfg = cfg.withDefaults()
	return &Server{
		URL: url, cfg: cfg, engine: authserver.New(cfg.parts(url)),
		requests: make(map[Endpoint]int), arrived: make(chan struct{}),
	}
}

// Close stops listening and breaks open connections, which also ends requests
// that a fault keeps waiting. It does nothing after New,
// and nothing the second time.
func (s *Server) Close() {
	if s.http != nil {
		_ = s.http.Close() // the listeners are closed in any case
		s.serving.Wait()
	}
}

// Issuer returns the issuer identifier (RFC 8414 section 2).
func (s *Server) Issuer() string { return s.engine.Site.Issuer() }

// Endpoint returns the URL of e.
func (s *Server) Endpoint(e Endpoint) string { return s.engine.Site.URL(string(e)) }

// Resource returns the URL of the protected resource. Every path below it is
// protected too.
func (s *Server) Resource() string { return s.Endpoint(ResourceEndpoint) }
