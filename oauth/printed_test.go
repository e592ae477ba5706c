package oauth_test

import (
	"crypto/ed25519"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/evertoken/evertoken/internal/taint"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/challenge"
	"github.com/evertoken/evertoken/oauth/dialect"
	"github.com/evertoken/evertoken/oauth/register"
	"github.com/evertoken/evertoken/oauth/workload"
)

// withoutSecrets are the types that have none, and why.
var withoutSecrets = map[string]string{
	"oauth.Endpoints": "addresses", "oauth.Preset": "what is known of a service", "oauth.OfflineAccess": "names", "oauth.Presentation": "names",
	"oauth.Metadata": "published by the server", "oauth.ProtectedResource": "published by the API",
	"oauth.Userinfo": "claims about a person, which the program asked for to show", "oauth.Introspection": "the same, about a token",
	"dialect.Answer": "names", "dialect.Field": "names, and a text that is no secret by its docs", "dialect.Request": "has Fields", "dialect.Dialect": "has Requests and an Answer",
	"dialect.Error": "what an answer means", "dialect.ParseError": "where in a document, which is a Dialect", "dialect.Encoding": "a choice", "dialect.Place": "a choice", "dialect.Value": "a name",
	"dialect.Config": "addresses and limits",
	"oidc.Verifier":  "public keys", "register.Metadata": "published to every server",
	"workload.Command": "arguments, which all may read by its docs", "workload.GitHubActions": "an audience: the secret stays in the environment", "workload.Variable": "a name of a variable",
}

// Each type of this package and its wings is here that a program can hold a secret in.
func TestLaw8_EveryTypeThatHoldsASecretPrintsWithoutIt(t *testing.T) {
	var b taint.Book
	b.Secret("secret", secret)
	d, err := base64.RawURLEncoding.DecodeString(secretD)
	if err != nil {
		t.Fatal(err)
	}
	b.Key("DPoP key", d)
	for name, value := range printables(t) {
		b.Print(name, value)
	}
	key := ed25519.NewKeyFromSeed(fmt.Appendf(nil, "%-32.32s", secret))
	cert := &tls.Certificate{Certificate: [][]byte{[]byte(secret)}, PrivateKey: key}
	cfg := oauth.Config{ClientID: "id", ClientSecret: secret, TokenURL: "https://auth.test/token", ClientAuth: oauth.TLSClientAuth(cert)}
	c := oauth.NewClient(cfg)
	b.Print("ID token", oauth.IDTokenCheck{Token: secret}, &oauth.IDTokenCheck{Token: secret})
	b.Print("assertion key", oauth.AssertionKey{Signer: key}, &oauth.AssertionKey{Signer: key})
	b.Print("identity", oauth.IdentityAssertion{Provider: c}, &oauth.IdentityAssertion{Provider: c})
	b.Print("refresher", c.ClientCredentialsRefresher(), c.IdentityAssertionRefresher(oauth.IdentityAssertion{Provider: c}))
	b.Print("certificate", cfg, c)
	b.Print("error", &oauth.Error{Op: "refresh", Err: &url.Error{Op: "Get", URL: "https://auth.test/?" + secret, Err: errors.New("x")}})
	b.Print("challenge", challenge.Challenge{Scheme: "Bearer", Token68: secret, Params: map[string]string{"error": secret}})
	options := register.Options{Given: []*register.Registration{{ClientID: "id", ClientSecret: secret}}, Kept: []*register.Registration{{AccessToken: secret}}}
	b.Print("registrations", options, &options)
	job := workload.URL{Address: "https://job:" + secret + "@a.test/?" + secret, Header: http.Header{"Authorization": {secret}}}
	b.Print("platform", job, &job)
	inAddress := "https://id:" + secret + "@auth.test"
	b.Print("addresses", oauth.Config{Issuer: inAddress, TokenURL: inAddress + "/token"}, oauth.IDTokenCheck{Issuer: inAddress},
		oauth.LoginRequest{URL: inAddress}, oauth.LogoutRequest{URL: inAddress}, oauth.DeviceCode{VerificationURI: inAddress},
		dialect.NewClient(dialect.Dialect{}, dialect.Config{BaseURL: inAddress}))
	b.Check(t, 4, 25)
	b.CheckTypes(t, "../api/oauth.txt", withoutSecrets)
	b.CheckTypes(t, "../api/oauth_challenge.txt", withoutSecrets)
	b.CheckTypes(t, "../api/oauth_dialect.txt", withoutSecrets)
	b.CheckTypes(t, "../api/oauth_oidc.txt", withoutSecrets)
	b.CheckTypes(t, "../api/oauth_register.txt", withoutSecrets)
	b.CheckTypes(t, "../api/oauth_workload.txt", withoutSecrets)
}
