package oauth_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/register"
)

// here are addresses of this machine, as a hostile server may spell them.
var here = []string{
	"http://127.0.0.1:8080/x?y=z", "https://127.0.0.1/x", "http://127.9.9.9/x", "http://localhost:2375/x", "https://localhost/x", "http://LOCALHOST/x", "https://api.localhost/x", "https://localhost./x",
	"http://[::1]:8080/x", "https://[::1]/x", "http://[::ffff:127.0.0.1]/x", "https://[::ffff:7f00:1]/x", "https://[::]/x", "https://0.0.0.0:8080/x", "https://0/x",
	"https://2130706433/x", "https://0x7f000001/x", "https://0177.0.0.1/x", "https://127.1/x", "https://[64:ff9b::7f00:1]/x", "https://１２７.0.0.1/x",
}

// document is metadata with one more member, or with that one changed.
func document(base, member string, value any) string {
	doc := make(map[string]any)
	_ = json.Unmarshal([]byte(base), &doc)
	doc[member] = value
	text, _ := json.Marshal(doc)
	return string(text)
}

var endpointMembers = map[string]func(*oauth.Config) *string{
	"authorization_endpoint":                func(c *oauth.Config) *string { return &c.AuthURL },
	"token_endpoint":                        func(c *oauth.Config) *string { return &c.TokenURL },
	"device_authorization_endpoint":         func(c *oauth.Config) *string { return &c.DeviceAuthURL },
	"revocation_endpoint":                   func(c *oauth.Config) *string { return &c.RevocationURL },
	"introspection_endpoint":                func(c *oauth.Config) *string { return &c.Endpoints.Introspection },
	"userinfo_endpoint":                     func(c *oauth.Config) *string { return &c.Endpoints.Userinfo },
	"pushed_authorization_request_endpoint": func(c *oauth.Config) *string { return &c.Endpoints.PushedAuth },
	"end_session_endpoint":                  func(c *oauth.Config) *string { return &c.Endpoints.EndSession },
	"registration_endpoint":                 func(c *oauth.Config) *string { return &c.Endpoints.Registration },
	"jwks_uri":                              func(c *oauth.Config) *string { return &c.Endpoints.JWKS },
}

func TestF95_MetadataOfAnotherMachineNamesNoEndpointHere(t *testing.T) {
	for member, field := range endpointMembers {
		for _, local := range here {
			w := published(map[string]*http.Response{rfc8414: response(200, document(goodMeta, member, local))})
			cfg := oauth.Config{ClientID: "id", HTTPClient: &http.Client{Transport: w}}
			_, err := oauth.Discover(t.Context(), issuer, cfg)
			if fail := failure(t, err); !errors.Is(err, oauth.ErrMisconfigured) || !strings.Contains(err.Error(), "on this machine") && !strings.Contains(err.Error(), "must be https") || fail.Field == "" || fail.Hint == "" {
				t.Errorf("%s at %s: %v (%s)", member, local, err, fail.Hint)
			}
			// The program may say so itself.
			w = published(map[string]*http.Response{rfc8414: response(200, document(goodMeta, member, local))})
			cfg.HTTPClient = &http.Client{Transport: w}
			*field(&cfg) = "http://127.0.0.1:1/mine"
			client, err := oauth.Discover(t.Context(), issuer, cfg)
			if err != nil {
				t.Errorf("%s named by the configuration: %v", member, err)
				continue
			}
			if got := client.Config(); *field(&got) != "http://127.0.0.1:1/mine" {
				t.Errorf("%s is %s; want the configuration's", member, *field(&got))
			}
		}
	}
}

func TestF95_AServerOnThisMachineNamesEndpointsHere(t *testing.T) {
	for _, at := range []string{"http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080", "https://localhost", "https://auth.localhost"} {
		w := published(map[string]*http.Response{at + "/.well-known/oauth-authorization-server": response(200, fmt.Sprintf(`{"issuer":%q,"token_endpoint":"http://localhost:9090/token"}`, at))})
		client, err := oauth.Discover(t.Context(), at, oauth.Config{ClientID: "id", HTTPClient: &http.Client{Transport: w}})
		if err != nil || client.Config().TokenURL != "http://localhost:9090/token" {
			t.Errorf("%s: %v", at, err)
		}
	}
}

