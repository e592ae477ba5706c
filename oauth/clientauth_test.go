package oauth_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// testKeys has one key of each kind, made once: RSA keys take their time.
var testKeys = sync.OnceValue(func() map[string]crypto.Signer {
	must := func(key crypto.Signer, err error) crypto.Signer {
		if err != nil {
			panic(err)
		}
		return key
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	keys := map[string]crypto.Signer{"RS256": must(rsaKey, err)}
	keys["PS256"] = keys["RS256"]
	for alg, curve := range map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		keys[alg] = must(key, err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	keys["EdDSA"] = must(edKey, err)
	return keys
})

// hardware is a key of which the program has no more than crypto.Signer.
type hardware struct{ crypto.Signer }

// brokenKey is a key service that fails, or answers with something else.
type brokenKey struct {
	crypto.Signer
	answer []byte
	err    error
}

func (k brokenKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return k.answer, k.err }

// onTheWay records the forms that pass through a transport.
type onTheWay struct {
	http.RoundTripper

	mu    sync.Mutex
	forms []url.Values
	hosts []string
}

func (o *onTheWay) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		body, _ := io.ReadAll(r.Body)
		_ = r.Body.Close()
		form, _ := url.ParseQuery(string(body))
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(body))
		o.mu.Lock()
		o.forms, o.hosts = append(o.forms, form), append(o.hosts, r.URL.Host)
		o.mu.Unlock()
	}
	return o.RoundTripper.RoundTrip(r)
}

// keyServer knows the first client by a key, under the key ID k1.
func keyServer(key crypto.Signer, change ...func(*oauthtest.Config)) *oauthtest.Server {
	cfg := oauthtest.Config{Clients: []oauthtest.RegisteredClient{{
		ID: oauthtest.DefaultClientID, Keys: map[string]crypto.PublicKey{"k1": key.Public(), "k0": testKeys()["ES384"].Public()},
	}}}
	for _, f := range change {
		f(&cfg)
	}
	return oauthtest.New(cfg)
}

// everyPOST makes the client send one request of each kind.
func everyPOST(t *testing.T, s *oauthtest.Server, c *oauth.Client) {
	t.Helper()
	pair := mustLogin(t, s)
	next, err := c.Refresh(t.Context(), pair)
	if err != nil {
		t.Fatalf("refresh: %v", err)
	}
	if got, err := c.Introspect(t.Context(), next.AccessToken); err != nil || !got.Active {
		t.Errorf("introspect: %v, %v", got, err)
	}
	if _, err := c.DeviceAuth(t.Context()); err != nil {
		t.Errorf("device authorization: %v", err)
	}
	if _, err := c.ClientCredentials(t.Context()); err != nil {
		t.Errorf("client credentials: %v", err)
	}
	if err := c.Revoke(t.Context(), next); err != nil {
		t.Errorf("revoke: %v", err)
	}
	if mistakes := s.Audit(); len(mistakes) > 0 {
		t.Errorf("the client mishandled its tokens: %v", mistakes)
	}
}

