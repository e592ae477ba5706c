package oauth_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/evertoken/evertoken/oauth"
)

// idTokenWith returns an ID token for client c of https://as.test with claims changed.
func idTokenWith(header, claims string) string {
	base := `"iss":"https://as.test","sub":"1","aud":"c","iat":NOW,"exp":NOW+600`
	return jwtOf(header, "{"+atNow(base+","+claims+`"x":1`)+"}")
}

// judgedIDToken is what a login and a refresh say to an ID token.
func judgedIDToken(t *testing.T, id string, change func(*oauth.Config)) (login, refresh error) {
	t.Helper()
	o := oddAnswer{Body: `{"access_token":"a","refresh_token":"r","id_token":` + inJSON(id) + `}`, Ends: "clean"}
	c := over(o.wire(), func(cfg *oauth.Config) { cfg.ClientID, cfg.Issuer = "c", "https://as.test" }, change)
	_, login = c.Password(t.Context(), "alice", "wonderland")
	pair, err := c.RefreshToken(t.Context(), "r")
	if err != nil {
		t.Fatalf("an ID token ended a refresh: %v", err)
	}
	return login, pair.IDTokenError
}

func TestIDTokensWithOddClaims(t *testing.T) {
	for claims, ok := range map[string]bool{
		``: true, `"aud":["c"],`: true, `"aud":["x","c"],`: true, `"aud":["c",5,null,{}],`: true, `"exp":"NOW+600",`: true, `"iat":"NOW",`: true, `"iat":NOW.5,`: true, `"sub":12,`: true, `"sub":1.5,`: true,
		`"jti":{},`: true, `"groups":[[]],`: true, `"auth_time":"x",`: true, `"amr":"pwd",`: true, `"acr":1,`: true, `"nonce":null,`: true, `"azp":null,`: true, `"azp":"",`: true, `"at_hash":null,`: true, `"at_hash":5,`: true,
		`"exp":4102444800000,`: true, `"exp":"2100-01-01T00:00:00Z",`: true, `"roles":{"a":1},`: true, `"tid":5,`: true, `"exp":99999999999,`: true,
		`"sub":"",`: false, `"sub":null,`: false, `"sub":{"id":1},`: false, `"sub":["1"],`: false, `"sub":true,`: false, `"aud":"x",`: false, `"aud":{},`: false, `"aud":"C",`: false, `"aud":"c d",`: false, `"azp":"x",`: false,
		`"exp":1,`: false, `"exp":"soon",`: false, `"exp":null,`: false, `"iat":99999999999,`: false, `"iss":["https://as.test"],`: false, `"iss":"https://as.test.evil",`: false, `"iss":"http://as.test",`: false, `"at_hash":"x",`: false,
	} {
		synctest.Test(t, func(t *testing.T) {
			login, refresh := judgedIDToken(t, idTokenWith(`{"alg":"RS256"}`, claims), func(*oauth.Config) {})
			if (login == nil) != ok || (refresh == nil) != ok {
				t.Errorf("%s: %v, on refresh %v; want accepted: %v", claims, login, refresh, ok)
			}
		})
	}
}

func TestIDTokensInOddForms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good := idTokenWith(`{"alg":"RS256"}`, `"name":"??>>ÿÿ",`)
		header, rest, _ := strings.Cut(good, ".")
		claims, _, _ := strings.Cut(rest, ".")
		data, err := base64.RawURLEncoding.DecodeString(claims)
		if err != nil {
			t.Fatal(err)
		}
		for id, ok := range map[string]bool{
			good: true, good + "=": true, " " + good + "\n": true, header + "==." + rest: true, header + "." + base64.StdEncoding.EncodeToString(data) + ".c2ln": true,
			header + "." + base64.RawURLEncoding.EncodeToString([]byte(" "+string(data)+"\r\n")) + ".c2ln": true,
			idTokenWith(`{"alg":"FOO-1"}`, ""): true, idTokenWith(`{"alg":"ML-DSA-65"}`, ""): true,
			idTokenWith(`{"alg":"none"}`, ""): false, idTokenWith(`{"alg":"nOnE"}`, ""): false, strings.TrimSuffix(idTokenWith(`{"alg":"none"}`, ""), "c2ln"): false, strings.TrimSuffix(good, "c2ln"): false,
			strings.TrimSuffix(good, "c2ln") + "=\n": false, idTokenWith(`{"alg":"FOO-1","crit":["x"]}`, ""): false, idTokenWith(`{"alg":"RS256","crit":[]}`, ""): false, idTokenWith(`{"alg":"RS256","crit":"exp","exp":1}`, ""): false,
			idTokenWith(`{"alg":"HS256"}`, ""): false, idTokenWith(`{"alg":"hs512"}`, ""): false,
			idTokenWith(`{"typ":"JWT"}`, ""): false, idTokenWith(`{"alg":null}`, ""): false, good + ".x": false, "e30.a.b.c.d": false, "null": false, "a.b": false, "a.b.c": false, "..": false,
			jwtOf(`{"alg":"RS256"}`, `[]`): false, jwtOf(`{"alg":"RS256"}`, `"{}"`): false,
		} {
			login, refresh := judgedIDToken(t, id, func(*oauth.Config) {})
			if (login == nil) != ok || (refresh == nil) != ok {
				t.Errorf("%q: %v, on refresh %v; want accepted: %v", id, login, refresh, ok)
			}
		}
	})
}

