package conformance

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// checkInterval is that of the managers here. A refusal in words that do not
// decide makes a session suspected when it has lasted for ten of them.
const checkInterval = time.Second

// A keeper is a running manager, and what it has told.
type keeper struct {
	*refresh.Manager
	t      *testing.T
	server *authServer
	events chan refresh.Event
	failed chan error // what OnRefreshFail heard
}

// keep starts a manager. Without a pair it goes on with what is in the store.
func (s *authServer) keep(t *testing.T, store tokenstore.Store, pair *oauth.TokenPair, edit func(*refresh.Config)) *keeper {
	t.Helper()
	k := &keeper{t: t, server: s, events: make(chan refresh.Event, 1024), failed: make(chan error, 16)}
	cfg := refresh.Config{
		OAuthClient:   s.renewer(t, nil),
		Store:         store,
		CheckInterval: checkInterval,
		OnRefreshFail: func(err error) bool { k.failed <- err; return false },
		OnEvent:       func(e refresh.Event) { k.events <- e },
	}
	if edit != nil {
		edit(&cfg)
	}
	k.Manager = refresh.NewManager(cfg)
	if err := k.Start(t.Context(), pair); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Stop)
	return k
}

// newStore returns an empty store in files.
func newStore(t *testing.T) *tokenstore.File {
	t.Helper()
	return openStore(t, t.TempDir())
}

func openStore(t *testing.T, dir string) *tokenstore.File {
	t.Helper()
	store, err := tokenstore.NewFile(dir)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// refresh refreshes, which must succeed, and returns the new pair.
func (k *keeper) refresh() *oauth.TokenPair {
	k.t.Helper()
	if err := k.ForceRefresh(k.t.Context()); err != nil {
		k.t.Fatalf("refresh: %v", err)
	}
	return k.GetTokens()
}

// await waits for an event of one of the kinds, from the time on that the last one was
// waited for.
func (k *keeper) await(kinds ...refresh.EventKind) refresh.Event {
	k.t.Helper()
	limit := time.After(stepLimit)
	for {
		select {
		case e := <-k.events:
			if slices.Contains(kinds, e.Kind) {
				return e
			}
		case <-limit:
			k.t.Fatalf("no event %q within %v; the status is %+v", kinds, stepLimit, k.GetRefreshStatus())
		}
	}
}

// grow makes a stored session older, and its access token dead, by two minutes: long
// enough for a word of the server's to count that may otherwise be a matter of the
// moment.
func (k *keeper) grow(store tokenstore.Store) {
	k.t.Helper()
	rec, err := store.Get(k.t.Context(), "default")
	if err != nil {
		k.t.Fatal(err)
	}
	const by = 2 * time.Minute
	rec.RefreshedAt, rec.Tokens.ExpiresAt = rec.RefreshedAt.Add(-by), time.Now().Add(-time.Second)
	for _, mark := range []*tokenstore.Mark{rec.Pending, rec.Refused} {
		if mark != nil {
			mark.At, mark.Last = mark.At.Add(-by), mark.Last.Add(-by)
			mark.Count += 2 // as often as it would have been heard
		}
	}
	if _, err := store.Set(k.t.Context(), "default", rec); err != nil {
		k.t.Fatal(err)
	}
}

// worksAtAPI fails the test unless the manager's client is let in.
func (k *keeper) worksAtAPI() {
	k.t.Helper()
	req, err := http.NewRequestWithContext(k.t.Context(), http.MethodGet, k.server.api, nil)
	if err != nil {
		k.t.Fatal(err)
	}
	if !k.server.answersOK(k.t, k.Client(), req) {
		k.t.Error("the API does not take the manager's token")
	}
}

// well fails the test if the program was told that the session has ended.
func (k *keeper) well() {
	k.t.Helper()
	select {
	case err := <-k.failed:
		k.t.Errorf("OnRefreshFail was called with %v, but the session lives", err)
	default:
	}
	k.worksAtAPI()
}

// ends expects that a refresh finds the session ended: sooner or later, told once,
// and with the pair kept. Servers that do not say it in a clear word are suspected.
func (k *keeper) ends(store tokenstore.Store) {
	k.t.Helper()
	last := k.GetTokens()
	err := k.ForceRefresh(k.t.Context())
	if err == nil {
		k.t.Fatal("the session has ended, but a refresh succeeds")
	}
	if !errors.Is(err, oauth.ErrLoginRequired) {
		if !errors.Is(err, oauth.ErrTransient) {
			k.t.Errorf("a refresh says %v, want an error that matches ErrTransient until the verdict", err)
		}
		k.Stop()
		k.grow(store)
		*k = *k.server.keep(k.t, store, nil, nil) // which asks at once
		k.await(refresh.EventLoginRequired, refresh.EventSuspected)
	}
	if err := k.ForceRefresh(k.t.Context()); !errors.Is(err, oauth.ErrLoginRequired) {
		k.t.Errorf("after the verdict, a refresh says %v, want an error that matches ErrLoginRequired", err)
	}
	rec, err := store.Get(k.t.Context(), "default")
	if err != nil {
		k.t.Fatal(err)
	}
	if rec.Tokens.RefreshToken != last.RefreshToken || !rec.Dead.On(last.RefreshToken) && !rec.Refused.On(last.RefreshToken) {
		k.t.Error("the pair is not kept, and marked")
	}
	select {
	case <-k.failed: // by a goroutine of its own, for which nothing waits
	case <-time.After(stepLimit):
		k.t.Error("OnRefreshFail was not called")
	}
	k.Stop()
	if n := len(k.failed); n != 0 {
		k.t.Errorf("OnRefreshFail was called %d times more, want once in all", n)
	}
}
