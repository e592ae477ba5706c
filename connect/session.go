package connect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evertoken/evertoken/internal/origin"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/register"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A Session is a program's login to one API.
type Session struct {
	cfg     Config // Refresh.Store is set
	origin  *url.URL
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	flights sync.WaitGroup

	cur atomic.Pointer[login] // nil before the first; replaced whole

	mu      sync.Mutex // guards what follows; never held across I/O
	flight  *flight    // the work under way, or nil
	needs   []*need    // of callers that wait for a flight that does not cover them
	resumed bool       // the stored session was looked for
	found   place      // name and issuer of the session that a call has found, and could not open
	shown   []string   // tokens that the API was shown lately; replaced whole
	given   []*register.Registration

	announced string           // where a challenge has said that the API's metadata is
	denials   map[string]error // how logins have ended without a session, by what they want
}

// A login is what an authorization server has given.
type login struct {
	program
	resource string
	session  string  // the session's name
	moving   *moving // what the manager renews by
	manager  *refresh.Manager
	requests http.RoundTripper
	granting bool                 // by Config.Grant: no person logs in
	accepted atomic.Bool          // the API has taken a token of it
	doubted  atomic.Int64         // when the API began to refuse its living token, in nanoseconds since 1970; 0: it does not
	noted    atomic.Pointer[note] // nil: nothing since the API last took a token
	began    time.Time
	renewed  atomic.Int64 // when a program that presents tokens had it renewed, in nanoseconds since 1970
}

// New returns a session. It neither sends nor reads anything yet: the first request looks
// for the stored session, and the first one that the API refuses begins a login. The
// caller calls Close. An error matches [oauth.ErrMisconfigured].
func New(cfg Config) (*Session, error) {
	cfg.URL, _, _ = strings.Cut(cfg.URL, "#") // which no server sees
	u, err := url.Parse(cfg.URL)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("connect: Config.URL is not an absolute URL: %w", oauth.ErrMisconfigured)
	case u.User != nil: // net/http would send it beside the tokens
		return nil, fmt.Errorf("connect: Config.URL has user information; leave it out, and set Config.Account: %w", oauth.ErrMisconfigured)
	}
	if cfg.Refresh.Store == nil {
		cfg.Refresh.Store = new(tokenstore.Memory)
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Session{cfg: cfg, origin: u, ctx: ctx, cancel: cancel, given: slices.Clone(cfg.Client.Given)}, nil
}

// Open is New and [Session.Connect] in one: it returns a session that runs.
func Open(ctx context.Context, cfg Config) (*Session, error) {
	s, err := New(cfg)
	if err != nil {
		return nil, err
	}
	if err := s.Connect(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// URL returns the API's address, without a fragment.
func (s *Session) URL() string { return s.cfg.URL }

// Client returns an HTTP client whose requests to the API's origin carry the session's
// token; requests elsewhere, and those with credentials of their own in its place, are passed
// on as they are. Without a session, or when the API refuses the token for good, a request
// waits for the login, as long as its context allows, and is sent again if its body can be
// rewound; if not, the caller gets the refusal, and the next request has the session.
func (s *Session) Client() *http.Client { return &http.Client{Transport: roundTripper{s}} }

// Connect waits until there is a session, stored or by a login, although the API has
// refused nothing yet. An API that wants no login leads to an error that matches
// [oauth.ErrMisconfigured]. A person who has refused a login, or has not completed it, is
// asked again, as requests do not until the next start.
func (s *Session) Connect(ctx context.Context) error {
	s.mu.Lock()
	s.denials = nil
	s.mu.Unlock()
	if err := s.resume(ctx); err != nil {
		return err
	}
	if l := s.cur.Load(); l != nil {
		_, err := l.manager.TokenContext(ctx)
		if !errors.Is(err, oauth.ErrLoginRequired) {
			return err
		}
		return s.authorize(ctx, l, nil, err)
	}
	return s.authorize(ctx, nil, nil, nil)
}

// Close ends a login under way and stops renewing, as refresh.Manager.Stop does. Stored
// tokens stay, and so does the login: another process can go on with it. Idempotent.
func (s *Session) Close() {
	s.cancel()
	s.flights.Wait()
	if l := s.cur.Load(); l != nil {
		l.manager.Stop()
	}
}

// Status returns how the session fares, or nil before there is one.
func (s *Session) Status() *refresh.RefreshStatus {
	if l := s.cur.Load(); l != nil {
		return l.manager.GetRefreshStatus()
	}
	return nil
}

// String describes the session without secrets.
func (s *Session) String() string { return fmt.Sprintf("connect.Session{%q}", s.origin.Host) }

// Format implements fmt.Formatter: every verb prints what String returns.
func (s *Session) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, s.String()) }

// LogValue implements slog.LogValuer.
func (s *Session) LogValue() slog.Value { return slog.StringValue(s.String()) }

func (s *Session) base() http.RoundTripper {
	if s.cfg.Transport == nil {
		return http.DefaultTransport
	}
	return s.cfg.Transport
}

func (s *Session) store() tokenstore.Store { return s.cfg.Refresh.Store }

// now is the time by the program's clock.
func (s *Session) now() time.Time {
	if s.cfg.OAuth.Now != nil {
		return s.cfg.OAuth.Now()
	}
	return time.Now()
}

// isOurs reports whether a request goes to the API.
func (s *Session) isOurs(u *url.URL) bool { return origin.Of(u) == origin.Of(s.origin) }

// errClosed is what callers get after Close.
var errClosed = errors.New("connect: the session is closed")

// authorize makes the session one that may help after a refusal, whose header or cause is
// given, of a request that was sent with the login seen (nil: without).
func (s *Session) authorize(ctx context.Context, seen *login, header http.Header, cause error) error {
	if err := s.noted(seen, header, cause); err != nil {
		return err
	}
	return s.share(ctx, seen, needOf(header), func(ctx context.Context, seen *login, n need) (*login, error) {
		return s.next(ctx, seen, header, cause, n)
	})
}
