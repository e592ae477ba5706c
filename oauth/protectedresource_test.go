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

const (
	apiRoot   = "https://api.test/.well-known/oauth-protected-resource"
	originAPI = `{"resource":"https://api.test","authorization_servers":["https://auth.test"]}`
)

// The shapes of servers in use. Each refuses a POST and knows nothing of GET, so that the
// challenge is only known to a program that hands it over.
func TestEveryShapeOfServerIsFound(t *testing.T) {
	slash := strings.Replace(originAPI, "api.test", "api.test/", 1)
	for name, tc := range map[string]struct {
		documents map[string]string
		challenge string // of a refused POST
		assume    bool
		resource  string
		server    string
	}{
		"path metadata, resource is the endpoint":                 {map[string]string{apiMetadata: goodAPI}, "Bearer", false, api, issuer},
		"path metadata by challenge":                              {map[string]string{apiMetadata: goodAPI}, `Bearer resource_metadata="` + apiMetadata + `"`, false, api, issuer},
		"metadata of its own address, by challenge":               {map[string]string{"https://api.test/x": goodAPI}, `Bearer resource_metadata="https://api.test/x"`, false, api, issuer},
		"root metadata, resource is the origin":                   {map[string]string{apiRoot: originAPI}, "Bearer", false, "https://api.test", issuer},
		"root metadata, resource is the origin with a slash":      {map[string]string{apiRoot: slash}, "", false, "https://api.test/", issuer},
		"root metadata, resource is the origin, by challenge":     {map[string]string{apiRoot: originAPI}, `Bearer resource_metadata="` + apiRoot + `"`, false, "https://api.test", issuer},
		"root metadata, resource is the endpoint":                 {map[string]string{apiRoot: goodAPI}, "Bearer", false, api, issuer},
		"root metadata, resource is the endpoint, by challenge":   {map[string]string{apiRoot: goodAPI}, `DPoP algs="ES256", resource_metadata="` + apiRoot + `"`, false, api, issuer},
		"the same document everywhere":                            {map[string]string{apiMetadata: originAPI, apiRoot: originAPI}, "", false, "https://api.test", issuer},
		"the same document everywhere, by challenge to the first": {map[string]string{apiMetadata: originAPI, apiRoot: originAPI}, `Bearer resource_metadata="` + apiMetadata + `"`, false, "https://api.test", issuer},
		"none, and assumed":                                       {nil, "Bearer", true, api, "https://api.test"},
		"none, and no challenge, and assumed":                     {nil, "", true, api, "https://api.test"},
		"assumed in vain":                                         {map[string]string{apiRoot: goodAPI}, "", true, api, issuer},
		"none":                                                    {nil, "Bearer", false, "", ""},
	} {
		w := &wire{answer: func(r *http.Request) (*http.Response, error) {
			if doc, found := tc.documents[r.URL.String()]; found {
				return response(200, doc), nil
			}
			if r.URL.String() == api {
				return response(405, ""), nil
			}
			return response(404, "not here"), nil
		}}
		cfg := oauth.Config{HTTPClient: &http.Client{Transport: w}, AssumeEndpoints: tc.assume}
		r, err := oauth.DiscoverChallenged(t.Context(), api, http.Header{"Www-Authenticate": {tc.challenge}}, cfg)
		wantResource(t, name, r, err, tc.resource, tc.server)
		if strings.Contains(addresses(w)+" ", "GET "+api+" ") || strings.Contains(addresses(w), "GET "+api+",") {
			t.Errorf("%s: the API itself was asked: %s", name, addresses(w))
		}
		if tc.documents["https://api.test/x"] == "" { // the rest is found without the challenge, too
			r, err = oauth.DiscoverResource(t.Context(), api, cfg)
			wantResource(t, name+", not told", r, err, tc.resource, tc.server)
		}
	}
}