func TestEveryRequestCarriesANewAssertion(t *testing.T) {
	for alg, key := range testKeys() {
		t.Run(alg, func(t *testing.T) {
			s := keyServer(key)
			wire := &onTheWay{RoundTripper: s.Client().Transport}
			cfg := s.OAuthConfig()
			cfg.ClientAuth = oauth.PrivateKeyJWT(oauth.AssertionKey{Signer: hardware{key}, KeyID: "k1", Algorithm: alg})
			cfg.HTTPClient = &http.Client{Transport: wire}
			before := time.Now().Truncate(time.Second)
			everyPOST(t, s, oauth.NewClient(cfg))

			seen := map[any]bool{}
			for _, form := range wire.forms {
				claims := jwt.MapClaims{}
				token, _, err := jwt.NewParser().ParseUnverified(form.Get("client_assertion"), claims)
				if err != nil {
					t.Fatalf("form %v: %v", form, err)
				}
				if alg == "PS256" { // which golang-jwt verifies with any salt
					hash := sha256.Sum256([]byte(token.Raw[:strings.LastIndex(token.Raw, ".")]))
					if err := rsa.VerifyPSS(key.Public().(*rsa.PublicKey), crypto.SHA256, hash[:], token.Signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}); err != nil {
						t.Errorf("the salt is not as long as the hash: %v", err)
					}
				}
				if token.Header["alg"] != alg || token.Header["kid"] != "k1" || token.Header["typ"] != "JWT" {
					t.Errorf("header %v", token.Header)
				}
				if claims["iss"] != cfg.ClientID || claims["sub"] != cfg.ClientID || claims["aud"] != s.Issuer() {
					t.Errorf("claims %v; want the client as iss and sub, and the issuer as aud, a string", claims)
				}
				iat, _ := claims["iat"].(float64)
				exp, _ := claims["exp"].(float64)
				if exp-iat != 60 || iat < float64(before.Unix()) {
					t.Errorf("iat %v, exp %v", iat, exp)
				}
				jti, _ := claims["jti"].(string)
				if len(jti) < 22 || seen[jti] { // 128 bits
					t.Errorf("jti %q is short or was used", jti)
				}
				seen[jti] = true
				if form.Get("client_id") != cfg.ClientID || form.Has("client_secret") {
					t.Errorf("client_id %q, a secret: %v", form.Get("client_id"), form.Has("client_secret"))
				}
			}
			if len(seen) != 5 {
				t.Errorf("%d assertions; want 5", len(seen))
			}
		})
	}
}

func TestKeyChoosesItsAlgorithm(t *testing.T) {
	for alg, key := range testKeys() {
		if alg == "PS256" {
			continue // for RSA, RS256 is what more servers take
		}
		w := answering(200, okBody)
		if _, err := over(w, func(cfg *oauth.Config) { cfg.ClientAuth = keyed(key) }).RefreshToken(t.Context(), "r"); err != nil {
			t.Fatal(err)
		}
		token, _, err := jwt.NewParser().ParseUnverified(w.requests()[0].form.Get("client_assertion"), jwt.MapClaims{})
		if err != nil || token.Header["alg"] != alg {
			t.Errorf("%s: %v, %v", alg, token, err)
		}
	}
}

// keyed is how a client with a key authenticates, with this algorithm if one is given.
func keyed(key crypto.Signer, algorithm ...string) oauth.ClientAuth {
	return oauth.PrivateKeyJWT(oauth.AssertionKey{Signer: key, Algorithm: strings.Join(algorithm, "")})
}

func TestAudienceAndTypeOfAssertions(t *testing.T) {
	for _, tt := range []struct {
		name, issuer, audience, typ string
		wantAud, wantTyp            string
	}{
		{name: "issuer", issuer: issuer, wantAud: issuer, wantTyp: "JWT"},
		{name: "no issuer", wantAud: "https://auth.test/token", wantTyp: "JWT"},
		{name: "configured", issuer: issuer, audience: "urn:x", typ: "client-authentication+jwt", wantAud: "urn:x", wantTyp: "client-authentication+jwt"},
	} {
		w := answering(200, okBody)
		c := over(w, func(cfg *oauth.Config) {
			cfg.Issuer = tt.issuer
			cfg.ClientAuth = oauth.PrivateKeyJWT(oauth.AssertionKey{Signer: testKeys()["ES256"], Audience: tt.audience, Type: tt.typ})
		})
		if _, err := c.RefreshToken(t.Context(), "r"); err != nil {
			t.Fatal(err)
		}
		claims := jwt.MapClaims{}
		token, _, err := jwt.NewParser().ParseUnverified(w.requests()[0].form.Get("client_assertion"), claims)
		if err != nil || claims["aud"] != tt.wantAud || token.Header["typ"] != tt.wantTyp {
			t.Errorf("%s: aud %v, header %v, %v; want %s, %s", tt.name, claims["aud"], token.Header, err, tt.wantAud, tt.wantTyp)
		}
		if _, has := token.Header["kid"]; has {
			t.Errorf("%s: an empty kid is sent", tt.name)
		}
	}
}

