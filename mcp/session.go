package mcp

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"

	"github.com/evertoken/evertoken/connect"
	"github.com/evertoken/evertoken/tokenstore"
)

// A Config describes a session with one MCP server, whose endpoint is URL. See
// connect.Config for all else: Account, Client, OAuth, Login, Grant, Refresh and more.
// BearerOnly is set by the Session.
type Config = connect.Config

// A Grant returns what obtains tokens without a person; see connect.Grant.
type Grant = connect.Grant

// A Session is a program's login to one MCP server.
type Session struct {
	cfg Config

	mu     sync.Mutex // guards what follows
	closed bool
	client *connect.Session // for Client; nil until that is called
	bearer *connect.Session // for OAuthHandler, likewise
}

// New returns a session. It sends nothing yet: the first request that the MCP server
// refuses begins the login. The caller calls Close.
func New(cfg Config) (*Session, error) {
	if cfg.Refresh.Store == nil {
		cfg.Refresh.Store = new(tokenstore.Memory)
	}
	if _, err := connect.New(cfg); err != nil { // of which nothing runs yet
		return nil, fmt.Errorf("mcp: %w", err)
	}
	return &Session{cfg: cfg}, nil
}

// connected returns the session behind *s, made by the first call.
func (s *Session) connected(at **connect.Session, bearerOnly bool) *connect.Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if *at == nil {
		cfg := s.cfg
		cfg.BearerOnly = cfg.BearerOnly || bearerOnly
		c, _ := connect.New(cfg) // as New has found
		if *at = c; s.closed {
			c.Close()
		}
	}
	return *at
}

// URL returns the server's endpoint.
func (s *Session) URL() string { return s.cfg.URL }

// Client returns an HTTP client whose requests to the MCP server carry the session's
// token; requests elsewhere are passed on as they are. Without a session, or when the
// server refuses the token for good, a request waits for the login, as long as its
// context allows, and is sent again if its body can be rewound.
func (s *Session) Client() *http.Client { return s.connected(&s.client, false).Client() }

// Close ends a login under way and stops renewing. Stored tokens stay. Idempotent.
func (s *Session) Close() {
	s.mu.Lock()
	s.closed = true
	made := []*connect.Session{s.client, s.bearer}
	s.mu.Unlock()
	for _, c := range made {
		if c != nil {
			c.Close()
		}
	}
}

// String describes the session without secrets.
func (s *Session) String() string {
	host := ""
	if u, err := url.Parse(s.cfg.URL); err == nil {
		host = u.Host
	}
	return fmt.Sprintf("mcp.Session{%q}", host)
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (s *Session) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, s.String()) }

// LogValue implements slog.LogValuer.
func (s *Session) LogValue() slog.Value { return slog.StringValue(s.String()) }