// A URL may have a query that chooses what a server does, and no resource of its own.
func TestQueryOfTheURLIsLeftOutOfTheResource(t *testing.T) {
	const asked = api + "?codemode=false"
	withQuery := strings.Replace(goodAPI, api, asked, 1)
	for name, tt := range map[string]struct {
		documents map[string]*http.Response
		resource  string
		want      error
	}{
		"resource without it":            {map[string]*http.Response{apiMetadata: response(200, goodAPI)}, api, nil},
		"resource with it":               {map[string]*http.Response{apiMetadata + "?codemode=false": response(200, withQuery), apiMetadata: response(200, goodAPI)}, asked, nil},
		"server that leaves it unread":   {map[string]*http.Response{apiMetadata + "?codemode=false": response(200, goodAPI), apiMetadata: response(200, goodAPI)}, api, nil},
		"resource is the origin":         {map[string]*http.Response{apiRoot: response(200, originAPI)}, "https://api.test", nil},
		"another query's":                {map[string]*http.Response{apiMetadata: response(200, strings.Replace(withQuery, "false", "true", 1))}, "", oauth.ErrMisconfigured},
		"trouble where its own would be": {map[string]*http.Response{apiMetadata + "?codemode=false": response(503, ""), apiMetadata: response(200, goodAPI)}, "", oauth.ErrTransient},
	} {
		r, err := oauth.DiscoverChallenged(t.Context(), asked, nil, oauth.Config{HTTPClient: &http.Client{Transport: published(tt.documents)}})
		if !errors.Is(err, tt.want) || err == nil && r.Resource != tt.resource {
			t.Errorf("%s: got %+v, %v; want %s, %v", name, r, err, tt.resource, tt.want)
		}
	}
}

// People add a slash to the address of an API, or its maker does.
func TestSlashAtTheEndOfTheURL(t *testing.T) {
	const slashed, its = api + "/", apiMetadata + "/"
	withSlash := strings.Replace(goodAPI, api, slashed, 1)
	for name, tt := range map[string]struct {
		documents map[string]*http.Response
		resource  string
		want      error
	}{
		"resource without it":       {map[string]*http.Response{apiMetadata: response(200, goodAPI)}, api, nil},
		"resource with it":          {map[string]*http.Response{its: response(200, withSlash), apiMetadata: response(200, goodAPI)}, slashed, nil},
		"told where there is none":  {map[string]*http.Response{apiMetadata: response(200, withSlash)}, slashed, nil},
		"a redirect to that":        {map[string]*http.Response{its: response(308, "", "Location", apiMetadata), apiMetadata: response(200, goodAPI)}, api, nil},
		"the origin":                {map[string]*http.Response{apiRoot: response(200, originAPI)}, "https://api.test", nil},
		"a sibling":                 {map[string]*http.Response{apiMetadata: response(200, strings.Replace(goodAPI, "/mcp", "/mcp/x", 1))}, "", oauth.ErrMisconfigured},
		"trouble where its own are": {map[string]*http.Response{its: response(503, ""), apiMetadata: response(200, goodAPI)}, "", oauth.ErrTransient},
	} {
		r, err := oauth.DiscoverChallenged(t.Context(), slashed, nil, oauth.Config{HTTPClient: &http.Client{Transport: published(tt.documents)}})
		if !errors.Is(err, tt.want) || err == nil && r.Resource != tt.resource {
			t.Errorf("%s: got %+v, %v; want %s, %v", name, r, err, tt.resource, tt.want)
		}
	}
	w := published(nil)
	_, _ = oauth.DiscoverChallenged(t.Context(), "https://api.test/", nil, oauth.Config{HTTPClient: &http.Client{Transport: w}})
	if n := len(w.requests()); n != 1 {
		t.Errorf("the origin's metadata was asked for %d times", n)
	}
}