func TestServerThatWantsItsTokenEndpointAsAudience(t *testing.T) {
	s := keyServer(testKeys()["ES256"], func(cfg *oauthtest.Config) { cfg.TokenEndpointAudience = true })
	cfg := s.OAuthConfig()
	key := oauth.AssertionKey{Signer: testKeys()["ES256"], KeyID: "k1"}
	cfg.ClientAuth = oauth.PrivateKeyJWT(key)
	_, err := oauth.NewClient(cfg).Refresh(t.Context(), mustLogin(t, s))
	if fail := failure(t, err); fail.Code != "invalid_client" || !strings.Contains(fail.Hint, "Audience") {
		t.Errorf("got %v; want invalid_client and a hint at the audience", err)
	}
	key.Audience = cfg.TokenURL
	cfg.ClientAuth = oauth.PrivateKeyJWT(key)
	everyPOST(t, s, oauth.NewClient(cfg))
}

func TestKeyThatDoesNotSignIsAnOutage(t *testing.T) {
	key := testKeys()["ES256"]
	for name, tt := range map[string]struct {
		key  crypto.Signer
		kind error
	}{
		"service down":      {brokenKey{Signer: key, err: errors.New("no route to " + secret)}, oauth.ErrTransient},
		"no signature":      {brokenKey{Signer: key, answer: []byte(secret)}, oauth.ErrMisconfigured},
		"trailing bytes":    {brokenKey{Signer: key, answer: []byte{0x30, 6, 2, 1, 1, 2, 1, 1, 0}}, oauth.ErrMisconfigured},
		"a negative number": {brokenKey{Signer: key, answer: []byte{0x30, 6, 2, 1, 0xff, 2, 1, 1}}, oauth.ErrMisconfigured},
	} {
		w := answering(200, okBody)
		_, err := over(w, func(cfg *oauth.Config) { cfg.ClientAuth = keyed(tt.key) }).RefreshToken(t.Context(), secret)
		if fail := failure(t, err); !errors.Is(err, tt.kind) || fail.Sent || len(w.requests()) != 0 {
			t.Errorf("%s: got %v (sent: %v); want %v, not sent", name, err, fail.Sent, tt.kind)
		}
	}
}

func TestAssertionsGoByTheServersClock(t *testing.T) {
	for name, wrong := range map[string]time.Duration{"ahead": time.Hour, "behind": -time.Hour} {
		s := oauthtest.NewServer(oauthtest.Config{Clients: []oauthtest.RegisteredClient{{
			ID: oauthtest.DefaultClientID, Keys: map[string]crypto.PublicKey{"": testKeys()["ES256"].Public()},
		}}})
		defer s.Close()
		cfg := s.OAuthConfig()
		cfg.ClientAuth, cfg.Now = keyed(testKeys()["ES256"]), func() time.Time { return time.Now().Add(wrong) }
		c := oauth.NewClient(cfg)
		pair := mustLogin(t, s)
		_, err := c.Refresh(t.Context(), pair)
		if fail := failure(t, err); fail.Code != "invalid_client" || !strings.Contains(fail.Hint, "clock") {
			t.Errorf("%s: got %v; want invalid_client and a hint at the clock", name, err)
		}
		// That answer told the time.
		if _, err := c.Refresh(t.Context(), pair); err != nil {
			t.Errorf("%s: the second attempt: %v", name, err)
		}
	}
}

// What the refusal of the proof told about the time holds for the assertion too.
func TestProofAndAssertionGoByOneClock(t *testing.T) {
	key := testKeys()["ES256"]
	s := oauthtest.New(oauthtest.Config{Clients: []oauthtest.RegisteredClient{{
		ID: oauthtest.DefaultClientID, Keys: map[string]crypto.PublicKey{"": key.Public()},
	}}})
	c := dpopClient(s, func(cfg *oauth.Config) {
		cfg.ClientAuth, cfg.Now = keyed(key), func() time.Time { return time.Now().Add(time.Hour) }
	})
	if _, err := c.Password(t.Context(), "alice", "wonderland"); err != nil || s.Requests(oauthtest.TokenEndpoint) != 2 {
		t.Errorf("%d requests, error %v; want a second one that works", s.Requests(oauthtest.TokenEndpoint), err)
	}
	s.Script(oauthtest.Fault{Endpoint: oauthtest.TokenEndpoint, Status: 401, Body: `{"error":"invalid_client"}`})
	_, err := c.Password(t.Context(), "alice", "wonderland")
	if fail := failure(t, err); !strings.Contains(fail.Hint, "the server knows the key") {
		t.Errorf("got %v; want the hint for a client with a key", err)
	}
}

