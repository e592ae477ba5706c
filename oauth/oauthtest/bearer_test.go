package oauthtest_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evertoken/evertoken/oauth/oauthtest"
)

const bearerGrant = "urn:ietf:params:oauth:grant-type:jwt-bearer"

func bearer(t *testing.T, s *oauthtest.Server, assertion string, pairs ...string) result {
	t.Helper()
	f := url.Values{"grant_type": {bearerGrant}, "assertion": {assertion}}
	for i := 0; i < len(pairs); i += 2 {
		f.Set(pairs[i], pairs[i+1])
	}
	return post(t.Context(), s.Client(), s.Endpoint(oauthtest.TokenEndpoint), f)
}

func TestAssertionsAreTakenOnlyFromWhomTheServerTrusts(t *testing.T) {
	newKey := func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	key, other := newKey(), newKey()
	s := oauthtest.New(oauthtest.Config{TrustedIssuers: []oauthtest.TrustedIssuer{
		{Issuer: "platform", Keys: map[string]crypto.PublicKey{"k": &key.PublicKey, "": &key.PublicKey}},
	}})
	now := time.Now()
	for name, tt := range map[string]struct {
		key     crypto.Signer
		kid     string
		changes jwt.MapClaims // nil removes
		good    bool
	}{
		"good":               {key, "k", nil, true},
		"without kid":        {key, "", nil, true},
		"the token endpoint": {key, "k", jwt.MapClaims{"aud": s.Endpoint(oauthtest.TokenEndpoint)}, true},
		"several audiences":  {key, "k", jwt.MapClaims{"aud": []string{"x", s.Issuer()}}, true},
		"unknown kid":        {key, "x", nil, false},
		"another key":        {other, "k", nil, false},
		"another issuer":     {key, "k", jwt.MapClaims{"iss": "x"}, false},
		"another audience":   {key, "k", jwt.MapClaims{"aud": "https://other.test"}, false},
		"no audience":        {key, "k", jwt.MapClaims{"aud": nil}, false},
		"no subject":         {key, "k", jwt.MapClaims{"sub": nil}, false},
		"no end":             {key, "k", jwt.MapClaims{"exp": nil}, false},
		"expired":            {key, "k", jwt.MapClaims{"exp": now.Add(-time.Minute).Unix()}, false},
		"not yet":            {key, "k", jwt.MapClaims{"nbf": now.Add(time.Minute).Unix()}, false},
	} {
		claims := jwt.MapClaims{"iss": "platform", "sub": "job", "aud": s.Issuer(), "exp": now.Add(time.Minute).Unix()}
		for claim, value := range tt.changes {
			if claims[claim] = value; value == nil {
				delete(claims, claim)
			}
		}
		token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
		if tt.kid != "" {
			token.Header["kid"] = tt.kid
		}
		assertion, err := token.SignedString(tt.key)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // a platform's token is good until it ends
			r := bearer(t, s, assertion)
			if !tt.good {
				r.wantError(t, http.StatusBadRequest, "invalid_grant")
				continue
			}
			if got := resourceStatus(t, s, r.wantOK(t).text(t, "access_token")); got != http.StatusOK || r.field(t, "refresh_token") != nil {
				t.Errorf("%s: HTTP %d, refresh token %v", name, got, r.field(t, "refresh_token"))
			}
		}
	}
	bearer(t, s, "").wantError(t, http.StatusBadRequest, "invalid_request")
	bearer(t, s, "x.y.z").wantError(t, http.StatusBadRequest, "invalid_grant")
	bearer(t, s, "x.y.z", "client_id", "unknown").wantError(t, http.StatusUnauthorized, "invalid_client")
	wantMistakes(t, s)
}

