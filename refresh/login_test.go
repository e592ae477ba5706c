package refresh_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

func TestSimultaneousStartsShareOneLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := oauthtest.New(oauthtest.Config{})
		store := new(tokenstore.Memory)
		var logins atomic.Int32
		login := func(context.Context) (*oauth.TokenPair, error) {
			logins.Add(1)
			time.Sleep(2 * time.Minute) // people take their time
			return server.Login("alice")
		}
		started := make(chan error)
		for range 10 {
			m := refresh.NewManager(refresh.Config{OAuthClient: oauth.NewClient(server.OAuthConfig()), Store: store})
			t.Cleanup(m.Stop)
			go func() { started <- m.StartOrLogin(t.Context(), login) }()
		}
		for range 10 {
			if err := <-started; err != nil {
				t.Error(err)
			}
		}
		if n := logins.Load(); n != 1 {
			t.Errorf("10 starts caused %d logins; want 1", n)
		}
	})
}

func TestStartOrLoginReplacesAnEndedSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		f.server.RevokeAll("alice")
		if err := f.ForceRefresh(t.Context()); !errors.Is(err, oauth.ErrLoginRequired) {
			t.Fatalf("refresh of a revoked session: %v; want ErrLoginRequired", err)
		}
		f.Stop()
		login := func(context.Context) (*oauth.TokenPair, error) { return f.server.Login("alice") }
		if err := f.StartOrLogin(t.Context(), login); err != nil {
			t.Fatal(err)
		}
		if st := f.GetRefreshStatus(); st.State != refresh.StateValid || !st.IsRunning {
			t.Errorf("after a new login: state %s, running %v", st.State, st.IsRunning)
		}
	})
}

func TestStartOrLoginReturnsTheLoginsError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		err := f.StartOrLogin(t.Context(), func(context.Context) (*oauth.TokenPair, error) { return nil, oauth.ErrAccessDenied })
		if !errors.Is(err, oauth.ErrAccessDenied) || f.IsRunning() {
			t.Errorf("StartOrLogin = %v, running %v; want ErrAccessDenied and not running", err, f.IsRunning())
		}
	})
}
