// Package server is the authorization server that a torture runs against.
package server

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/evertoken/evertoken/internal/heldport"
	"github.com/evertoken/evertoken/internal/trouble"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/torture/internal/report"
)

// A Server is an authorization server and its API, each on a socket of its own, which
// knows when nothing is on its way to it any more. What goes wrong with the
// authorization server leaves the API alone.
type Server struct {
	*oauthtest.Server
	// Tokens is the token endpoint as clients reach it.
	Tokens trouble.Endpoint

	http *http.Server
	port *heldport.Port // of the authorization server
	api  string         // address of the API

	mu       sync.Mutex // guards what follows
	listener net.Listener
	conns    map[string]conn
	changed  chan struct{} // closed and replaced with each change
}

// A conn is a connection and what it is used for.
type conn struct {
	net.Conn
	state http.ConnState
}

// New starts a server that ends the session at the first mistake, after the
// given grace window.
func New(cfg oauthtest.Config) (*Server, error) {
	s := &Server{Server: oauthtest.New(cfg), conns: make(map[string]conn), changed: make(chan struct{})}
	s.Tokens.Path, s.Tokens.Server = string(oauthtest.TokenEndpoint), s.Server
	s.http = &http.Server{
		Handler: &s.Tokens, ConnState: s.note, ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: log.New(io.Discard, "", 0), // killed clients are expected
	}
	api, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.api = api.Addr().String()
	if s.port, err = heldport.Hold("127.0.0.1:0"); err != nil {
		_ = api.Close()
		return nil, err
	}
	if err := s.Up(); err != nil {
		_ = api.Close()
		s.port.Release()
		return nil, err
	}
	go func() { _ = s.http.Serve(api) }() // always ends with an error
	return s, nil
}

// Close ends the server.
func (s *Server) Close() {
	s.Tokens.Heal()
	_ = s.http.Close()
	s.port.Release()
}

// SocketURL returns where e is reached over its socket.
func (s *Server) SocketURL(e oauthtest.Endpoint) string {
	if e == oauthtest.ResourceEndpoint {
		return "http://" + s.api + string(e)
	}
	return "http://" + s.port.Addr + string(e)
}

// Up has the authorization server listen, where it did before.
func (s *Server) Up() error {
	l, err := s.port.Listen()
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.listener = l
	s.mu.Unlock()
	go func() { _ = s.http.Serve(l) }() // ends with an error when l is closed
	return nil
}

// Down ends the authorization server: connections break, and new ones are refused
// until Up.
func (s *Server) Down() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.listener.Close()
	for _, c := range s.conns {
		if c.LocalAddr().String() == s.port.Addr {
			_ = c.Close()
		}
	}
}

// note hears of every connection, in the order in which they are accepted.
func (s *Server) note(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	remote := c.RemoteAddr().String()
	if s.conns[remote] = (conn{c, state}); state == http.StateClosed || state == http.StateHijacked {
		delete(s.conns, remote)
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// Quiet returns when every request that was sent before the call has been carried
// out, also those of processes that were killed since: a request that a dead
// process left in the socket must not arrive after that of the next one.
func (s *Server) Quiet(ctx context.Context) error {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", s.port.Addr)
	if err != nil {
		return err
	}
	// Connections are accepted in order: once this one is, all before it are.
	mine := c.LocalAddr().String()
	err = s.until(ctx, func() bool { _, known := s.conns[mine]; return known })
	_ = c.Close()
	if err != nil {
		return err
	}
	return s.until(ctx, func() bool {
		for _, c := range s.conns {
			if c.state != http.StateIdle {
				return false
			}
		}
		return true
	})
}

// until waits until the connections are as wanted. It calls done with mu held.
func (s *Server) until(ctx context.Context, done func() bool) error {
	for {
		s.mu.Lock()
		ok, changed := done(), s.changed
		s.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the server to be quiet: %w", context.Cause(ctx))
		}
	}
}

// Lost reports whether the server has ended the session.
func (s *Server) Lost() bool { return s.Sessions(oauthtest.DefaultUser) == 0 }

// Expire makes the API reject the access token, as if it had expired.
func (s *Server) Expire() { s.ExpireAccess(oauthtest.DefaultUser) }

// Count adds what the server has seen to r.
func (s *Server) Count(r *report.Row) {
	mistakes := s.Audit()
	r.Spends += len(s.Spends())
	r.Reuses += len(mistakes)
	for _, m := range mistakes {
		r.Broken("%s", m)
	}
}
