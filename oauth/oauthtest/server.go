package oauthtest

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// A Server is an authorization server and the protected resource behind it. It
// is an http.Handler; make one with New, NewServer or NewTLSServer.
type Server struct {
	// URL is where the server is reached, with neither a path nor a final slash.
	URL string

	cfg     Config
	base    string // issuer path without a final slash
	issuer  string
	keys    *keyring
	secret  []byte // key of the CSRF tokens and of what refresh tokens are derived from
	script  script
	audit   auditor
	proofs  usedIDs        // of clients that prove possession of a key
	http    *http.Server   // nil after New
	serving sync.WaitGroup // of http, one for each port

	assertions  usedIDs           // of clients that authenticate by key
	certificate *x509.Certificate // nil without TLS
	aliases     string            // URL of the port that asks for certificates, or ""

	mu          sync.Mutex // guards what follows; never held across I/O or a wait
	users       map[string]string
	sessions    map[string]*session      // by session ID
	tokens      map[string]*refreshState // by hash of the refresh token
	claims      map[string]chan struct{} // refresh tokens being spent, by hash
	codes       map[string]*authCode     // by hash of the code
	devices     map[string]*deviceLogin  // by hash of the device code
	browsers    map[string]string        // user by browser cookie; "" before login
	requests    map[Endpoint]int
	arrived     chan struct{} // closed and replaced with each request
	refreshes   int
	served      int
	rejected    int
	lastCleanup time.Time

	clients map[string]RegisteredClient // of the configuration, by client ID
	pushed  map[string]*pushedRequest   // by hash of the request URI
	dynamic map[string]*dynamicClient   // by client ID
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
	s := &Server{
		URL:      url,
		cfg:      cfg.withDefaults(),
		base:     strings.TrimSuffix(cfg.IssuerPath, "/"),
		issuer:   url + cfg.IssuerPath,
		keys:     newKeyring(),
		secret:   []byte(randomID(32)),
		clients:  make(map[string]RegisteredClient),
		sessions: make(map[string]*session),
		tokens:   make(map[string]*refreshState),
		claims:   make(map[string]chan struct{}),
		codes:    make(map[string]*authCode),
		devices:  make(map[string]*deviceLogin),
		pushed:   make(map[string]*pushedRequest),
		dynamic:  make(map[string]*dynamicClient),
		browsers: make(map[string]string),
		requests: make(map[Endpoint]int),
		arrived:  make(chan struct{}),
	}
	s.users = s.cfg.Users
	s.clients[s.cfg.ClientID] = RegisteredClient{ID: s.cfg.ClientID, Secret: s.cfg.ClientSecret}
	for _, c := range s.cfg.Clients {
		s.clients[c.ID] = c
	}
	s.audit.now, s.audit.excuse = s.cfg.Now, max(s.cfg.Grace, replayWindow)
	s.audit.opinion = min(time.Minute, s.cfg.AccessTokenLifetime/3)
	return s
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
func (s *Server) Issuer() string { return s.issuer }

// Endpoint returns the URL of e.
func (s *Server) Endpoint(e Endpoint) string {
	if e == MetadataEndpoint { // RFC 8414 section 3.1
		return s.URL + string(e) + s.cfg.IssuerPath
	}
	if e == ResourceMetadataEndpoint { // RFC 9728 section 3.1
		return s.URL + string(e) + s.base + string(ResourceEndpoint)
	}
	return s.URL + s.base + string(e)
}

// Resource returns the URL of the protected resource. Every path below it is
// protected too.
func (s *Server) Resource() string { return s.Endpoint(ResourceEndpoint) }

// Requests returns how many requests reached e, answered or not. AnyEndpoint
// counts all. Requests that a Down fault kept away are not counted.
func (s *Server) Requests(e Endpoint) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requestsLocked(e)
}

// AwaitRequests returns when at least n requests have reached e since the server
// began, or with ctx's error when ctx ends before that. Tests wait with it for
// what another goroutine or process is about to do, instead of sleeping.
func (s *Server) AwaitRequests(ctx context.Context, e Endpoint, n int) error {
	for {
		s.mu.Lock()
		got, arrived := s.requestsLocked(e), s.arrived
		s.mu.Unlock()
		if got >= n {
			return nil
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return fmt.Errorf("oauthtest: %d of %d requests reached %s: %w", got, n, e, context.Cause(ctx))
		}
	}
}

func (s *Server) requestsLocked(e Endpoint) int {
	if e != AnyEndpoint {
		return s.requests[e]
	}
	total := 0
	for _, n := range s.requests {
		total += n
	}
	return total
}

// Refreshes returns how many refresh grants the server carried out, whether or
// not the answers arrived.
func (s *Server) Refreshes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refreshes
}

// Served returns how many requests the protected resource accepted.
func (s *Server) Served() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.served
}

// Rejected returns how many requests the protected resource refused because of
// their token, not counting faults.
func (s *Server) Rejected() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rejected
}

func (s *Server) now() time.Time { return s.cfg.Now() }

// randomID returns 2n hexadecimal digits.
func randomID(n int) string {
	b := make([]byte, n)
	rand.Read(b) //nolint:errcheck // it never fails
	return hex.EncodeToString(b)
}
