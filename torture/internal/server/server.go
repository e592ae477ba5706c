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

	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/torture/internal/report"
)

// A Server is an authorization server and its API on a socket, which knows when
// nothing is on its way to it any more.
type Server struct {
	*oauthtest.Server
	http *http.Server
	addr string

	mu      sync.Mutex // guards what follows
	conns   map[string]http.ConnState
	changed chan struct{} // closed and replaced with each change
}

// New starts a server that ends the session at the first mistake, after the
// given grace window.
func New(cfg oauthtest.Config) (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{
		Server: oauthtest.New(cfg), addr: l.Addr().String(),
		conns: make(map[string]http.ConnState), changed: make(chan struct{}),
	}
	s.http = &http.Server{
		Handler: s.Server, ConnState: s.note, ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: log.New(io.Discard, "", 0), // killed clients are expected
	}
	go func() { _ = s.http.Serve(l) }() // always ends with an error
	return s, nil
}

// Close ends the server.
func (s *Server) Close() { _ = s.http.Close() }

// SocketURL returns where e is reached over the socket.
func (s *Server) SocketURL(e oauthtest.Endpoint) string { return "http://" + s.addr + string(e) }

// note hears of every connection, in the order in which they are accepted.
func (s *Server) note(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	remote := c.RemoteAddr().String()
	if s.conns[remote] = state; state == http.StateClosed || state == http.StateHijacked {
		delete(s.conns, remote)
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// Quiet returns when every request that was sent before the call has been carried
// out, also those of processes that were killed since: a request that a dead
// process left in the socket must not arrive after that of the next one.
func (s *Server) Quiet(ctx context.Context) error {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", s.addr)
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
		for _, state := range s.conns {
			if state != http.StateIdle {
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
