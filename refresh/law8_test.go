package refresh_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/internal/taint"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// Law 8: secrets stay secret. (Origins and redirects of API requests are tested
// with the Transport.)

const (
	lawsServer = "https://auth.test"
	lawsAPI    = "https://api.test"
)

// knowPair tells the book of a pair's secrets: its access token may go to these APIs, and all
// of them to the server.
func knowPair(b *taint.Book, p *oauth.TokenPair, apis ...string) {
	b.Secret("access token", p.AccessToken, append(apis, lawsServer)...)
	b.Secret("refresh token", p.RefreshToken, lawsServer)
	b.Secret("ID token", p.IDToken)
	var key struct{ D string }
	if data, err := json.Marshal(p.DPoPKey); err == nil && json.Unmarshal(data, &key) == nil && key.D != "" {
		raw, _ := base64.RawURLEncoding.DecodeString(key.D)
		b.Key("DPoP key", raw)
	}
}

// inWorld has what a client and an API are asked go into the book. All that is neither the
// client's server nor the API answers with marks.
func inWorld(b *taint.Book, client *oauth.Client, api http.RoundTripper) (*oauth.Client, *taint.Servers) {
	cfg := client.Config()
	world := &taint.Servers{Book: b, At: map[string]http.RoundTripper{lawsServer: cfg.HTTPClient.Transport, lawsAPI: api}, Else: taint.Hostile{Status: http.StatusOK}}
	cfg.HTTPClient = &http.Client{Transport: world}
	return oauth.NewClient(cfg), world
}

// showStatus adds all that can be seen of a manager, and an error.
func showStatus(t *testing.T, b *taint.Book, m *refresh.Manager, err error) {
	t.Helper()
	status := m.GetRefreshStatus()
	data, jsonErr := json.Marshal(status)
	if jsonErr != nil {
		t.Fatal(jsonErr)
	}
	b.Shown("status as JSON", string(data))
	b.Print("status", status, *status)
	b.Print("manager", m, m.GetTokens(), m.Resource(lawsAPI), m.Transport(nil))
	b.PrintOpen("client", m.Client())
	b.PrintError("error", err)
}

func TestLaw8_SecretsStaySecret(t *testing.T) {
	for _, dpop := range []bool{false, true} {
		t.Run(fmt.Sprintf("DPoP %v", dpop), func(t *testing.T) { secretsStaySecret(t, dpop) })
	}
}

