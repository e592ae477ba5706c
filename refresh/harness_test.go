package refresh_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A fixture is a manager over a real authorization server in process. Tests run
// it in a synctest bubble, so that time is exact and costs nothing.
type fixture struct {
	*refresh.Manager
	server *oauthtest.Server
	store  tokenstore.Store
	first  *oauth.TokenPair
	events *recorder
}

// A recorder keeps a manager's events.
type recorder struct {
	mu  sync.Mutex
	all []refresh.Event
}

func (r *recorder) add(e refresh.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, e)
}

func (r *recorder) of(kind refresh.EventKind) []refresh.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []refresh.Event
	for _, e := range r.all {
		if e.Kind == kind {
			list = append(list, e)
		}
	}
	return list
}

func (r *recorder) count(kind refresh.EventKind) int { return len(r.of(kind)) }

// newFixture logs alice in and makes a manager for her session, not yet started.
// The edits change the manager's configuration.
func newFixture(t *testing.T, server oauthtest.Config, edits ...func(*refresh.Config)) *fixture {
	t.Helper()
	f := &fixture{server: oauthtest.New(server), store: new(tokenstore.Memory), events: new(recorder)}
	var err error
	if f.first, err = f.server.Login("alice"); err != nil {
		t.Fatal(err)
	}
	cfg := refresh.Config{
		OAuthClient: oauth.NewClient(f.server.OAuthConfig()),
		Store:       f.store,
		OnEvent:     f.events.add,
	}
	for _, edit := range edits {
		edit(&cfg)
	}
	if cfg.Store != f.store {
		f.store = cfg.Store
	}
	f.Manager = refresh.NewManager(cfg)
	t.Cleanup(f.Stop)
	return f
}

// start starts the manager with the first pair.
func (f *fixture) start(t *testing.T) *fixture {
	t.Helper()
	if err := f.Start(t.Context(), f.first); err != nil {
		t.Fatal(err)
	}
	return f
}

// clean fails the test if the server saw a mistake.
func (f *fixture) clean(t *testing.T) {
	t.Helper()
	for _, mistake := range f.server.Audit() {
		t.Errorf("the server saw a mistake: %v", mistake)
	}
}

// saved returns the pair in the store.
func (f *fixture) saved(t *testing.T) *oauth.TokenPair {
	t.Helper()
	rec, err := f.store.Get(context.Background(), "default")
	if err != nil {
		t.Fatal(err)
	}
	return rec.Tokens
}

const minute = time.Minute
