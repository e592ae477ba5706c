package oauthtest_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// Two keys; coordinates of the first begin with a zero byte.
const (
	firstKey  = `{"kty":"EC","crv":"P-256","x":"AARGOBHz39rn1yIakM3isusjN16UvtBB1dNm8igqMlU","y":"ER-sAeowGQgDgb_lru_3a1SwN4Ko3jJUyJLUm-yIBxs","d":"R6LOLcR-pQHIgB9bLD4fYEdzW45wFlfJcqPcsAhlw00"}`
	secondKey = `{"kty":"EC","crv":"P-256","x":"DWiFhPPGQlYFl5dwPmmTWgq6nhqJjhRuHef5rJanuxU","y":"lPl49NWI7s6YbmT2ogpP5c7hlzxgRpmwQhs0sBfWves","d":"AApdz92juRoK_aDXXJdPXSKGUV3z4wYgl3aQnC_Y-eg"}`
)

// A prover sends requests with proofs of a key.
type prover struct {
	t   *testing.T
	s   *oauthtest.Server
	key oauth.DPoPKey
}

func newProver(t *testing.T, s *oauthtest.Server, jwk string) *prover {
	p := &prover{t: t, s: s}
	if err := json.Unmarshal([]byte(jwk), &p.key); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *prover) proof(method, target, token, nonce string, at time.Time) string {
	p.t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		p.t.Fatal(err)
	}
	proof, err := p.key.Proof(method, u, token, nonce, at)
	if err != nil {
		p.t.Fatal(err)
	}
	return proof
}

// post sends a token request with the given proofs.
func (p *prover) post(form url.Values, proofs ...string) result {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.s.Endpoint(oauthtest.TokenEndpoint), strings.NewReader(form.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header["Dpop"] = proofs
	return send(p.s.Client(), r)
}

// grant sends a token request with a good proof.
func (p *prover) grant(pairs ...string) result {
	p.t.Helper()
	return p.post(form(pairs...), p.proof("POST", p.s.Endpoint(oauthtest.TokenEndpoint), "", "", time.Now()))
}

func (p *prover) login() (access, refresh string) {
	p.t.Helper()
	r := p.grant("grant_type", "password", "username", "alice", "password", "wonderland").wantOK(p.t)
	if r.text(p.t, "token_type") != "DPoP" {
		p.t.Fatalf("got %s; want a DPoP token", r.body)
	}
	return r.text(p.t, "access_token"), r.text(p.t, "refresh_token")
}

// ask sends a request to the protected resource.
func (p *prover) ask(scheme, token, proof string) result {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.s.Resource(), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Authorization", scheme+" "+token)
	if proof != "" {
		r.Header.Set("DPoP", proof)
	}
	return send(p.s.Client(), r)
}

func (r result) wantChallenge(t *testing.T, code string) {
	t.Helper()
	got := r.header.Get("WWW-Authenticate")
	if r.status != http.StatusUnauthorized || !strings.HasPrefix(got, "DPoP ") || !strings.Contains(got, `error="`+code+`"`) || !strings.Contains(got, `algs="ES256"`) {
		t.Errorf("HTTP %d, %s; want 401 with a DPoP challenge %s", r.status, got, code)
	}
}

// handMade returns a proof that says anything.
func handMade(t *testing.T, method jwt.SigningMethod, key any, header map[string]any, claims jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	for name, value := range header {
		token.Header[name] = value
	}
	proof, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

func TestBadProofsAreRefusedAtTheTokenEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{})
		p, target, now := newProver(t, s, firstKey), s.Endpoint(oauthtest.TokenEndpoint), time.Now()
		good := func() string { return p.proof("POST", target, "", "", now) }
		parts := strings.Split(good(), ".")
		publicJWK := map[string]any{"kty": "EC", "crv": "P-256", "x": "AARGOBHz39rn1yIakM3isusjN16UvtBB1dNm8igqMlU", "y": "ER-sAeowGQgDgb_lru_3a1SwN4Ko3jJUyJLUm-yIBxs"}
		for name, proofs := range map[string][]string{
			"two proofs":     {good(), good()},
			"no JWT":         {"proof"},
			"other method":   {p.proof("GET", target, "", "", now)},
			"other endpoint": {p.proof("POST", s.Resource(), "", "", now)},
			"other host":     {p.proof("POST", "https://evil.test/token", "", "", now)},
			"too old":        {p.proof("POST", target, "", "", now.Add(-61*time.Second))},
			"of the future":  {p.proof("POST", target, "", "", now.Add(61*time.Second))},
			"signed by another key": {handMade(t, jwt.SigningMethodHS256, []byte("secret"), map[string]any{"typ": "dpop+jwt", "jwk": publicJWK},
				jwt.MapClaims{"jti": "1", "htm": "POST", "htu": target, "iat": now.Unix()})},
			"not signed": {handMade(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, map[string]any{"typ": "dpop+jwt", "jwk": publicJWK},
				jwt.MapClaims{"jti": "1", "htm": "POST", "htu": target, "iat": now.Unix()})},
			"changed after signing": {parts[0] + "." + strings.Split(p.proof("POST", target, "", "", now), ".")[1] + "." + parts[2]},
		} {
			r := p.post(form("grant_type", "password", "username", "alice", "password", "wonderland"), proofs...)
			t.Log(name)
			r.wantError(t, 400, "invalid_dpop_proof")
		}
		wantMistakes(t, s)
		p.post(form("grant_type", "password", "username", "alice", "password", "wonderland"), good()).wantOK(t)
	})
}