func TestIdentityAssertionIsForOneClientAndGoodOnce(t *testing.T) {
	idp := oauthtest.New(oauthtest.Config{IssuerPath: "/idp", ClientsElsewhere: map[string]string{"https://auth.test": "tool"}})
	s := oauthtest.New(oauthtest.Config{ClientID: "tool", Clients: []oauthtest.RegisteredClient{{ID: "other"}}, TrustedIssuers: []oauthtest.TrustedIssuer{{Server: idp}}})
	pair, err := idp.Login("alice")
	if err != nil {
		t.Fatal(err)
	}
	issue := func(pairs ...string) result {
		f := []string{"subject_token", pair.IDToken, "subject_token_type", idType, "requested_token_type", "urn:ietf:params:oauth:token-type:id-jag",
			"audience", s.Issuer(), "scope", "profile"}
		return exchange(t, idp, pair.AccessToken, append(f, pairs...)...)
	}
	issue("subject_token", pair.AccessToken, "subject_token_type", accessType).wantError(t, http.StatusBadRequest, "invalid_request")
	issue("audience", "").wantError(t, http.StatusBadRequest, "invalid_request")
	assertion := issue().wantOK(t).text(t, "access_token")
	bearer(t, s, assertion).wantError(t, http.StatusBadRequest, "invalid_grant")
	bearer(t, s, assertion, "client_id", "other").wantError(t, http.StatusBadRequest, "invalid_grant")
	r := bearer(t, s, assertion, "client_id", "tool").wantOK(t)
	if r.text(t, "scope") != "profile" {
		t.Errorf("scope %q", r.text(t, "scope"))
	}
	bearer(t, s, issue().text(t, "access_token"), "client_id", "tool", "scope", "email").wantError(t, http.StatusBadRequest, "invalid_scope")
	wantMistakes(t, s)
	bearer(t, s, assertion, "client_id", "tool").wantError(t, http.StatusBadRequest, "invalid_grant")
	wantMistakes(t, s, oauthtest.AssertionReplayed)
}

func TestDocumentsOfClientsAreReadStrictly(t *testing.T) {
	const at = "https://tool.test/client.json"
	for name, tt := range map[string]struct {
		document string
		known    bool
	}{
		"good":            {`{"client_id":"` + at + `","client_name":"Tool","redirect_uris":["http://127.0.0.1/callback"]}`, true},
		"another address": {`{"client_id":"` + at + `x","client_name":"Tool","redirect_uris":["http://127.0.0.1/callback"]}`, false},
		"no name":         {`{"client_id":"` + at + `","redirect_uris":["http://127.0.0.1/callback"]}`, false},
		"no redirect":     {`{"client_id":"` + at + `","client_name":"Tool"}`, false},
		"a secret":        {`{"client_id":"` + at + `","client_name":"Tool","redirect_uris":["http://127.0.0.1/callback"],"client_secret":"s"}`, false},
		"a secret's use":  {`{"client_id":"` + at + `","client_name":"Tool","redirect_uris":["http://127.0.0.1/callback"],"token_endpoint_auth_method":"client_secret_post"}`, false},
		"no JSON":         {`<html>`, false},
		"not there":       {"", false},
	} {
		s := oauthtest.New(oauthtest.Config{FetchClient: func(_ context.Context, clientID string) ([]byte, error) {
			if clientID != at || tt.document == "" {
				return nil, errors.New("not found")
			}
			return []byte(tt.document), nil
		}})
		q := url.Values{"client_id": {at}, "response_type": {"code"}, "redirect_uri": {"http://127.0.0.1:1234/callback"}, "state": {"s"},
			"code_challenge": {"x"}, "code_challenge_method": {"S256"}}
		r := get(t.Context(), s.Client(), s.Endpoint(oauthtest.AuthorizeEndpoint)+"?"+q.Encode(), "")
		if known := r.status == http.StatusOK; known != tt.known {
			t.Errorf("%s: HTTP %d; want known: %t", name, r.status, tt.known)
		}
	}
	s := oauthtest.New(oauthtest.Config{})
	if r := get(t.Context(), s.Client(), s.Endpoint(oauthtest.MetadataEndpoint), ""); r.field(t, "client_id_metadata_document_supported") != false {
		t.Error("a server that gets no documents says that it does")
	}
}
