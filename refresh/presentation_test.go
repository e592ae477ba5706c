package refresh_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/dialect"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

var presentations = map[string]struct {
	way oauth.Presentation
	of  func(h http.Header) string // the token that a request carries, or ""
}{
	"default":   {oauth.Presentation{}, func(h http.Header) string { return after(h.Get("Authorization"), "Bearer ") }},
	"scheme":    {oauth.Presentation{Scheme: "JWT"}, func(h http.Header) string { return after(h.Get("Authorization"), "JWT ") }},
	"no scheme": {oauth.Presentation{Header: "Authorization"}, func(h http.Header) string { return h.Get("Authorization") }},
	"header":    {oauth.Presentation{Header: "X-Token"}, func(h http.Header) string { return h.Get("X-Token") }},
	"cookie":    {oauth.Presentation{Cookie: "at"}, func(h http.Header) string { return after(h.Get("Cookie"), "at=") }},
	"two cookies": {oauth.Presentation{Cookie: "at", SignatureCookie: "sig"}, func(h http.Header) string {
		return strings.Replace(after(h.Get("Cookie"), "at="), "; sig=", ".", 1)
	}},
}

func after(text, prefix string) string {
	rest, found := strings.CutPrefix(text, prefix)
	if !found {
		return ""
	}
	return rest
}

// apiOf is an API of that way in front of the server's resource.
func apiOf(server *oauthtest.Server, of func(http.Header) string, challenge string) roundTripFunc {
	return func(r *http.Request) (*http.Response, error) {
		inner := r.Clone(r.Context())
		inner.Header = http.Header{}
		if token := of(r.Header); token != "" {
			inner.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := server.Client().Transport.RoundTrip(inner)
		if err == nil {
			resp.Header.Del("WWW-Authenticate")
			if challenge != "" && resp.StatusCode == http.StatusUnauthorized {
				resp.Header.Set("WWW-Authenticate", challenge)
			}
		}
		return resp, err
	}
}

func TestRequestsCarryTheTokenAsTheAPIWantsIt(t *testing.T) {
	for name, tt := range presentations {
		for _, challenge := range []string{"", `JWT realm="x"`, `Bearer realm="x"`, "nonsense ="} {
			t.Run(name+challenge, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) { cfg.Presentation = tt.way }).start(t)
					client := &http.Client{Transport: f.Transport(apiOf(f.server, tt.of, challenge))}
					if status := get(t, client, f.server.Resource()); status != http.StatusOK {
						t.Errorf("the API answers %d", status)
					}
					f.server.ExpireAccess("alice") // the API takes the token no more, and says so in its words
					if status := get(t, client, f.server.Resource()); status != http.StatusOK {
						t.Errorf("after the token was refused: %d; want one more try with a new one", status)
					}
					metadata, err := f.GetRequestMetadata(t.Context())
					if err != nil || len(metadata) != 1 {
						t.Fatalf("metadata of %d, %v", len(metadata), err)
					}
					h := http.Header{}
					for name, value := range metadata {
						if name != strings.ToLower(name) {
							t.Errorf("gRPC metadata %q is not in lower case", name)
						}
						h.Set(name, value)
					}
					if tt.of(h) != f.GetTokens().AccessToken {
						t.Error("gRPC does not carry the token")
					}
				})
			})
		}
	}
}

func TestTheDialectTellsHowTheTokenIsPresented(t *testing.T) {
	server := oauthtest.New(oauthtest.Config{})
	d := dialect.Kratos()
	d.Presentation = oauth.Presentation{Header: "X-Token"}
	client := dialect.NewClient(d, server.DialectConfig(oauthtest.KratosBackend))
	pair, err := client.Login(t.Context(), "alice", "wonderland")
	if err != nil {
		t.Fatal(err)
	}
	for own, header := range map[oauth.Presentation]string{{}: "X-Token", {Header: "X-Mine"}: "X-Mine"} {
		m := refresh.NewManager(refresh.Config{OAuthClient: client, Store: new(tokenstore.Memory), Presentation: own})
		if err := m.Start(t.Context(), pair); err != nil {
			t.Fatal(err)
		}
		var sent http.Header
		api := m.Transport(roundTripFunc(func(r *http.Request) (*http.Response, error) {
			sent = r.Header
			return nil, errors.New("enough")
		}))
		request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.example/", nil)
		_, _ = api.RoundTrip(request)
		if sent.Get(header) != pair.AccessToken || len(sent) != 1 {
			t.Errorf("sent %d headers; want %s alone", len(sent), header)
		}
		request.Header.Set("Authorization", "Basic of-a-gateway")
		_, _ = api.RoundTrip(request)
		if sent.Get(header) != pair.AccessToken || sent.Get("Authorization") != "Basic of-a-gateway" {
			t.Errorf("sent %d headers; want the program's Authorization and the token in %s", len(sent), header)
		}
		request.Header.Set(header, "the program's own")
		_, _ = api.RoundTrip(request)
		if sent.Get(header) != "the program's own" {
			t.Error("the program's own header was replaced")
		}
		m.Stop()
	}
}

func TestAPresentationThatCannotBeIsReportedAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) { cfg.Presentation.Header = "Cookie" })
		is(t, f.Start(t.Context(), f.first), oauth.ErrMisconfigured)
		time.Sleep(time.Second)
	})
}
