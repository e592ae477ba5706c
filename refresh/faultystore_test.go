package refresh_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

var errDiskFull = errors.New("no space left on device")

// A faultyStore is one process's way to a Store that several may share. Each
// hook, if set, runs before the call it is named after, and its error is
// returned in place of calling. Change hooks with its methods only: managers use
// the store at the same time.
type faultyStore struct {
	tokenstore.Store

	mu      sync.Mutex // guards what follows
	onGet   func(context.Context) error
	onSet   func(context.Context, *tokenstore.Record) error
	afterOK func(*tokenstore.Record) error // runs after a Set that succeeded
	onLock  func(context.Context) error
	onLease func() error // what leases say of themselves
	sets    int
	deletes int
	locks   int
}

func newFaultyStore() *faultyStore { return &faultyStore{Store: new(tokenstore.Memory)} }

// use is an edit for newFixture.
func (s *faultyStore) use(cfg *refresh.Config) { cfg.Store = s }

// edit changes hooks.
func (s *faultyStore) edit(f func(s *faultyStore)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

// full makes the disk full, or not.
func (s *faultyStore) full(full bool) {
	s.edit(func(s *faultyStore) {
		s.onSet = nil
		if full {
			s.onSet = func(context.Context, *tokenstore.Record) error { return errDiskFull }
		}
	})
}

func (s *faultyStore) Get(ctx context.Context, name string) (*tokenstore.Record, error) {
	s.mu.Lock()
	hook := s.onGet
	s.mu.Unlock()
	if hook != nil {
		if err := hook(ctx); err != nil {
			return nil, err
		}
	}
	return s.Store.Get(ctx, name)
}

func (s *faultyStore) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	s.mu.Lock()
	hook, after := s.onSet, s.afterOK
	s.sets++
	s.mu.Unlock()
	if hook != nil && !tokenstore.IsServerRecord(name) {
		if err := hook(ctx, rec); err != nil {
			return 0, err
		}
	}
	version, err := s.Store.Set(ctx, name, rec)
	if tokenstore.IsServerRecord(name) {
		return version, err
	}
	if err == nil && after != nil {
		err = after(rec)
	}
	return version, err
}

func (s *faultyStore) Delete(ctx context.Context, name string, version uint64) error {
	s.edit(func(s *faultyStore) { s.deletes++ })
	return s.Store.Delete(ctx, name, version)
}

func (s *faultyStore) Lock(ctx context.Context, name string) (tokenstore.Lease, error) {
	s.mu.Lock()
	hook := s.onLock
	s.locks++
	s.mu.Unlock()
	if hook != nil {
		if err := hook(ctx); err != nil {
			return nil, err
		}
	}
	lease, err := s.Store.(tokenstore.Locker).Lock(ctx, name)
	if err != nil {
		return nil, err
	}
	return doubtfulLease{lease, s}, nil
}

// A doubtfulLease is lost when its store says so.
type doubtfulLease struct {
	tokenstore.Lease
	store *faultyStore
}

func (l doubtfulLease) Err() error {
	l.store.mu.Lock()
	hook := l.store.onLease
	l.store.mu.Unlock()
	if hook != nil {
		if err := hook(); err != nil {
			return err
		}
	}
	return l.Lease.Err()
}

// hang waits as a disk or network does that never answers: until ctx ends.
func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// unlocked hides a Store's locks, as one has none whose backend cannot lock.
type unlocked struct{ tokenstore.Store }

// withoutLocks is an edit for newFixture.
func withoutLocks(cfg *refresh.Config) { cfg.Store = unlocked{cfg.Store} }