func TestMistakesWithKeysAreReportedBeforeAnythingIsSent(t *testing.T) {
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*oauth.Config){
		"no key":                   func(c *oauth.Config) { c.ClientAuth = oauth.ClientAuthBy("private_key_jwt", secret) },
		"a curve without a name":   func(c *oauth.Config) { c.ClientAuth = keyed(p224) },
		"another key's algorithm":  func(c *oauth.Config) { c.ClientAuth = keyed(testKeys()["ES256"], "RS256") },
		"an algorithm for secrets": func(c *oauth.Config) { c.ClientAuth = keyed(testKeys()["RS256"], "HS256") },
		"no signature at all":      func(c *oauth.Config) { c.ClientAuth = keyed(testKeys()["RS256"], "none") },
		"no certificate":           func(c *oauth.Config) { c.ClientAuth, c.HTTPClient = oauth.TLSClientAuth(nil), nil },
		"no self-signed either":    func(c *oauth.Config) { c.ClientAuth, c.HTTPClient = oauth.SelfSignedTLSClientAuth(nil), nil },
		"an empty certificate": func(c *oauth.Config) {
			c.HTTPClient, c.ClientAuth = nil, oauth.TLSClientAuth(newCertificate(t).without())
		},
		"another transport": func(c *oauth.Config) { c.ClientAuth = oauth.TLSClientAuth(newCertificate(t).pair()) },
		"a connection of its own": func(c *oauth.Config) {
			c.ClientAuth, c.HTTPClient = oauth.TLSClientAuth(newCertificate(t).pair()), &http.Client{Transport: &http.Transport{DialTLSContext: noDial}}
		},
		"plain http": func(c *oauth.Config) { c.ClientAuth, c.TokenURL = oauth.TLSClientAuth(nil), "http://127.0.0.1:1/token" },
	} {
		w := answering(200, okBody)
		_, err := over(w, change).RefreshToken(t.Context(), "r")
		if fail := failure(t, err); !errors.Is(err, oauth.ErrMisconfigured) || fail.Sent || len(w.requests()) != 0 {
			t.Errorf("%s: got %v (sent: %v); want ErrMisconfigured, not sent", name, err, fail.Sent)
		}
	}
}

func TestConfigIDNamesKeyAndCertificate(t *testing.T) {
	one := newCertificate(t)
	base := oauth.Config{ClientID: "id", TokenURL: "https://auth.test/token"}
	key := func(change func(*oauth.AssertionKey)) oauth.ClientAuth {
		k := oauth.AssertionKey{Signer: testKeys()["RS256"]}
		change(&k)
		return oauth.PrivateKeyJWT(k)
	}
	ids := map[string]string{}
	for name, auth := range map[string]oauth.ClientAuth{
		"key":               key(func(*oauth.AssertionKey) {}),
		"another key":       key(func(k *oauth.AssertionKey) { k.Signer = testKeys()["ES256"] }),
		"key ID":            key(func(k *oauth.AssertionKey) { k.KeyID = "k" }),
		"algorithm":         key(func(k *oauth.AssertionKey) { k.Algorithm = "PS256" }),
		"audience":          key(func(k *oauth.AssertionKey) { k.Audience = "a" }),
		"type":              key(func(k *oauth.AssertionKey) { k.Type = "t" }),
		"both":              key(func(*oauth.AssertionKey) {}).Presenting(one.pair()),
		"certificate":       oauth.TLSClientAuth(one.pair()),
		"other certificate": oauth.TLSClientAuth(newCertificate(t).pair()),
		"one to bind alone": oauth.ClientAuth{}.Presenting(one.pair()),
		"neither":           {},
	} {
		cfg := base
		cfg.ClientAuth = auth
		id := oauth.NewClient(cfg).ConfigID()
		if other, taken := ids[id]; taken {
			t.Errorf("%s has the same ID as %s", name, other)
		}
		ids[id] = name
		if again := oauth.NewClient(cfg).ConfigID(); again != id || len(id) != 16 {
			t.Errorf("%s: IDs %q and %q", name, id, again)
		}
	}
	if got := oauth.NewClient(base).ConfigID(); got != "06fbdde4df3a9a07" {
		t.Errorf("ID %q of a client without key or certificate; stored sessions know it as another", got)
	}
}

