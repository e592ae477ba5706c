package mcp_test

import (
	"io"
	"log/slog"
	"net/http"
	"testing"

	"github.com/evertoken/evertoken/internal/taint"
	"github.com/evertoken/evertoken/mcp"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/oauth/register"
	"github.com/evertoken/evertoken/refresh"
)

// The taint test of this package: what the SDK's ways are sent, and what they and the session
// print, has no secret that is not for the server.
func TestLaw8_MCPSessionShowsNoSecretAndSendsNoTokenElsewhere(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			b := new(taint.Book)
			p := newPlace(t, oauthtest.Config{})
			auth := p.as.Load().Issuer()
			p.as.Load().Script(oauthtest.Fault{Endpoint: oauthtest.MetadataEndpoint, Times: -1, Edit: func(f map[string]any) {
				f["token_endpoint_auth_methods_supported"] = []string{"client_secret_basic"}
			}})
			world := &taint.Servers{Book: b, At: map[string]http.RoundTripper{
				auth:  taint.Issuer{Book: b, Origin: auth, APIs: []string{p.URL}, Server: http.DefaultTransport},
				p.URL: http.DefaultTransport,
			}, Else: taint.Hostile{Status: http.StatusOK}}
			b.Secret("another server's", "s3cret-of-another-server")
			s := p.session(t, func(cfg *mcp.Config) {
				cfg.Transport, cfg.OAuth.HTTPClient, cfg.OAuth.Output = world, &http.Client{Transport: world}, io.Discard
				cfg.Refresh.Logger = slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
				cfg.Refresh.OnEvent = func(e refresh.Event) { b.Print("event", e) }
				cfg.Client.Kept = []*register.Registration{{Issuer: "https://other.test", ClientID: "other", ClientSecret: "s3cret-of-another-server"}}
				b.Print("configuration", *cfg, cfg)
			})
			transport := way(s)
			if transport.OAuthHandler != nil {
				transport.HTTPClient = &http.Client{Transport: world}
			}
			conn := connect(t, transport)
			use := func(when string) {
				t.Helper()
				if err := call(t, conn); err != nil {
					b.PrintError(when, err)
				}
				b.Print("session", s)
				b.Print("ways", s.OAuthHandler(), s.Client().Transport)
				tokens, err := s.OAuthHandler().TokenSource(t.Context())
				b.Print("tokens", tokens)
				b.PrintError("tokens", err)
			}
			use("a call")
			p.as.Load().ExpireAccess(oauthtest.DefaultUser)
			use("after the server has dropped the access token")
			p.refuses.Store(true)
			use("while the API refuses every token")
			if err := conn.Close(); err != nil {
				b.PrintError("closing", err)
			}
			s.Close()
			b.Check(t, 5, 20)
			b.CheckTypes(t, "../api/mcp.txt", map[string]string{"connect.Grant": "a function, which prints as an address"})
		})
	}
}
