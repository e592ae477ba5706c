package oauthtest_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/oauth/oauthtest"
)

func register(t *testing.T, s *oauthtest.Server, body string) result {
	t.Helper()
	return manage(t, s, http.MethodPost, s.Endpoint(oauthtest.RegistrationEndpoint), "", body)
}

// manage sends a request about a client with its registration access token.
func manage(t *testing.T, s *oauthtest.Server, method, address, token, body string) result {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return send(s.Client(), r)
}

const nativeClient = `{"redirect_uris":["http://127.0.0.1/callback"],"application_type":"native","token_endpoint_auth_method":"none"}`

func TestRegistrationIsStrict(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	for body, code := range map[string]string{
		``:                                      "invalid_client_metadata",
		`[]`:                                    "invalid_client_metadata",
		`{"redirect_uris":"https://app.test/"}`: "invalid_client_metadata",
		`{"redirect_uris":["https://app.test/"],"token_endpoint_auth_method":"x"}`:                "invalid_client_metadata",
		`{"redirect_uris":["https://app.test/"],"application_type":"x"}`:                          "invalid_client_metadata",
		`{"redirect_uris":["https://app.test/"],"grant_types":["authorization_code","implicit"]}`: "invalid_client_metadata",
		`{"redirect_uris":["https://app.test/"],"response_types":["token"]}`:                      "invalid_client_metadata",
		`{"redirect_uris":["https://app.test/"],"grant_types":["refresh_token"]}`:                 "invalid_client_metadata",
		`{}`:                        "invalid_redirect_uri",
		`{"redirect_uris":["/cb"]}`: "invalid_redirect_uri",
		`{"redirect_uris":["https://app.test/#x"]}`:                             "invalid_redirect_uri",
		`{"redirect_uris":["http://127.0.0.1/cb"]}`:                             "invalid_redirect_uri", // a web application
		`{"redirect_uris":["http://app.test/"],"application_type":"native"}`:    "invalid_redirect_uri",
		`{"redirect_uris":["javascript:alert(1)"],"application_type":"native"}`: "invalid_redirect_uri",
	} {
		t.Run(body, func(t *testing.T) { register(t, s, body).wantError(t, 400, code) })
	}
	post(t.Context(), s.Client(), s.Endpoint(oauthtest.RegistrationEndpoint), form()).wantError(t, 400, "invalid_client_metadata")
}

func TestRegistrationAccessTokenReadsTheRegistration(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	r := register(t, s, nativeClient)
	if r.status != http.StatusCreated {
		t.Fatalf("HTTP %d %s; want 201", r.status, r.body)
	}
	address, token := r.text(t, "registration_client_uri"), r.text(t, "registration_access_token")
	if got := get(t.Context(), s.Client(), address, token).wantOK(t); got.text(t, "client_id") != r.text(t, "client_id") {
		t.Errorf("got %s", got.body)
	}
	for name, wrong := range map[string]string{"none": "", "another": "x"} {
		if got := get(t.Context(), s.Client(), address, wrong); got.status != 401 {
			t.Errorf("token %s: HTTP %d; want 401", name, got.status)
		}
	}
}

func TestUpdatedClientHasAnotherAccessToken(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	r := register(t, s, `{"redirect_uris":["https://app.test/"]}`)
	id, address, token := r.text(t, "client_id"), r.text(t, "registration_client_uri"), r.text(t, "registration_access_token")
	other := register(t, s, nativeClient).text(t, "registration_access_token")
	body := func(members string) string {
		return `{"client_id":"` + id + `","redirect_uris":["https://app.test/2"]` + members + `}`
	}
	manage(t, s, http.MethodPut, address, other, body("")).wantError(t, 401, "invalid_token")
	manage(t, s, http.MethodPut, address, token, `{"redirect_uris":["https://app.test/2"]}`).wantError(t, 400, "invalid_client_metadata")
	manage(t, s, http.MethodPut, address, token, `{"client_id":"`+id+`"}`).wantError(t, 400, "invalid_redirect_uri")
	for _, members := range []string{
		`,"client_secret":"x"`, `,"registration_access_token":"x"`, `,"registration_client_uri":"x"`,
		`,"client_secret_expires_at":0`, `,"client_id_issued_at":1`,
	} {
		manage(t, s, http.MethodPut, address, token, body(members)).wantError(t, 400, "invalid_client_metadata")
	}
	updated := manage(t, s, http.MethodPut, address, token, body(`,"client_secret":"`+r.text(t, "client_secret")+`"`)).wantOK(t)
	if updated.text(t, "client_secret") != r.text(t, "client_secret") || !strings.Contains(updated.body, "https://app.test/2") {
		t.Errorf("got %s; want the same secret and the new address", updated.body)
	}
	manage(t, s, http.MethodGet, address, token, "").wantError(t, 401, "invalid_token")
	manage(t, s, http.MethodGet, address, updated.text(t, "registration_access_token"), "").wantOK(t)
}

