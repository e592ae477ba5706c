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
	unmet    atomic.Pointer[note] // as noted, of a refusal that wants more scope
	began    time.Time
	renewed  atomic.Int64 // when a program that presents tokens had it renewed, in nanoseconds since 1970
}

// A flight is work that callers wait for; err is written before done closes.
type flight struct {
	need need // what it asks for
	done chan struct{}
	err  error
}

// A workFunc returns the login that takes the place of seen and gives what n is.
type workFunc func(ctx context.Context, seen *login, n need) (*login, error)

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

// needOf returns what the refusal of a request asks for.
func needOf(header http.Header) need {
	if !wantsMore(header) {
		return need{}
	}
	return need{wanted(header)}
}

// gives reports whether l was asked for what n is, or has got it. No other login would do more.
func (l *login) gives(n need) bool {
	if l == nil || n.isNone() {
		return true
	}
	cfg := l.client.Config()
	if n.want.WantsLogin() {
		same := func(name string) bool { return cfg.AuthParams.Get(name) == n.want.Params[name] }
		return same("acr_values") && same("max_age")
	}
	scopes := cfg.Scopes
	if pair := l.manager.GetTokens(); pair != nil {
		scopes = oauth.UnionScopes(scopes, pair.Scopes())
	}
	return containsAll(scopes, n.want.Scopes())
}

// share has work done that replaces the login seen. Callers share it, and who leaves does
// not end it for the others: the person may be at the browser already. A caller that needs
// something else than what is under way waits for the end of that, and then for what gives all
// that callers wait for by then, so that a person is asked once for it.
func (s *Session) share(ctx context.Context, seen *login, n need, work workFunc) error {
	defer s.need(&n)()
	for {
		f, covers, err := s.board(&seen, &n, work)
		if f == nil {
			return err
		}
		select {
		case <-f.done:
			if covers {
				return f.err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// need notes what a caller needs, until the function that it returns is called.
func (s *Session) need(n *need) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.needs = append(s.needs, n)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.needs = slices.DeleteFunc(s.needs, func(other *need) bool { return other == n })
	}
}

// board returns the flight under way, or begins one, and whether it covers what the caller
// needs. It returns none if there is nothing to wait for.
func (s *Session) board(seen **login, n *need, work workFunc) (f *flight, covers bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.cur.Load(); now != *seen {
		if now.gives(*n) {
			return nil, false, nil
		}
		*seen = now
	}
	if *seen == nil {
		*n = need{} // a first login is one for all
	}
	if f := s.flight; f != nil {
		return f, f.need.covers(*n), nil
	}
	if s.ctx.Err() != nil {
		return nil, false, errClosed
	}
	f = &flight{need: *n, done: make(chan struct{})}
	for _, other := range s.needs {
		if !(*seen).gives(*other) {
			f.need = f.need.and(*other)
		}
	}
	s.flight = f
	replaced := *seen
	s.flights.Go(func() { s.fly(f, replaced, work) })
	return f, true, nil
}

// fly does what a flight is for.
func (s *Session) fly(f *flight, seen *login, work workFunc) {
	next, err := work(s.ctx, seen, f.need)
	s.mu.Lock()
	if err == nil {
		s.cur.Store(next)
	}
	if !errors.Is(err, tokenstore.ErrSealed) {
		s.found = place{}
	}
	f.err, s.flight = err, nil
	close(f.done)
	s.mu.Unlock()
	if err == nil && seen != nil && seen.manager != next.manager {
		seen.manager.Stop()
	}
}
