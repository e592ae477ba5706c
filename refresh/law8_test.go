package refresh_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// Law 8: secrets stay secret. (Origins and redirects of API requests are tested
// with the Transport.)

// A vault knows every secret of a test, and what has been said.
type vault struct {
	mu      sync.Mutex
	secrets []string
	said    bytes.Buffer
}

// know adds secrets. JWTs are also looked for by their parts: half a token is
// too much.
func (v *vault) know(secrets ...string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range secrets {
		if s == "" {
			continue
		}
		v.secrets = append(v.secrets, s, url.QueryEscape(s), base64.StdEncoding.EncodeToString([]byte(s)))
		if parts := strings.Split(s, "."); len(parts) == 3 {
			v.secrets = append(v.secrets, parts[1], parts[2])
		}
	}
}

func (v *vault) knowPair(p *oauth.TokenPair) {
	v.know(p.AccessToken, p.RefreshToken, p.IDToken)
	var key struct{ D string }
	if data, err := json.Marshal(p.DPoPKey); err == nil && json.Unmarshal(data, &key) == nil && key.D != "" {
		raw, _ := base64.RawURLEncoding.DecodeString(key.D)
		v.know(key.D, string(raw), new(big.Int).SetBytes(raw).String())
	}
}

// Write makes a vault the place where logs go.
func (v *vault) Write(p []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.said.Write(p)
}

// print says values in all the ways that people use, or mistype.
func (v *vault) print(values ...any) {
	v.printWith([]string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"}, values)
}

// printOpen says values that have no method for it. With a verb that does not
// fit, fmt would read what is behind their pointers, and so race with its owner.
func (v *vault) printOpen(values ...any) { v.printWith([]string{"%v", "%+v", "%#v"}, values) }

func (v *vault) printWith(verbs []string, values []any) {
	for _, value := range values {
		for _, verb := range verbs {
			fmt.Fprintf(v, verb+"\n", value)
			fmt.Fprintf(v, verb+"\n", struct{ Field any }{value})
			fmt.Fprintf(v, verb+"\n", []any{value})
			fmt.Fprintf(v, verb+"\n", map[string]any{"key": value})
		}
		for _, log := range []slog.Handler{slog.NewTextHandler(v, nil), slog.NewJSONHandler(v, nil)} {
			slog.New(log).Info("said", "value", value)
		}
	}
}

// check fails the test if a secret was said.
func (v *vault) check(t *testing.T) {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	said := v.said.String()
	if len(v.secrets) < 5 || len(said) < 1000 {
		t.Errorf("%d secrets and %d bytes of output; that proves nothing", len(v.secrets), len(said))
	}
	for _, secret := range v.secrets {
		for _, form := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprint([]byte(secret))} {
			if i := strings.Index(said, strings.Trim(form, "[]")); i >= 0 {
				t.Errorf("a secret of %d bytes was printed after %q", len(secret), said[max(0, i-80):i])
				return
			}
		}
	}
}

func TestLaw8_SecretsStaySecret(t *testing.T) {
	for _, dpop := range []bool{false, true} {
		t.Run(fmt.Sprintf("DPoP %v", dpop), func(t *testing.T) { secretsStaySecret(t, dpop) })
	}
}

func secretsStaySecret(t *testing.T, dpop bool) {
	synctest.Test(t, func(t *testing.T) {
		v := new(vault)
		v.know("s3cret-of-the-client", "panic-with-a-secret")
		s := newFaultyStore()
		server := oauthtest.Config{ClientSecret: "s3cret-of-the-client", JWTRefreshTokens: true, Grace: 30 * time.Second}
		panics := false
		var cfg refresh.Config
		var client *oauth.Client
		fixture := newFixture
		if dpop {
			fixture = newDPoPFixture
		}
		f := fixture(t, server, s.use, func(c *refresh.Config) {
			next := c.OnEvent
			c.OnEvent = func(e refresh.Event) { next(e); v.print(e, &e) }
			c.Logger = slog.New(both{
				slog.NewTextHandler(v, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}),
				slog.NewJSONHandler(v, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}),
			})
			c.TokenStore = func(_ context.Context, p *oauth.TokenPair) error {
				v.knowPair(p)
				if panics {
					panic("panic-with-a-secret " + p.RefreshToken)
				}
				return nil
			}
			c.OnRefreshFail = func(err error) bool { v.print(err); return false }
			cfg, client = *c, c.OAuthClient.(*oauth.Client)
		})
		v.knowPair(f.first)
		f.start(t)

		say := func(err error) {
			status := f.GetRefreshStatus()
			data, jsonErr := json.Marshal(status)
			if jsonErr != nil {
				t.Fatal(jsonErr)
			}
			fmt.Fprintf(v, "%s\n", data)
			v.print(err, status, *status, f.Manager, client, client.Config(), f.GetTokens())
			v.printOpen(cfg, &cfg, f.Resource("https://api.example"), f.Transport(nil), f.Client())
			for ; err != nil; err = errors.Unwrap(err) {
				v.print(err)
			}
		}
		try := func(faults ...oauthtest.Fault) {
			f.server.Script(faults...)
			say(f.ForceRefresh(t.Context()))
			f.server.ClearScript()
			time.Sleep(2 * minute)
			v.knowPair(f.GetTokens())
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
		v.print(rec, *rec)
		f.server.RevokeAll("alice")
		try()
		f.untilExpired()
		_, err := f.TokenContext(t.Context())
		say(err)
		f.Stop()
		_, err = f.TokenContext(t.Context())
		say(err)
		v.check(t)
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
	v := new(vault)
	server := oauthtest.New(oauthtest.Config{})
	pair, err := server.Login("alice")
	if err != nil {
		t.Fatal(err)
	}
	v.knowPair(pair)
	store := new(tokenstore.Memory)
	if err := tokenstore.Func(store, "default")(t.Context(), pair); err != nil {
		t.Fatal(err)
	}
	v.print(store, refresh.Config{Store: store})
	v.check(t)
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
