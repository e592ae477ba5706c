package register_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/oauth/register"
)

const documentURL = "https://program.test/client.json"

var program = register.Metadata{ClientName: "My tool"}

// publishing is a server that finds the program's document.
func publishing(t *testing.T, change ...func(*oauthtest.Config)) *oauthtest.Server {
	t.Helper()
	cfg := oauthtest.Config{FetchClient: func(_ context.Context, clientID string) ([]byte, error) {
		if clientID != documentURL {
			return nil, errors.New("not found")
		}
		return program.Document(documentURL)
	}}
	for _, f := range change {
		f(&cfg)
	}
	return oauthtest.New(cfg)
}

func TestClientIsFoundInTheSpecificationsOrder(t *testing.T) {
	const at = "https://auth.test"
	past := time.Now().Add(-time.Minute)
	given := &register.Registration{Issuer: at, ClientID: "given"}
	kept := &register.Registration{Issuer: at, ClientID: "kept"}
	ended := &register.Registration{Issuer: at, ClientID: "ended", ClientSecret: "s", SecretExpiresAt: past}
	elsewhere := &register.Registration{Issuer: "https://other.test", ClientID: "elsewhere", ClientSecret: "s"}
	noIssuer := &register.Registration{ClientID: "of nobody knows whom"}
	document := &register.Registration{Issuer: at, ClientID: "https://program.test/old.json", Document: true}
	for name, tt := range map[string]struct {
		options   register.Options
		documents bool   // the server takes them
		want      string // client ID; "new" for one that was registered just now
		asked     int    // for metadata
	}{
		"given":                    {register.Options{Given: []*register.Registration{elsewhere, given}, Kept: []*register.Registration{kept}, DocumentURL: documentURL}, true, "given", 0},
		"kept":                     {register.Options{Kept: []*register.Registration{nil, elsewhere, ended, kept}, DocumentURL: documentURL}, true, "kept", 0},
		"document":                 {register.Options{Kept: []*register.Registration{elsewhere, ended, noIssuer}, DocumentURL: documentURL}, true, documentURL, 1},
		"document of another name": {register.Options{Kept: []*register.Registration{document}, DocumentURL: documentURL}, true, documentURL, 1},
		"server without documents": {register.Options{DocumentURL: documentURL}, false, "new", 1},
		"document no longer":       {register.Options{Kept: []*register.Registration{document}}, true, "new", 1},
		"nothing":                  {register.Options{}, true, "new", 1},
		"secret over":              {register.Options{Kept: []*register.Registration{ended}}, false, "new", 1},
		"another server's":         {register.Options{Kept: []*register.Registration{elsewhere, noIssuer}}, false, "new", 1},
	} {
		s := oauthtest.New(oauthtest.Config{})
		if tt.documents {
			s = publishing(t)
		}
		tt.options.Metadata = program
		r, err := register.For(t.Context(), at, tt.options, oauth.Config{HTTPClient: s.Client()})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		registered := s.Requests(oauthtest.RegistrationEndpoint)
		if fresh := tt.want == "new"; fresh != (registered == 1) || !fresh && r.ClientID != tt.want || r.Issuer != at {
			t.Errorf("%s: got %v of %s after %d registrations; want %s", name, r, r.Issuer, registered, tt.want)
		}
		if n := s.Requests(oauthtest.MetadataEndpoint); n != tt.asked {
			t.Errorf("%s: asked for metadata %d times; want %d", name, n, tt.asked)
		}
	}
}

// People copy the address of the metadata; the client is kept under the issuer.
func TestKeptClientIsFoundByTheAddressOfTheMetadata(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	kept := &register.Registration{Issuer: s.Issuer(), ClientID: "kept"}
	r, err := register.For(t.Context(), s.Endpoint(oauthtest.MetadataEndpoint), register.Options{Kept: []*register.Registration{kept}}, oauth.Config{HTTPClient: s.Client()})
	if err != nil || r != kept {
		t.Errorf("got %v, %v; want the kept one", r, err)
	}
}

// Another server in the place of the one before sees nothing of what belongs to that.
func TestClientOfAnotherServerIsNotShownToThisOne(t *testing.T) {
	old, s := oauthtest.New(oauthtest.Config{IssuerPath: "/old"}), oauthtest.New(oauthtest.Config{})
	first, err := register.For(t.Context(), old.Issuer(), register.Options{Metadata: program}, oauth.Config{HTTPClient: old.Client()})
	if err != nil {
		t.Fatal(err)
	}
	second, err := register.For(t.Context(), s.Issuer(), register.Options{Kept: []*register.Registration{first}, Metadata: program}, oauth.Config{HTTPClient: s.Client()})
	if err != nil || second.ClientID == first.ClientID || second.Issuer != s.Issuer() {
		t.Errorf("got %v, %v; want a client of its own", second, err)
	}
	r, err := register.For(t.Context(), s.Issuer(), register.Options{Given: []*register.Registration{first}, Metadata: program}, oauth.Config{HTTPClient: s.Client()})
	if !errors.Is(err, oauth.ErrMisconfigured) || !strings.Contains(err.Error(), "/old") || s.Requests(oauthtest.RegistrationEndpoint) != 1 {
		t.Errorf("given: got %v, %v; want ErrMisconfigured that names the server", r, err)
	}
}

