package oauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/oauth/register"
)

const (
	api         = "https://api.test/mcp"
	apiMetadata = "https://api.test/.well-known/oauth-protected-resource/mcp"
	goodAPI     = `{"resource":"https://api.test/mcp","authorization_servers":["https://auth.test"],"scopes_supported":["a"]}`
)

func discoverAPI(t *testing.T, w *wire) (*oauth.ProtectedResource, error) {
	t.Helper()
	return oauth.DiscoverResource(t.Context(), api, oauth.Config{HTTPClient: &http.Client{Transport: w}})
}

func addresses(w *wire) string {
	var list []string
	for _, r := range w.requests() {
		if r.Header.Get("Authorization") != "" {
			list = append(list, "WITH A TOKEN")
		}
		list = append(list, r.Method+" "+r.URL.String())
	}
	return strings.Join(list, ", ")
}

func TestURLFindsItsAuthorizationServer(t *testing.T) {
	for _, path := range []string{"", "/tenant"} {
		s := oauthtest.New(oauthtest.Config{IssuerPath: path})
		r, err := oauth.DiscoverResource(t.Context(), s.Resource(), oauth.Config{HTTPClient: s.Client()})
		if err != nil {
			t.Fatal(err)
		}
		if r.Resource != s.Resource() || len(r.AuthorizationServers) != 1 || r.AuthorizationServers[0] != s.Issuer() || len(r.ScopesSupported) == 0 {
			t.Errorf("got %+v", r)
		}
		wantNoMistakes(t, s)
	}
}

func TestChallengeComesBeforeTheWellKnownAddress(t *testing.T) {
	const meta = "https://api.test/meta"
	challenged := response(401, "", "WWW-Authenticate", `Bearer resource_metadata="`+meta+`"`)
	for name, tc := range map[string]struct {
		documents map[string]*http.Response
		asked     string
	}{
		"challenged":                 {map[string]*http.Response{api: challenged, meta: response(200, goodAPI)}, "GET " + api + ", GET " + meta},
		"challenged in vain":         {map[string]*http.Response{api: challenged, apiMetadata: response(200, goodAPI)}, "GET " + api + ", GET " + meta + ", GET " + apiMetadata},
		"open without a token":       {map[string]*http.Response{api: response(200, "{}"), apiMetadata: response(200, goodAPI)}, "GET " + api + ", GET " + apiMetadata},
		"a challenge that is no 401": {map[string]*http.Response{api: response(200, "", "WWW-Authenticate", `Bearer resource_metadata="`+meta+`"`), apiMetadata: response(200, goodAPI)}, "GET " + api + ", GET " + apiMetadata},
		"redirected":                 {map[string]*http.Response{api: response(302, "", "Location", "https://evil.test/"), apiMetadata: response(200, goodAPI)}, "GET " + api + ", GET " + apiMetadata},
	} {
		w := published(tc.documents)
		r, err := discoverAPI(t, w)
		if err != nil || r.AuthorizationServers[0] != "https://auth.test" {
			t.Errorf("%s: got %+v, %v", name, r, err)
		}
		if got := addresses(w); got != tc.asked {
			t.Errorf("%s: asked %s; want %s", name, got, tc.asked)
		}
	}
}