// A client with a certificate uses other endpoints (RFC 8705 section 5).
func TestF95_AliasesForCertificatesAreNotHereEither(t *testing.T) {
	w := published(map[string]*http.Response{rfc8414: response(200, document(goodMeta, "mtls_endpoint_aliases", map[string]string{"token_endpoint": "https://127.0.0.1/token"}))})
	cfg := oauth.Config{ClientID: "id", HTTPClient: &http.Client{Transport: w}, ClientAuth: oauth.TLSClientAuth(nil)}
	if _, err := oauth.Discover(t.Context(), issuer, cfg); !errors.Is(err, oauth.ErrMisconfigured) || !strings.Contains(err.Error(), "(token_endpoint) is on this machine") {
		t.Errorf("error %v; want ErrMisconfigured about the token endpoint", err)
	}
}

func TestF95_APIOnAnotherMachineNamesNoServerHere(t *testing.T) {
	for _, local := range here {
		w := published(map[string]*http.Response{apiMetadata: response(200, document(goodAPI, "authorization_servers", []string{local}))})
		if _, err := discoverAPI(t, w); !errors.Is(err, oauth.ErrMisconfigured) {
			t.Errorf("%s: %v; want ErrMisconfigured", local, err)
		}
		w = published(map[string]*http.Response{apiMetadata: response(200, document(goodAPI, "authorization_servers", []string{strings.TrimSuffix(local, "?y=z"), issuer}))})
		if r, err := discoverAPI(t, w); err != nil || len(r.AuthorizationServers) != 1 || r.AuthorizationServers[0] != issuer {
			t.Errorf("%s and another: %+v, %v; want the other", local, r, err)
		}
	}
	const local = "http://localhost:8080/mcp"
	w := published(map[string]*http.Response{"http://localhost:8080/.well-known/oauth-protected-resource/mcp": response(200, `{"resource":"http://localhost:8080/mcp","authorization_servers":["http://127.0.0.1:9090"]}`)})
	r, err := oauth.DiscoverResource(t.Context(), local, oauth.Config{HTTPClient: &http.Client{Transport: w}})
	if err != nil || len(r.AuthorizationServers) != 1 {
		t.Errorf("an API of this machine: %+v, %v", r, err)
	}
}

func TestF95_NoClientIsRegisteredHereForAServerElsewhere(t *testing.T) {
	for _, local := range here {
		for name, run := range map[string]func(oauth.Config) error{
			"Client": func(cfg oauth.Config) error {
				_, err := register.Client(t.Context(), issuer, webApplication, cfg)
				return err
			},
			"For": func(cfg oauth.Config) error {
				_, err := register.For(t.Context(), issuer, register.Options{Metadata: webApplication}, cfg)
				return err
			},
		} {
			w := published(map[string]*http.Response{rfc8414: response(200, document(goodMeta, "registration_endpoint", local))})
			if err := run(oauth.Config{HTTPClient: &http.Client{Transport: w}}); !errors.Is(err, oauth.ErrMisconfigured) || len(w.requests()) != 1 {
				t.Errorf("%s, %s: %v after %d requests", name, local, err, len(w.requests()))
			}
		}
		answer := fmt.Sprintf(`{"client_id":"c","registration_access_token":"t","registration_client_uri":%q}`, local)
		w := published(map[string]*http.Response{
			rfc8414: response(200, document(goodMeta, "registration_endpoint", issuer+"/register")), issuer + "/register": response(201, answer), issuer + "/c": response(200, answer),
		})
		cfg := oauth.Config{HTTPClient: &http.Client{Transport: w}}
		r, err := register.Client(t.Context(), issuer, webApplication, cfg)
		if err != nil || r.ManagementURL != "" || r.AccessToken != "" {
			t.Errorf("registered with %s to manage it: %v, %q", local, err, r.ManagementURL)
			continue
		}
		r.AccessToken, r.ManagementURL = "t", issuer+"/c"
		if r, err = r.Read(t.Context(), cfg); err != nil || r.ManagementURL != issuer+"/c" {
			t.Errorf("moved to %s: %v, %q", local, err, r.ManagementURL)
		}
	}
}
