package connect_test

import (
	"encoding/json"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/evertoken/evertoken/connect"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/tokenstore"
)

// underWay returns the login of the session that is under way, as the Store has it, or nil.
func (p *person) underWay(t *testing.T, store tokenstore.Store) *oauth.LoginRequest {
	t.Helper()
	name := connect.LoginRecord(connect.SessionName(p.server.Resource(), p.server.Issuer(), ""))
	rec, err := store.Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	var kept struct {
		Request *oauth.LoginRequest `json:"request"`
	}
	if err := json.Unmarshal(rec.Unknown["connect"], &kept); err != nil {
		t.Fatal(err)
	}
	return kept.Request
}

// inTheClear returns the names of the files in a directory that show one of the secrets.
func inTheClear(t *testing.T, dir string, secrets ...string) (shown []string) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		n++
		content, err := os.ReadFile(path)
		for _, secret := range secrets {
			if secret == "" || strings.Contains(string(content), secret) {
				shown = append(shown, entry.Name())
			}
		}
		return err
	})
	if err != nil || n == 0 {
		t.Fatalf("%d files, %v", n, err)
	}
	return shown
}

// What redeems a login that is under way, so that another process can go on with it, is
// sealed, is not in the address that the browser's command shows, and goes when the login ends.
func TestALoginUnderWayIsSealedAndGoesWhenItEnds(t *testing.T) {
	for name, allowed := range map[string]bool{"allowed": true, "denied": false} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, oauthtest.Config{})
			var dir string
			var store tokenstore.Store
			s := d.process(t, d.byBrowser, inFiles(t, &dir), func(cfg *connect.Config) {
				store, cfg.OAuth.Scopes = cfg.Refresh.Store, []string{"openid"}
			})
			var calls sync.WaitGroup
			calls.Go(func() {
				if err := call(s); (err == nil) != allowed {
					t.Errorf("the call ends with %v", err)
				}
			})
			window := <-d.window
			req := d.underWay(t, store)
			if req == nil || req.Verifier == "" || req.State == "" || req.Nonce == "" {
				t.Fatal("the login under way is not kept")
			}
			if shown := inTheClear(t, dir, req.Verifier, req.State, req.Nonce); len(shown) != 0 {
				t.Errorf("%q show what redeems the login", shown)
			}
			if u, err := url.Parse(window); err != nil || strings.Contains(window, req.Verifier) || u.Query().Get("state") != req.State {
				t.Errorf("the address of the login is not of this login, or has the verifier (%v)", err)
			}
			if allowed {
				d.allow(t, window)
			} else {
				d.deny(t, window)
			}
			calls.Wait()
			s.Close()
			if req := d.underWay(t, store); req != nil {
				t.Error("the login is still kept after its end")
			}
		})
	}
}
