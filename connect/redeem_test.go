package connect_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/connect"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/tokenstore"
)

// answered keeps a login of the client's in the Store that the person has completed, and whose
// code nobody has redeemed.
func (p *person) answered(t *testing.T, client *oauth.Client) {
	t.Helper()
	req, err := client.AuthCodeURL()
	if err != nil {
		t.Fatal(err)
	}
	location, err := p.server.Allow(t.Context(), req.URL, oauthtest.DefaultUser)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	req.Answer = u.Query()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(map[string]any{
		"host": host, "client_id": client.Config().ClientID, "request": req, "began": time.Now(),
		"wants": strings.Join(client.Config().Scopes, " ") + "?",
	})
	if err != nil {
		t.Fatal(err)
	}
	name := connect.LoginRecord(connect.SessionName(p.server.Resource(), p.server.Issuer(), ""))
	rec, err := p.store.Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	rec = &tokenstore.Record{Version: rec.Version, Unknown: map[string]json.RawMessage{"connect": raw}}
	if _, err := p.store.Set(t.Context(), name, rec); err != nil {
		t.Fatal(err)
	}
}

// A token endpoint that is away for longer than a login waits for it does not cost the login.
func TestF90_ACodeOutlivesABadMomentOfTheTokenEndpoint(t *testing.T) {
	for name, fault := range map[string]oauthtest.Fault{
		"503":            {Grant: "authorization_code", Status: 503, Body: `{}`, Times: 6},
		"nobody listens": {Grant: "authorization_code", Down: true, Times: 6},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPerson(oauthtest.Config{})
				var client *oauth.Client
				first := p.process(t, func(cfg *connect.Config) {
					cfg.Login = func(ctx context.Context, c *oauth.Client) (*oauth.TokenPair, error) {
						client = c
						return p.login(ctx, c)
					}
				})
				mustCall(t, "first", first)
				first.Close()
				p.server.RevokeAll(oauthtest.DefaultUser)
				time.Sleep(2 * time.Hour)
				p.answered(t, client)

				p.server.Script(fault)
				s := p.process(t, func(cfg *connect.Config) {
					cfg.Login = nil
					cfg.OAuth.OpenBrowser = func(context.Context, string) error { p.windows.Add(1); return nil }
				})
				if err := call(s); !errors.Is(err, oauth.ErrTransient) {
					t.Errorf("while the token endpoint is away: %v; want ErrTransient", err)
				}
				mustCall(t, "when it is back", s)
				p.want(t, "afterwards", 1, 1)
			})
		})
	}
}