// The same with a server, by its refusal of a POST and without it.
func TestEveryShapeOfAPILeadsToALogin(t *testing.T) {
	for name, shape := range map[string]oauthtest.APIShape{
		"as specified":       {PostOnly: true},
		"root":               {PostOnly: true, MetadataAtRoot: true},
		"root of the origin": {PostOnly: true, MetadataAtRoot: true, ResourceIsOrigin: true},
		"origin, not told":   {PostOnly: true, MetadataAtRoot: true, ResourceIsOrigin: true, NoMetadataInChallenge: true},
		"none":               {PostOnly: true, NoMetadata: true},
	} {
		s := oauthtest.New(oauthtest.Config{API: shape})
		cfg := oauth.Config{HTTPClient: s.Client(), AssumeEndpoints: true}
		resp, err := s.Client().Post(s.Resource(), "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		told, err := oauth.DiscoverChallenged(t.Context(), s.Resource(), resp.Header, cfg)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		asked, err := oauth.DiscoverResource(t.Context(), s.Resource(), cfg)
		if err != nil || asked.Resource != told.Resource || told.AuthorizationServers[0] != s.Issuer() || told.Assumed != shape.NoMetadata {
			t.Errorf("%s: got %+v by the refusal, and %+v, %v without it", name, told, asked, err)
		}
		wantNoMistakes(t, s)
	}
}

// wantResource checks what was found, or that nothing was.
func wantResource(t *testing.T, name string, r *oauth.ProtectedResource, err error, resource, server string) {
	t.Helper()
	switch {
	case resource == "":
		if !errors.Is(err, oauth.ErrMisconfigured) || r != nil {
			t.Errorf("%s: got %+v, %v; want ErrMisconfigured", name, r, err)
		}
	case err != nil:
		t.Errorf("%s: %v", name, err)
	case r.Resource != resource || len(r.AuthorizationServers) != 1 || r.AuthorizationServers[0] != server || r.Assumed != (server == "https://api.test"):
		t.Errorf("%s: got %+v; want %s of %s", name, r, resource, server)
	}
}

// What could not be read is not what is not there: the origin's metadata, or none at all,
// must not take its place for as long as a server has a bad minute.
func TestTroubleIsNotTakenForAbsence(t *testing.T) {
	const meta = "https://api.test/meta"
	other := `{"resource":"https://api.test","authorization_servers":["https://other.test"]}`
	for name, documents := range map[string]map[string]*http.Response{
		"path":         {apiMetadata: response(503, ""), apiRoot: response(200, other)},
		"path and API": {apiMetadata: response(429, ""), api: response(500, "")},
		"challenge":    {meta: response(502, ""), apiRoot: response(200, other)},
		"root":         {apiRoot: response(500, "")},
		"cut":          {apiMetadata: cutOff(goodAPI[:40]), apiRoot: response(200, other)},
		"cut at first": {apiMetadata: cutOff(""), apiRoot: response(200, other)},
	} {
		cfg := oauth.Config{HTTPClient: &http.Client{Transport: published(documents)}, AssumeEndpoints: true}
		r, err := oauth.DiscoverChallenged(t.Context(), api, http.Header{"Www-Authenticate": {`Bearer resource_metadata="` + meta + `"`}}, cfg)
		if !errors.Is(err, oauth.ErrTransient) {
			t.Errorf("%s: got %+v, %v; want ErrTransient", name, r, err)
		}
	}
	for name, documents := range map[string]map[string]*http.Response{
		"sibling":      {apiMetadata: response(200, strings.Replace(goodAPI, "/mcp", "/other", 1))},
		"no server":    {apiRoot: response(200, `{"resource":"https://api.test"}`)},
		"redirected":   {apiMetadata: response(302, "", "Location", "https://evil.test/")},
		"other origin": {apiRoot: response(200, strings.Replace(originAPI, "api.test", "evil.test", 1))},
	} {
		cfg := oauth.Config{HTTPClient: &http.Client{Transport: published(documents)}, AssumeEndpoints: true}
		if r, err := oauth.DiscoverChallenged(t.Context(), api, nil, cfg); !errors.Is(err, oauth.ErrMisconfigured) {
			t.Errorf("%s: got %+v, %v; want ErrMisconfigured", name, r, err)
		}
	}
}

func TestScopesAreThoseOfTheChallengeFirst(t *testing.T) {
	for name, tt := range map[string]struct{ challenge, supported, want string }{
		"both":                  {`Bearer scope="x y"`, `,"scopes_supported":["a"]`, "x y"},
		"challenge alone":       {`Bearer error="insufficient_scope", scope="x"`, "", "x"},
		"of a bound token":      {`DPoP algs="ES256", scope="x"`, `,"scopes_supported":["a"]`, "x"},
		"metadata alone":        {`Bearer`, `,"scopes_supported":["a","b"]`, "a b"},
		"empty in challenge":    {`Bearer scope=""`, `,"scopes_supported":["a","b"]`, "a b"},
		"of another scheme":     {`Basic scope="x"`, `,"scopes_supported":["a"]`, "a"},
		"none":                  {`Bearer`, "", ""},
		"empty in metadata":     {"", `,"scopes_supported":[]`, ""},
		"no API's own":          {`Bearer scope="offline_access x"`, "", "x"},
		"no API's own, listed":  {``, `,"scopes_supported":["a","offline_access"]`, "a"},
		"twice":                 {`Bearer scope="x y x"`, "", "x y"},
		"nothing but a refresh": {`Bearer scope="offline_access"`, `,"scopes_supported":["a"]`, ""},
	} {
		doc := `{"resource":"https://api.test/mcp","authorization_servers":["https://auth.test"]` + tt.supported + `}`
		cfg := oauth.Config{HTTPClient: &http.Client{Transport: published(map[string]*http.Response{apiMetadata: response(200, doc)})}}
		r, err := oauth.DiscoverChallenged(t.Context(), api, http.Header{"Www-Authenticate": {tt.challenge}}, cfg)
		if err != nil || strings.Join(r.Scopes, " ") != tt.want {
			t.Errorf("%s: got %q, %v; want %q", name, r.Scopes, err, tt.want)
		}
	}
}

// Servers from before the Model Context Protocol had metadata are used only if a program
// says so, and then by the endpoints that they had.
func TestEndpointsAreAssumedOnlyOnRequest(t *testing.T) {
	s := oauthtest.NewServer(oauthtest.Config{})
	defer s.Close()
	silent := func(assume bool) oauth.Config {
		s.Script(oauthtest.Fault{Endpoint: oauthtest.MetadataEndpoint, Status: 404, Times: 2}, oauthtest.Fault{Endpoint: oauthtest.OpenIDEndpoint, Status: 404, Times: 2})
		return oauth.Config{AssumeEndpoints: assume, Output: io.Discard, OpenBrowser: signIn(s)}
	}
	if _, err := register.Client(t.Context(), s.Issuer(), register.Metadata{}, silent(false)); !errors.Is(err, oauth.ErrMisconfigured) {
		t.Errorf("not asked for: %v; want ErrMisconfigured", err)
	}
	s.ClearScript()
	cfg := silent(true)
	registration, err := register.Client(t.Context(), s.Issuer(), register.Metadata{}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	c, err := oauth.Discover(t.Context(), s.Issuer(), registration.Config(cfg))
	if err != nil || c.Metadata() != nil {
		t.Fatalf("%v, metadata %v", err, c.Metadata())
	}
	pair, err := c.Authenticate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wantWorking(t, s, pair)
	below := strings.Replace(goodMeta, "auth.test\"", "auth.test/oauth\"", 1)
	for _, assume := range []bool{true, false} {
		c, err := discover(t, alone(rfc8414, below), func(cfg *oauth.Config) { cfg.AssumeEndpoints = assume })
		if (err == nil) != assume || err == nil && (c.Config().Issuer != issuer+"/oauth" || c.Metadata() == nil) {
			t.Errorf("an issuer below the origin, assume %t: got %v, %v", assume, c, err)
		}
	}
	for _, other := range []string{"evil.test", "auth.test:8443", "auth.test.evil.test", "x.auth.test"} {
		doc := strings.Replace(goodMeta, "auth.test\"", other+"\"", 1)
		if c, err := discover(t, alone(rfc8414, doc), func(cfg *oauth.Config) { cfg.AssumeEndpoints = true }); !errors.Is(err, oauth.ErrMisconfigured) {
			t.Errorf("%s: went on with %v, %v", other, c, err)
		}
	}
	for name, documents := range map[string]map[string]*http.Response{
		"trouble":        {rfc8414: response(503, "")},
		"another issuer": {rfc8414: response(200, strings.Replace(goodMeta, "auth.test\"", "evil.test\"", 1))},
		"redirected":     {rfc8414: response(302, "", "Location", "https://evil.test/"), openid: response(302, "", "Location", "https://evil.test/")},
	} {
		assume := func(cfg *oauth.Config) { cfg.AssumeEndpoints = true }
		if c, err := discover(t, published(documents), assume); err == nil {
			t.Errorf("%s: went on with %v", name, c)
		}
	}
	_, err = oauth.Discover(t.Context(), issuer+"/tenant", oauth.Config{ClientID: "id", AssumeEndpoints: true, HTTPClient: &http.Client{Transport: published(nil)}})
	if !errors.Is(err, oauth.ErrMisconfigured) {
		t.Errorf("an issuer with a path: %v; want ErrMisconfigured", err)
	}
}

// alone serves one document, as often as it is asked for.
func alone(address, document string) *wire {
	return &wire{answer: func(r *http.Request) (*http.Response, error) {
		if r.URL.String() == address {
			return response(200, document), nil
		}
		return response(404, ""), nil
	}}
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
