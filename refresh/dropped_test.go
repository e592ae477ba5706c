package refresh_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A session that was dropped with a refresh under way, and opened again at once, is served
// at once, and spends nothing before that refresh has landed, however often that is done. A
// logout ends what it has brought.
func TestLaw1_ADroppedSessionThatIsOpenedAgainSpendsOneTokenAtATime(t *testing.T) {
	for name, tt := range map[string]struct {
		locks  bool
		again  int
		logout bool
	}{
		"with locks": {true, 1, false}, "without locks": {false, 1, false}, "several times": {false, 3, false}, "logged out": {false, 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := oauthtest.New(oauthtest.Config{})
				first, err := server.Login("alice")
				if err != nil {
					t.Fatal(err)
				}
				var s tokenstore.Store = new(tokenstore.Memory)
				if !tt.locks {
					s = struct{ tokenstore.Store }{s}
				}
				p := refresh.NewPool(refresh.PoolConfig{Config: refresh.Config{OAuthClient: oauth.NewClient(server.OAuthConfig()), Store: s}})
				defer p.Stop()
				if err := p.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				m, err := p.Add(t.Context(), "alice", first)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				const answer = 8 * time.Second
				server.Script(oauthtest.Fault{AfterCommit: true, Delay: answer})
				sent := time.Now()
				for i := range tt.again {
					go m.ForceRefresh(context.Background())
					time.Sleep(time.Second)
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					if err := p.Drop(ctx, "alice"); (err == nil) != (i > 0) {
						t.Errorf("drop %d: %v", i, err) // one that waits for its turn is not begun
					}
					cancel()
					begun := time.Now()
					if m, err = p.Session(t.Context(), "alice"); err != nil {
						t.Fatal(err)
					}
					if _, err := m.TokenContext(t.Context()); err != nil || time.Since(begun) > 0 {
						t.Errorf("served after %v, %v", time.Since(begun), err)
					}
				}
				if tt.logout {
					if err := m.Logout(t.Context()); err != nil {
						t.Fatal(err)
					}
					if after := time.Since(sent); after < answer {
						t.Errorf("logged out after %v; what comes later is not ended", after)
					}
					if n := server.Sessions("alice"); n > 0 {
						t.Errorf("%d sessions live on at the server", n)
					}
					return
				}
				if err := m.ForceRefresh(t.Context()); err != nil {
					t.Error(err)
				}
				time.Sleep(20 * minute)
				if st := m.GetRefreshStatus(); st.State != refresh.StateValid {
					t.Errorf("status %+v", st)
				}
				if mistakes := server.Audit(); len(mistakes) > 0 {
					t.Errorf("mistakes: %v", mistakes)
				}
			})
		})
	}
}
