package oauth_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// The tests in servers_*_test.go are rows of docs/servers.md.

// Servers differ in how they read Basic, and one character in a secret is enough
// to notice. The refusal says what else there is.
func TestBasicIsReadInTwoWays(t *testing.T) {
	const plain, special = "s3cret", "p%w/=+ä:"
	for _, tt := range []struct {
		name   string
		secret string
		raw    bool
		method string // that the server takes alone
		auth   func(secret string) oauth.ClientAuth
		good   bool
	}{
		{"form-encoded, as it should be", special, false, "", oauth.SecretBasic, true},
		{"raw where it is read raw", special, true, "", oauth.SecretBasicRaw, true},
		{"form-encoded where it is read raw", special, true, "", oauth.SecretBasic, false},
		{"raw where it is form-decoded", special, false, "", oauth.SecretBasicRaw, false},
		{"a plain secret, encoded or not", plain, true, "", oauth.SecretBasic, true},
		{"neither works", special, false, "client_secret_post", oauth.SecretBasic, false},
		{"nor raw", special, true, "client_secret_post", oauth.SecretBasicRaw, false},
		{"but post", special, false, "client_secret_post", oauth.SecretPost, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := oauthtest.New(oauthtest.Config{
				Clients: []oauthtest.RegisteredClient{{ID: oauthtest.DefaultClientID, Secret: tt.secret, AuthMethod: tt.method}},
				Quirks:  oauthtest.Quirks{RawBasic: tt.raw},
			})
			cfg := s.OAuthConfig()
			cfg.ClientSecret, cfg.ClientAuth = "", tt.auth(tt.secret)
			pair, err := oauth.NewClient(cfg).Refresh(t.Context(), mustLogin(t, s))
			if n := s.Requests(oauthtest.TokenEndpoint); n != 1 {
				t.Errorf("%d requests; want 1, since each can cost the refresh token", n)
			}
			if tt.good {
				if err != nil {
					t.Fatal(err)
				}
				wantWorking(t, s, pair)
				return
			}
			failure(t, err)
			for _, words := range []string{"Config.ClientAuth", "client_secret_post", "without form-encoding"} {
				if !errors.Is(err, oauth.ErrMisconfigured) || !strings.Contains(err.Error(), words) {
					t.Errorf("got %v; want ErrMisconfigured that names %s", err, words)
				}
			}
		})
	}
}

// lie changes the metadata, under both addresses and for good.
func lie(edit func(fields map[string]any)) []oauthtest.Fault {
	return []oauthtest.Fault{
		{Endpoint: oauthtest.MetadataEndpoint, Edit: edit, Times: -1},
		{Endpoint: oauthtest.OpenIDEndpoint, Edit: edit, Times: -1},
	}
}

// A server claims what it refuses: the configuration wins.
func TestMetadataThatClaimsTooMuchIsOverruled(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{
		Clients: []oauthtest.RegisteredClient{{ID: oauthtest.DefaultClientID, Secret: "s3cret", AuthMethod: "client_secret_post"}},
	})
	s.Script(lie(func(fields map[string]any) {
		fields["token_endpoint_auth_methods_supported"] = []string{"client_secret_basic"}
		fields["revocation_endpoint"] = "https://auth.test/nowhere"
	})...)
	cfg := oauth.Config{
		ClientID: oauthtest.DefaultClientID, HTTPClient: s.Client(),
		ClientAuth: oauth.SecretPost("s3cret"), RevocationURL: s.Endpoint(oauthtest.RevocationEndpoint),
	}
	c, err := oauth.Discover(t.Context(), s.Issuer(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := c.Refresh(t.Context(), mustLogin(t, s))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Revoke(t.Context(), pair); err != nil {
		t.Error(err)
	}
	wantNoMistakes(t, s)
}

// A server does not tell what it does: public clients, refresh tokens, PKCE.
func TestMetadataThatTellsTooLittleIsNotBelieved(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	s.Script(lie(func(fields map[string]any) {
		for name := range fields {
			if strings.HasSuffix(name, "_supported") {
				delete(fields, name)
			}
		}
		fields["token_endpoint_auth_methods_supported"] = []string{"client_secret_basic"}
		fields["grant_types_supported"] = []string{"authorization_code"}
	})...)
	c, err := oauth.Discover(t.Context(), s.Issuer(), oauth.Config{
		ClientID: oauthtest.DefaultClientID, HTTPClient: s.Client(), RedirectURL: "http://127.0.0.1:8085/",
	})
	if err != nil {
		t.Fatal(err)
	}
	// The callback has iss, though the metadata does not announce it.
	pair, err := c.Refresh(t.Context(), codeLogin(t, s, c))
	if err != nil {
		t.Fatal(err)
	}
	wantWorking(t, s, pair)
	wantNoMistakes(t, s)
}

func TestServersAreFoundInEveryForm(t *testing.T) {
	at := func(e oauthtest.Endpoint, f oauthtest.Fault) oauthtest.Fault {
		f.Endpoint, f.Times = e, -1
		return f
	}
	missing, page := oauthtest.Fault{Status: http.StatusNotFound}, oauthtest.Fault{Status: http.StatusOK, HTML: true}
	elsewhere := func(fields map[string]any) { fields["issuer"] = "http://localhost:8080" }
	for name, tt := range map[string]struct {
		path   string
		faults []oauthtest.Fault
		words  []string // of the refusal, if it is one
	}{
		"only openid-configuration":         {"", []oauthtest.Fault{at(oauthtest.MetadataEndpoint, missing)}, nil},
		"only oauth-authorization-server":   {"", []oauthtest.Fault{at(oauthtest.OpenIDEndpoint, missing)}, nil},
		"a login page under the other name": {"", []oauthtest.Fault{at(oauthtest.MetadataEndpoint, page)}, nil},
		"an issuer with a path":             {"/tenant/1", nil, nil},
		"a path, only openid-configuration": {"/tenant/1", []oauthtest.Fault{at(oauthtest.MetadataEndpoint, missing)}, nil},
		"an issuer with a final slash":      {"/", nil, nil},
		"a path with a final slash":         {"/o/", nil, nil},
		"none at all":                       {"", []oauthtest.Fault{at(oauthtest.AnyEndpoint, missing)}, []string{"configure the endpoints"}},
		"asked under another name":          {"", lie(elsewhere), []string{`"http://localhost:8080"`, `"https://auth.test"`}},
	} {
		t.Run(name, func(t *testing.T) {
			s := oauthtest.New(oauthtest.Config{IssuerPath: tt.path})
			s.Script(tt.faults...)
			c, err := oauth.Discover(t.Context(), s.Issuer(), oauth.Config{ClientID: oauthtest.DefaultClientID, HTTPClient: s.Client()})
			if tt.words != nil {
				failure(t, err)
				for _, words := range tt.words {
					if !errors.Is(err, oauth.ErrMisconfigured) || !strings.Contains(err.Error(), words) {
						t.Errorf("got %v; want ErrMisconfigured that says %s", err, words)
					}
				}
				s.ClearScript()
				c, err = oauth.NewClient(s.OAuthConfig()), nil // endpoints by hand replace all of it
			}
			if err != nil {
				t.Fatal(err)
			}
			pair, err := c.Refresh(t.Context(), mustLogin(t, s))
			if err != nil {
				t.Fatal(err)
			}
			wantWorking(t, s, pair)
			wantNoMistakes(t, s)
		})
	}
}