func TestServerThatKnowsNoWayIsReported(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	s.Script(oauthtest.Fault{Endpoint: oauthtest.MetadataEndpoint, Times: -1, Edit: func(f map[string]any) { delete(f, "registration_endpoint") }})
	_, err := register.For(t.Context(), s.Issuer(), register.Options{DocumentURL: documentURL}, oauth.Config{HTTPClient: s.Client()})
	if !errors.Is(err, oauth.ErrMisconfigured) || !strings.Contains(err.Error(), "by hand") {
		t.Errorf("%v; want ErrMisconfigured with advice", err)
	}
	s = oauthtest.New(oauthtest.Config{})
	s.Script(oauthtest.Fault{Endpoint: oauthtest.MetadataEndpoint, Status: 503})
	s.Script(oauthtest.Fault{Endpoint: oauthtest.OpenIDEndpoint, Status: 503})
	if _, err := register.For(t.Context(), s.Issuer(), register.Options{}, oauth.Config{HTTPClient: s.Client()}); !errors.Is(err, oauth.ErrTransient) {
		t.Errorf("%v; want ErrTransient", err)
	}
}

func TestRegistrationAsksForAMethodThatTheServerHas(t *testing.T) {
	for name, tt := range map[string]struct {
		listed []string
		wanted string
		want   string
	}{
		"public":    {[]string{"client_secret_basic", "none"}, "", "none"},
		"basic":     {[]string{"client_secret_post", "client_secret_basic"}, "", "client_secret_basic"},
		"post":      {[]string{"private_key_jwt", "client_secret_post"}, "", "client_secret_post"},
		"neither":   {[]string{"private_key_jwt"}, "", "none"},
		"no list":   {nil, "", "none"},
		"as wanted": {[]string{"none"}, "client_secret_post", "client_secret_post"},
	} {
		s := oauthtest.New(oauthtest.Config{})
		s.Script(oauthtest.Fault{Endpoint: oauthtest.MetadataEndpoint, Edit: func(f map[string]any) {
			if f["token_endpoint_auth_methods_supported"] = tt.listed; tt.listed == nil {
				delete(f, "token_endpoint_auth_methods_supported")
			}
		}})
		r, err := register.For(t.Context(), s.Issuer(), register.Options{Metadata: register.Metadata{AuthMethod: tt.wanted}}, oauth.Config{HTTPClient: s.Client()})
		if err != nil || r.AuthMethod != tt.want || (r.ClientSecret != "") != (tt.want != "none") {
			t.Errorf("%s: got %v, %v; want %s", name, r, err, tt.want)
		}
	}
}

func TestDocumentDescribesTheClientUnderItsAddress(t *testing.T) {
	body, err := program.Document(documentURL)
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(body, &doc); err != nil {
		t.Fatal(err)
	}
	if doc["client_id"] != documentURL || doc["client_name"] != "My tool" || doc["token_endpoint_auth_method"] != "none" || doc["client_secret"] != nil ||
		len(doc["redirect_uris"].([]any)) == 0 || !slices.Contains(doc["grant_types"].([]any), any("refresh_token")) {
		t.Errorf("got %s", body)
	}
	for _, clientID := range []string{
		"", "my-client", "http://program.test/client.json", "https://program.test", "https://program.test/", "https:///client.json",
		"https://u@program.test/client.json", "https://program.test/client.json#x", "https://program.test/client.json#",
		"https://program.test/a/../client.json", "https://program.test/./client.json", "https://program.test/%2e%2e/client.json",
	} {
		if _, err := program.Document(clientID); err == nil {
			t.Errorf("%q was taken", clientID)
		}
		s := publishing(t)
		if r, err := register.For(t.Context(), s.Issuer(), register.Options{DocumentURL: clientID}, oauth.Config{HTTPClient: s.Client()}); clientID != "" && !errors.Is(err, oauth.ErrMisconfigured) {
			t.Errorf("%q: got %v, %v; want ErrMisconfigured", clientID, r, err)
		}
	}
	for name, m := range map[string]register.Metadata{
		"no name":  {},
		"a secret": {ClientName: "x", AuthMethod: "client_secret_basic"},
		"no URI":   {ClientName: "x", RedirectURIs: []string{"callback"}},
	} {
		if _, err := m.Document(documentURL); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
}

// With a published document, no server has to be told of the program.
func TestDocumentIsAllThatALoginNeeds(t *testing.T) {
	s := publishing(t)
	cfg := oauth.Config{HTTPClient: s.Client(), Output: io.Discard, OfflineAccess: true}
	r, err := register.For(t.Context(), s.Issuer(), register.Options{DocumentURL: documentURL, Metadata: program}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg = r.Config(cfg)
	cfg.RedirectURL = "http://127.0.0.1:4321/callback" // as Authenticate would, on any port
	c, err := oauth.Discover(t.Context(), s.Issuer(), cfg)
	if err != nil || !c.Metadata().ClientIDMetadataDocument {
		t.Fatalf("%v, %+v", err, c.Metadata())
	}
	req, err := c.AuthCodeURL()
	if err != nil {
		t.Fatal(err)
	}
	location, err := s.Allow(t.Context(), req.URL, oauthtest.DefaultUser)
	if err != nil {
		t.Fatal(err)
	}
	back, err := http.NewRequestWithContext(t.Context(), http.MethodGet, location, nil)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := c.Exchange(t.Context(), req, back.URL.Query())
	if err != nil || pair.RefreshToken == "" {
		t.Fatalf("%v, %v; want a pair that can be renewed", pair, err)
	}
	if _, err := c.Refresh(t.Context(), pair); err != nil {
		t.Error(err)
	}
	if n := s.Requests(oauthtest.RegistrationEndpoint); n != 0 {
		t.Errorf("%d registrations", n)
	}
	for _, m := range s.Audit() {
		t.Errorf("the client made a mistake: %v", m)
	}
}