func TestDeletedClientIsUnknownAndItsSessionsEnd(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	r := register(t, s, nativeClient)
	id, address, token := r.text(t, "client_id"), r.text(t, "registration_client_uri"), r.text(t, "registration_access_token")
	access := logInto(t, s, id).text(t, "access_token")
	if got := manage(t, s, http.MethodDelete, address, "x", ""); got.status != 401 {
		t.Errorf("with another token: HTTP %d; want 401", got.status)
	}
	get(t.Context(), s.Client(), s.Resource(), access).wantOK(t)
	if got := manage(t, s, http.MethodDelete, address, token, ""); got.status != http.StatusNoContent {
		t.Errorf("HTTP %d; want 204", got.status)
	}
	get(t.Context(), s.Client(), s.Resource(), access).wantError(t, 401, "invalid_token")
	manage(t, s, http.MethodDelete, address, token, "").wantError(t, 401, "invalid_token")
	f := form("grant_type", "refresh_token", "refresh_token", "x")
	f.Set("client_id", id)
	post(t.Context(), s.Client(), s.Endpoint(oauthtest.TokenEndpoint), f).wantError(t, 401, "invalid_client")
}

// logInto logs alice in with a public client.
func logInto(t *testing.T, s *oauthtest.Server, id string) result {
	t.Helper()
	location, err := s.Allow(t.Context(), authURL(s, "client_id", id, "redirect_uri", callback), "alice")
	if err != nil {
		t.Fatal(err)
	}
	code := query(t, location).Get("code")
	f := form("grant_type", "authorization_code", "code", code, "code_verifier", verifier, "redirect_uri", callback)
	f.Set("client_id", id)
	return post(t.Context(), s.Client(), s.Endpoint(oauthtest.TokenEndpoint), f).wantOK(t)
}

func TestClientIsHeldToItsGrantTypes(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	id := register(t, s, nativeClient).text(t, "client_id") // authorization_code alone
	f := form("grant_type", "refresh_token", "refresh_token", "x")
	f.Set("client_id", id)
	post(t.Context(), s.Client(), s.Endpoint(oauthtest.TokenEndpoint), f).wantError(t, 400, "unauthorized_client")

	r := logInto(t, s, id)
	if _, given := r.field(t, "refresh_token").(string); given {
		t.Error("a refresh token for a client that did not register for it")
	}
}

func TestResourcePublishesItsMetadata(t *testing.T) {
	for _, path := range []string{"", "/tenant"} {
		s := oauthtest.New(oauthtest.Config{IssuerPath: path})
		refused := get(t.Context(), s.Client(), s.Resource(), "")
		address := s.Endpoint(oauthtest.ResourceMetadataEndpoint)
		if !strings.Contains(refused.header.Get("WWW-Authenticate"), `resource_metadata="`+address+`"`) {
			t.Errorf("challenge %q; want one that names %s", refused.header.Get("WWW-Authenticate"), address)
		}
		r := get(t.Context(), s.Client(), address, "").wantOK(t)
		var servers []string
		raw, _ := json.Marshal(r.field(t, "authorization_servers"))
		if err := json.Unmarshal(raw, &servers); err != nil || len(servers) != 1 || servers[0] != s.Issuer() || r.text(t, "resource") != s.Resource() {
			t.Errorf("got %s", r.body)
		}
		if r := get(t.Context(), s.Client(), s.URL+"/.well-known/oauth-protected-resource", ""); r.status != 404 {
			t.Errorf("the root is not a resource: HTTP %d; want 404", r.status)
		}
		wantMistakes(t, s)
		access, _ := login(t, s)
		get(t.Context(), s.Client(), address, access).wantOK(t)
		wantMistakes(t, s, oauthtest.TokenAstray)
		if text := s.Audit()[0].String(); strings.Contains(text, access) || !strings.Contains(text, "endpoint /.well-known/oauth-protected-resource was sent credentials") {
			t.Errorf("the mistake reads %q", text)
		}
	}
}