// sibling is another process with the same session: a manager over the same
// Store with a client of its own, not yet started.
func (f *fixture) sibling(t *testing.T, edits ...func(*refresh.Config)) *fixture {
	t.Helper()
	s := &fixture{server: f.server, store: f.store, first: f.first, events: new(recorder)}
	cfg := refresh.Config{
		OAuthClient: oauth.NewClient(f.server.OAuthConfig()),
		Store:       f.store,
		OnEvent:     s.events.add,
	}
	for _, edit := range edits {
		edit(&cfg)
	}
	s.store = cfg.Store
	s.Manager = refresh.NewManager(cfg)
	t.Cleanup(s.Stop)
	return s
}

// resume starts the manager with the saved session.
func (f *fixture) resume(t *testing.T) *fixture {
	t.Helper()
	if err := f.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return f
}

// record returns the record in the store.
func (f *fixture) record(t *testing.T) *tokenstore.Record {
	t.Helper()
	rec, err := f.store.Get(context.Background(), "default")
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// requests returns how many requests have reached the token endpoint.
func (f *fixture) requests() int { return f.server.Requests(oauthtest.TokenEndpoint) }

// untilExpired sleeps until the current access token has just died.
func (f *fixture) untilExpired() {
	time.Sleep(time.Until(f.GetExpiresAt()))
	synctest.Wait()
}

// untilDue sleeps until a refresh has just become due and, unless it takes
// time, is over.
func (f *fixture) untilDue() {
	time.Sleep(f.GetRefreshStatus().TimeUntilRefresh + time.Millisecond)
	synctest.Wait()
}

// serve fails the test unless the token want is served, and at once.
func (f *fixture) serve(t *testing.T, want *oauth.TokenPair) {
	t.Helper()
	start := time.Now()
	got, err := f.TokenContext(t.Context())
	if err != nil {
		t.Errorf("no token: %v", err)
		return
	}
	if got.AccessToken != want.AccessToken {
		t.Error("another token was served")
	}
	if waited := time.Since(start); waited != 0 {
		t.Errorf("the caller waited %v; want none", waited)
	}
}

// is fails the test unless err matches all of the targets.
func is(t *testing.T, err error, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			t.Errorf("error %v; want one that matches %q", err, target)
		}
	}
}

// inState fails the test unless the manager is in the given state.
func (f *fixture) inState(t *testing.T, want refresh.State) {
	t.Helper()
	if st := f.GetRefreshStatus(); st.State != want {
		t.Errorf("state %q (%s); want %q", st.State, st.LastError, want)
	}
}

// roundTripper makes a function an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// onWire returns a client of server's that lets hook see each token request
// before it is sent.
func onWire(server *oauthtest.Server, hook func(r *http.Request, form url.Values)) *oauth.Client {
	cfg := server.OAuthConfig()
	next := cfg.HTTPClient.Transport
	cfg.HTTPClient = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		var body []byte
		var err error
		if r.Body != nil {
			body, err = io.ReadAll(r.Body)
		}
		if err != nil {
			return nil, err
		}
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, err
		}
		hook(r, form)
		sent := r.Clone(r.Context())
		sent.Body = io.NopCloser(bytes.NewReader(body))
		return next.RoundTrip(sent)
	})}
	return oauth.NewClient(cfg)
}

// failures counts calls of OnRefreshFail.
type failures struct {
	mu   sync.Mutex
	errs []error
}

func (f *failures) use(cfg *refresh.Config) { cfg.OnRefreshFail = f.hear }

func (f *failures) hear(err error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errs = append(f.errs, err)
	return false
}

func (f *failures) heard() []error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]error(nil), f.errs...)
}

// renewElsewhere refreshes the session without the lock and saves it, as a tool
// does that knows the Store but not its rules.
func (f *fixture) renewElsewhere(t *testing.T) *oauth.TokenPair {
	t.Helper()
	next, err := oauth.NewClient(f.server.OAuthConfig()).Refresh(context.Background(), f.saved(t))
	if err != nil {
		t.Error(err)
		return nil
	}
	if err := tokenstore.Func(f.store, "default")(context.Background(), next); err != nil {
		t.Error(err)
	}
	return next
}