func TestProofThatIsUsedTwiceIsAMistake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{})
		p := newProver(t, s, firstKey)
		proof, login := p.proof("POST", s.Endpoint(oauthtest.TokenEndpoint), "", "", time.Now()), form("grant_type", "password", "username", "alice", "password", "wonderland")
		p.post(login, proof).wantOK(t)
		time.Sleep(50 * time.Second)
		p.post(login, proof).wantError(t, 400, "invalid_dpop_proof")
		wantMistakes(t, s, oauthtest.ProofReplayed)
		if text := s.Audit()[0].String(); !strings.Contains(text, "DPoP proof") {
			t.Errorf("the mistake reads %s", text)
		}
	})
}

func TestRefreshTokenOfAPublicClientIsBoundToItsKey(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	p, thief := newProver(t, s, firstKey), newProver(t, s, secondKey)
	_, token := p.login()
	p.grant("grant_type", "refresh_token", "refresh_token", token).wantOK(t)
	_, token = p.login()
	thief.grant("grant_type", "refresh_token", "refresh_token", token).wantError(t, 400, "invalid_grant")
	_, token = p.login()
	p.post(form("grant_type", "refresh_token", "refresh_token", token)).wantError(t, 400, "invalid_grant")
	wantMistakes(t, s)
}

func TestRefreshTokenOfAConfidentialClientTakesAnyKey(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{ClientSecret: "s"})
	p, other := newProver(t, s, firstKey), newProver(t, s, secondKey)
	login := []string{"grant_type", "password", "username", "alice", "password", "wonderland", "client_secret", "s"}
	token := p.grant(login...).text(t, "refresh_token")
	r := other.grant("grant_type", "refresh_token", "refresh_token", token, "client_secret", "s").wantOK(t)
	access := r.text(t, "access_token")
	other.ask("DPoP", access, other.proof("GET", s.Resource(), access, "", time.Now())).wantOK(t)
	p.ask("DPoP", access, p.proof("GET", s.Resource(), access, "", time.Now())).wantChallenge(t, "invalid_token")
}

func TestBoundAccessTokenNeedsItsProof(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	p, thief := newProver(t, s, firstKey), newProver(t, s, secondKey)
	access, _ := p.login()
	other, _ := p.login()
	proof := func(p *prover, token string) string { return p.proof("GET", s.Resource(), token, "", time.Now()) }
	p.ask("DPoP", access, proof(p, access)).wantOK(t)
	p.ask("dpop", access, proof(p, access)).wantOK(t)
	p.ask("DPoP", access, "").wantChallenge(t, "invalid_dpop_proof")
	p.ask("DPoP", access, proof(p, other)).wantChallenge(t, "invalid_dpop_proof")
	p.ask("DPoP", access, proof(p, "")).wantChallenge(t, "invalid_dpop_proof")
	p.ask("DPoP", access, proof(thief, access)).wantChallenge(t, "invalid_token")
	p.ask("DPoP", "nonsense", proof(p, "nonsense")).wantChallenge(t, "invalid_token")
	wantMistakes(t, s)
	if r := p.ask("Bearer", access, ""); r.status != 401 || !strings.Contains(r.header.Get("WWW-Authenticate"), "invalid_token") {
		t.Errorf("a bound token without proof: HTTP %d", r.status)
	}
	wantMistakes(t, s, oauthtest.PresentedBare)
	plain, _ := login(t, s)
	p.ask("DPoP", plain, proof(p, plain)).wantChallenge(t, "invalid_token")
}

func TestNoncesAreAskedForAndChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{DPoPNonceLifetime: time.Minute})
		p, target := newProver(t, s, firstKey), s.Endpoint(oauthtest.TokenEndpoint)
		try := func(nonce string) result {
			return p.post(form("grant_type", "password", "username", "alice", "password", "wonderland"), p.proof("POST", target, "", nonce, time.Now()))
		}
		r := try("")
		r.wantError(t, 400, "use_dpop_nonce")
		nonce := r.header.Get("DPoP-Nonce")
		access := try(nonce).wantOK(t).text(t, "access_token")
		time.Sleep(time.Minute)
		if r = try(nonce).wantOK(t); r.header.Get("DPoP-Nonce") == nonce {
			t.Error("a good answer does not carry the new nonce")
		}
		time.Sleep(time.Minute)
		try(nonce).wantError(t, 400, "use_dpop_nonce")

		here := func(nonce string) result {
			return p.ask("DPoP", access, p.proof("GET", s.Resource(), access, nonce, time.Now()))
		}
		r = here(try("").header.Get("DPoP-Nonce"))
		r.wantChallenge(t, "use_dpop_nonce") // the other server's
		here(r.header.Get("DPoP-Nonce")).wantOK(t)
		wantMistakes(t, s)
	})
}

func TestDPoPCanBeRequired(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{RequireDPoP: true})
	post(t.Context(), s.Client(), s.Endpoint(oauthtest.TokenEndpoint), form("grant_type", "password", "username", "alice", "password", "wonderland")).
		wantError(t, 400, "invalid_dpop_proof")
	newProver(t, s, firstKey).login()
}

func TestIntrospectionAndMetadataTellOfDPoP(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	p := newProver(t, s, firstKey)
	access, _ := p.login()
	r := post(t.Context(), s.Client(), s.Endpoint(oauthtest.IntrospectionEndpoint), form("token", access)).wantOK(t)
	cnf, _ := r.field(t, "cnf").(map[string]any)
	if r.text(t, "token_type") != "DPoP" || cnf["jkt"] != p.key.Thumbprint() {
		t.Errorf("introspection says %s", r.body)
	}
	if r := get(t.Context(), s.Client(), s.Endpoint(oauthtest.MetadataEndpoint), ""); !strings.Contains(r.body, `"dpop_signing_alg_values_supported":["ES256"]`) {
		t.Errorf("the metadata says %s", r.body)
	}
}