func TestOnlyTheTenantsIssuerIsAccepted(t *testing.T) {
	const tenant = "11111111-2222-3333-4444-aaaaaaaaaaaa"
	for _, tt := range []struct {
		issuer, tid string
		ok          bool
	}{
		{"https://as.test/" + tenant + "/v2.0", tenant, true}, {"https://as.test/" + tenant + "/v2.0", strings.ToUpper(tenant), true}, {"https://as.test/" + strings.ToUpper(tenant) + "/v2.0", tenant, true},
		{"https://as.test/" + tenant + "/v2.0", "22222222-2222-3333-4444-aaaaaaaaaaaa", false}, {"https://as.test/" + tenant + "/v2.0", "", false}, {"https://as.test//v2.0", "", false},
		{"https://evil.test/" + tenant + "/v2.0", tenant, false}, {"https://as.test/" + tenant + "/v1.0", tenant, false}, {"https://as.test/" + tenant, tenant, false},
		{"https://as.test/a/b/v2.0", "a/b", false}, {"https://as.test/{tenantid}/v2.0", "{tenantid}", false}, {"http://as.test/" + tenant + "/v2.0", tenant, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			id := idTokenWith(`{"alg":"RS256"}`, fmt.Sprintf(`"iss":%q,"tid":%q,`, tt.issuer, tt.tid))
			login, refresh := judgedIDToken(t, id, func(cfg *oauth.Config) {
				cfg.Issuer, cfg.IssuerTemplate = "https://as.test/common/v2.0", "https://as.test/{tenantid}/v2.0"
			})
			if (login == nil) != tt.ok || (refresh == nil) != tt.ok {
				t.Errorf("%s of %s: %v, on refresh %v; want accepted: %v", tt.issuer, tt.tid, login, refresh, tt.ok)
			}
		})
	}
}

func TestTypeInWhateverFormIsBearer(t *testing.T) {
	for _, kind := range []string{
		"BEARER", "", "Bearer\r\n", "\tBearer", "urn:ietf:params:oauth:token-type:access_token", "Zoho-oauthtoken", "SSWS", "token", "Basic", "PoP", "Macaroon", "machine",
		"Bearer, DPoP", "OAuth2", "access_token", "1", "n/a", "\ufeffBearer", "null", "mac-x\r\nX-Other: y", "mac-\x1b[31m", "mac-\u009b", "hmac-a b",
	} {
		if got := (&oauth.TokenPair{TokenType: kind}).OAuth2().Type(); got != "Bearer" {
			t.Errorf("%q: %q", kind, got)
		}
	}
	for _, member := range []string{`null`, `5`, `["Bearer"]`, `{"t":1}`, `true`} {
		pair, err := over(answering(200, `{"access_token":"a","refresh_token":"r","token_type":`+member+`}`)).RefreshToken(t.Context(), "r")
		if err != nil || pair.Type() != "Bearer" {
			t.Errorf("%s: %v, %v", member, pair, err)
		}
	}
	for kind, want := range map[string]string{"dpop": "DPoP", " DPOP ": "DPoP", "mac": "mac", "HMAC-SHA-256": "HMAC-SHA-256"} {
		if got := (&oauth.TokenPair{TokenType: kind}).Type(); got != want {
			t.Errorf("%q: %q; want %q", kind, got, want)
		}
	}
}