func TestBasicIsDecodedByAServerThatGoesByTheBook(t *testing.T) {
	const id, pass = "a:b c", "p%w/=+ä"
	s := oauthtest.New(oauthtest.Config{ClientID: id, ClientSecret: pass})
	cfg := s.OAuthConfig()
	everyPOST(t, s, oauth.NewClient(cfg))
	cfg.ClientAuth, cfg.ClientSecret = oauth.SecretBasicRaw(pass), ""
	if _, err := oauth.NewClient(cfg).Refresh(t.Context(), mustLogin(t, s)); failure(t, err).Code != "invalid_client" {
		t.Errorf("raw: %v; want invalid_client", err)
	}
}

func TestDiscoverSaysThatTheMethodIsNotOffered(t *testing.T) {
	list := strings.TrimSuffix(goodMeta, "}") + `,"token_endpoint_auth_methods_supported":["client_secret_post"]}`
	c, err := discover(t, published(map[string]*http.Response{rfc8414: response(200, list)}), func(cfg *oauth.Config) { cfg.ClientAuth = keyed(testKeys()["ES256"]) })
	if fail := failure(t, err); c != nil || !errors.Is(err, oauth.ErrMisconfigured) || !strings.Contains(err.Error(), "private_key_jwt; it lists client_secret_post") || !strings.Contains(fail.Hint, "NewClient") {
		t.Errorf("got %v, %v; want ErrMisconfigured that names both methods, and a way out", c, err)
	}
}

func TestErrorsOfKeysHoldNoAssertion(t *testing.T) {
	s := keyServer(testKeys()["ES256"])
	cfg := s.OAuthConfig()
	cfg.ClientAuth = keyed(testKeys()["EdDSA"]) // not the registered one
	wire := &onTheWay{RoundTripper: s.Client().Transport}
	cfg.HTTPClient = &http.Client{Transport: wire}
	_, err := oauth.NewClient(cfg).Refresh(t.Context(), mustLogin(t, s))
	if fail := failure(t, err); !errors.Is(err, oauth.ErrMisconfigured) || fail.Code != "invalid_client" {
		t.Errorf("got %v; want ErrMisconfigured with invalid_client", err)
	}
	if text := fmt.Sprintf("%+v %#v", err, err); strings.Contains(text, wire.forms[0].Get("client_assertion")[:20]) {
		t.Errorf("the error shows the assertion: %s", text)
	}
}

func ExamplePrivateKeyJWT() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader) // or a key in hardware
	if err != nil {
		fmt.Println(err)
		return
	}
	server := oauthtest.New(oauthtest.Config{Clients: []oauthtest.RegisteredClient{
		{ID: "my-service", Keys: map[string]crypto.PublicKey{"2026-11": key.Public()}},
	}})
	ctx := context.Background()
	client, err := oauth.Discover(ctx, server.Issuer(), oauth.Config{
		ClientID:   "my-service",
		ClientAuth: oauth.PrivateKeyJWT(oauth.AssertionKey{Signer: key, KeyID: "2026-11"}),
		HTTPClient: server.Client(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	tokens, err := client.ClientCredentials(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(client.Config().ClientAuth.Method())
	fmt.Println(tokens.Type(), "token for", tokens.Scope)
	// Output:
	// private_key_jwt
	// Bearer token for api
}