func secretsStaySecret(t *testing.T, dpop bool) {
	synctest.Test(t, func(t *testing.T) {
		b := new(taint.Book)
		b.Secret("client secret", "s3cret-of-the-client", lawsServer)
		b.Secret("panic", "panic-with-a-secret")
		s := newFaultyStore()
		server := oauthtest.Config{ClientSecret: "s3cret-of-the-client", JWTRefreshTokens: true, Grace: 30 * time.Second}
		panics := false
		var cfg refresh.Config
		fixture := newFixture
		if dpop {
			fixture = newDPoPFixture
		}
		f := fixture(t, server, s.use, func(c *refresh.Config) {
			next := c.OnEvent
			c.OnEvent = func(e refresh.Event) { next(e); b.Print("event", e, &e); b.PrintError("event", e.Err) }
			c.Logger = slog.New(both{
				slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}),
				slog.NewJSONHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}),
			})
			c.TokenStore = func(_ context.Context, p *oauth.TokenPair) error {
				knowPair(b, p, lawsAPI)
				if panics {
					panic("panic-with-a-secret " + p.RefreshToken)
				}
				return nil
			}
			c.OnRefreshFail = func(err error) bool { b.PrintError("OnRefreshFail", err); return false }
			c.OAuthClient, _ = inWorld(b, c.OAuthClient.(*oauth.Client), answering(http.StatusOK))
			cfg = *c
		})
		knowPair(b, f.first, lawsAPI)
		f.start(t)
		say := func(err error) {
			showStatus(t, b, f.Manager, err)
			b.Print("configuration", cfg, &cfg)
		}
		try := func(faults ...oauthtest.Fault) {
			f.server.Script(faults...)
			say(f.ForceRefresh(t.Context()))
			f.server.ClearScript()
			time.Sleep(2 * minute)
			knowPair(b, f.GetTokens(), lawsAPI)
			say(nil)
		}
		leak := `{"error":"invalid_grant ` + f.first.RefreshToken + `","error_description":"` + f.first.RefreshToken + `","access_token":7}`
		try()
		try(oauthtest.Fault{Status: 500, Body: leak})
		try(oauthtest.Fault{Status: 400, Body: leak})
		try(oauthtest.Fault{Status: 200, Body: leak})
		try(oauthtest.Fault{Status: 400, Body: `{"error":"` + f.first.RefreshToken + `"}`})
		try(oauthtest.Fault{CutBody: true})
		try(oauthtest.Fault{Redirect: "https://elsewhere.example/?refresh_token=" + url.QueryEscape(f.first.RefreshToken)})
		try(oauthtest.Fault{Reset: true}, oauthtest.Fault{Down: true})
		panics = true
		try()
		panics = false
		try()
		s.full(true)
		try()
		s.full(false)
		s.edit(func(s *faultyStore) { s.onGet = func(context.Context) error { panic("panic-with-a-secret") } })
		try()
		s.edit(func(s *faultyStore) { s.onGet = nil })
		rec := f.record(t)
		rec.Unknown = map[string]json.RawMessage{"of_a_later_version": json.RawMessage(`"panic-with-a-secret"`)}
		b.Print("record", rec, *rec)
		f.server.RevokeAll("alice")
		try()
		f.untilExpired()
		_, err := f.TokenContext(t.Context())
		say(err)
		f.Stop()
		_, err = f.TokenContext(t.Context())
		say(err)
		b.Check(t, 5, 300)
	})
}

// both hands log records to two handlers.
type both struct{ a, b slog.Handler }

func (h both) Enabled(context.Context, slog.Level) bool { return true }
func (h both) Handle(ctx context.Context, r slog.Record) error {
	return errors.Join(h.a.Handle(ctx, r.Clone()), h.b.Handle(ctx, r.Clone()))
}
func (h both) WithAttrs(as []slog.Attr) slog.Handler {
	return both{h.a.WithAttrs(as), h.b.WithAttrs(as)}
}
func (h both) WithGroup(name string) slog.Handler {
	return both{h.a.WithGroup(name), h.b.WithGroup(name)}
}

func TestLaw8_StoreInMemoryPrintsNoTokens(t *testing.T) {
	b := new(taint.Book)
	server := oauthtest.New(oauthtest.Config{})
	pair, err := server.Login("alice")
	if err != nil {
		t.Fatal(err)
	}
	knowPair(b, pair)
	store := new(tokenstore.Memory)
	if err := tokenstore.Func(store, "default")(t.Context(), pair); err != nil {
		t.Fatal(err)
	}
	b.Print("store", store, refresh.Config{Store: store})
	b.Check(t, 3, 1)
}

func TestLaw8_TokensGoOverTLSOrLoopbackOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		client := f.server.OAuthConfig()
		client.TokenURL = "http://auth.test/token"
		sent := 0
		client.HTTPClient = &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
			sent++
			return nil, errors.New("not reached")
		})}
		m := f.sibling(t, func(cfg *refresh.Config) { cfg.OAuthClient = oauth.NewClient(client) }).start(t)
		is(t, m.ForceRefresh(t.Context()), oauth.ErrMisconfigured)
		if sent != 0 {
			t.Errorf("a refresh token was sent over plain HTTP %d times", sent)
		}
		if !m.RequireTransportSecurity() {
			t.Error("gRPC would send the access token without TLS")
		}
	})
}