func TestResourceWithoutGoodMetadataIsReported(t *testing.T) {
	const meta = "https://api.test/meta"
	challenged := func() *http.Response {
		return response(401, "", "WWW-Authenticate", `Bearer resource_metadata="`+meta+`"`)
	}
	other := strings.Replace(goodAPI, "mcp", "", 1)
	for name, tc := range map[string]struct {
		documents map[string]*http.Response
		want      error
		text      string
	}{
		"none":                  {nil, oauth.ErrMisconfigured, "publishes no metadata"},
		"redirected":            {map[string]*http.Response{apiMetadata: response(307, "", "Location", "https://evil.test/")}, oauth.ErrMisconfigured, "redirect"},
		"trouble":               {map[string]*http.Response{apiMetadata: response(503, webPage)}, oauth.ErrTransient, "503"},
		"another resource":      {map[string]*http.Response{apiMetadata: response(200, other)}, oauth.ErrMisconfigured, `got "https://api.test/"`},
		"another by challenge":  {map[string]*http.Response{api: challenged(), meta: response(200, other)}, oauth.ErrMisconfigured, "another resource"},
		"another by well-known": {map[string]*http.Response{api: challenged(), apiMetadata: response(200, other)}, oauth.ErrMisconfigured, "another resource"},
	} {
		r, err := discoverAPI(t, published(tc.documents))
		if fail := failure(t, err); r != nil || !errors.Is(err, tc.want) || fail.Op != "discover_resource" || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: got %+v, %v; want %v with %q", name, r, err, tc.want, tc.text)
		}
	}
}

func TestResourceThatCannotBeAskedIsTransient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for i, fault := range []oauthtest.Fault{
			{Endpoint: oauthtest.ResourceEndpoint, Down: true},
			{Endpoint: oauthtest.ResourceEndpoint, Hang: true},
			{Endpoint: oauthtest.ResourceMetadataEndpoint, Reset: true},
		} {
			s := oauthtest.New(oauthtest.Config{})
			s.Script(fault)
			_, err := oauth.DiscoverResource(t.Context(), s.Resource(), oauth.Config{HTTPClient: s.Client(), Timeout: time.Minute})
			if fail := failure(t, err); !errors.Is(err, oauth.ErrTransient) || fail.Sent != (i > 0) {
				t.Errorf("%+v: %v (sent: %v); want ErrTransient", fault, err, fail.Sent)
			}
		}
	})
}

// An API may answer a GET with a stream that never ends.
func TestStreamOfAResourceIsNotRead(t *testing.T) {
	body := &endlessBody{}
	stream := response(200, "")
	stream.Body = body
	if _, err := discoverAPI(t, published(map[string]*http.Response{api: stream, apiMetadata: response(200, goodAPI)})); err != nil || !body.closed {
		t.Errorf("%v, closed: %v", err, body.closed)
	}
	if body.read != 0 {
		t.Errorf("%d bytes were read", body.read)
	}
}

func TestResourceMustBeWhereSecretsMayGo(t *testing.T) {
	for _, resource := range []string{"", "api.test", "http://api.test/mcp", "https://api.test/#x", "https://u:p@api.test/", "ftp://api.test/"} {
		w := published(nil)
		_, err := oauth.DiscoverResource(t.Context(), resource, oauth.Config{HTTPClient: &http.Client{Transport: w}})
		if !errors.Is(err, oauth.ErrMisconfigured) || len(w.requests()) != 0 {
			t.Errorf("%q: %v after %d requests; want ErrMisconfigured", resource, err, len(w.requests()))
		}
	}
}

// A program that knows nothing but an API's address, as clients of the Model
// Context Protocol do, finds its authorization server, registers there, and logs a
// person in.
func ExampleDiscoverResource() {
	ctx := context.Background()
	server := oauthtest.NewServer(oauthtest.Config{})
	defer server.Close()

	api, err := oauth.DiscoverResource(ctx, server.Resource(), oauth.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	issuer := api.AuthorizationServers[0] // ask the person whether to trust it
	registration, err := register.Client(ctx, issuer, register.Metadata{ClientName: "My tool"}, oauth.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	// Keep the registration: next time, begin here.
	client, err := oauth.Discover(ctx, issuer, registration.Config(oauth.Config{
		Scopes:      []string{"openid", "offline_access"},
		Resources:   []string{api.Resource},
		OpenBrowser: signIn(server), // instead of a person at a browser
		Output:      io.Discard,
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	tokens, err := client.Authenticate(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("can be renewed:", tokens.RefreshToken != "")
	// Output: can be renewed: true
}
