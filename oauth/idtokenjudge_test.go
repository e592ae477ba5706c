package oauth

import (
	"encoding/base64"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth/internal/metadata"
	"github.com/golang-jwt/jwt/v5"
)

const idIssuer = "https://issuer.test"

// idTokenWith returns an ID token with good claims, changed by edit; a nil value
// removes one.
func idTokenWith(method jwt.SigningMethod, edit map[string]any) string {
	claims := jwt.MapClaims{
		"iss": idIssuer, "sub": "alice", "aud": "me",
		"iat": sentAt.Unix(), "exp": sentAt.Add(time.Hour).Unix(),
	}
	maps.Copy(claims, edit)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	text, err := jwt.NewWithClaims(method, claims).SigningString()
	if err != nil {
		panic(err)
	}
	return text + ".c2lnbmF0dXJl"
}

// withAlg returns token with another algorithm in its header.
func withAlg(alg, token string) string {
	_, rest, _ := strings.Cut(token, ".")
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"`+alg+`"}`)) + "." + rest
}

func goodID(edit map[string]any) string { return idTokenWith(jwt.SigningMethodRS256, edit) }

var idTokenOutcomes = []struct {
	name  string
	token string
	want  idExpectation // clientID "me", issuer idIssuer and now sentAt are filled in
	cause error         // nil: accepted
	kind  error         // ErrMisconfigured if nil
}{
	{name: "as it should be", token: goodID(nil)},
	{name: "several audiences", token: goodID(map[string]any{"aud": []string{"api", "me"}, "azp": "me"})},
	{name: "unasked nonce", token: goodID(map[string]any{"nonce": "n"})},

	{name: "empty", token: "", cause: errIDTokenUnreadable},
	{name: "encrypted", token: "e30.a.b.c.d", cause: errIDTokenUnreadable},
	{name: "no JSON", token: "e30.eyJ.c2ln", cause: errIDTokenUnreadable},
	{name: "no algorithm", token: "e30.e30.c2ln", cause: errIDTokenUnreadable},
	{name: "algorithm of whatever name", token: withAlg("X1", goodID(map[string]any{"at_hash": "x"})), want: idExpectation{access: "token"}},
	{name: "not signed", token: withAlg("none", goodID(nil)), cause: errIDTokenUnsigned},
	{name: "not signed, in other letters", token: withAlg("NONE", goodID(nil)), cause: errIDTokenUnsigned},
	{name: "an algorithm without a signature", token: strings.TrimSuffix(goodID(nil), "c2lnbmF0dXJl"), cause: errIDTokenUnsigned},
	{name: "not signed, for a client with a secret", token: withAlg("none", goodID(nil)), want: idExpectation{secret: true}, cause: errIDTokenUnsigned},
	{name: "extension", token: withAlg(`RS256","crit":["b64"],"b64":"x`, goodID(nil)), cause: errIDTokenCritical},
	{name: "extension, for a client with a secret", token: withAlg(`HS256","crit":"x`, goodID(nil)), want: idExpectation{secret: true}, cause: errIDTokenCritical},
	{name: "secret of another", token: withAlg("HS256", goodID(nil)), cause: errIDTokenSymmetric},
	{name: "longer secret of another", token: withAlg("HS512", goodID(nil)), cause: errIDTokenSymmetric},
	{name: "client's secret", token: withAlg("HS256", goodID(nil)), want: idExpectation{secret: true}},
	{name: "nobody's tenant", token: goodID(map[string]any{"iss": "https://as.test/{tenantid}/v2", "tid": "{tenantid}"}),
		want: idExpectation{template: "https://as.test/{tenantid}/v2"}, cause: errIDTokenIssuer},
	{name: "numbers for names", token: goodID(map[string]any{"sub": 7, "jti": 8, "auth_time": "then"})},
	{name: "subject neither name nor number", token: goodID(map[string]any{"sub": []string{"alice"}}), cause: errIDTokenIncomplete},
	{name: "issuer without a scheme", token: goodID(map[string]any{"iss": "issuer.test"})},
	{name: "issuer with another scheme", token: goodID(map[string]any{"iss": "http://issuer.test"}), cause: errIDTokenIssuer},
	{name: "issuer of the tenant", token: goodID(map[string]any{"iss": "https://as.test/t-1/v2", "tid": "t-1"}), want: idExpectation{template: "https://as.test/{tenantid}/v2"}},
	{name: "issuer of another tenant", token: goodID(map[string]any{"iss": "https://as.test/t-1/v2", "tid": "t-2"}),
		want: idExpectation{template: "https://as.test/{tenantid}/v2"}, cause: errIDTokenIssuer},
	{name: "issuer of no tenant", token: goodID(map[string]any{"iss": "https://as.test/t-1/v2"}),
		want: idExpectation{template: "https://as.test/{tenantid}/v2"}, cause: errIDTokenIssuer},
	{name: "tenant that leads elsewhere", token: goodID(map[string]any{"iss": "https://as.test/../evil/v2", "tid": "../evil"}),
		want: idExpectation{template: "https://as.test/{tenantid}/v2"}, cause: errIDTokenIssuer},
	{name: "template without a mark", token: goodID(map[string]any{"iss": "https://as.test/v2", "tid": ""}),
		want: idExpectation{template: "https://as.test/v2"}, cause: errIDTokenIssuer},

	{name: "no iss", token: goodID(map[string]any{"iss": nil}), cause: errIDTokenIncomplete},
	{name: "no sub", token: goodID(map[string]any{"sub": nil}), cause: errIDTokenIncomplete},
	{name: "no aud", token: goodID(map[string]any{"aud": nil}), cause: errIDTokenIncomplete},
	{name: "no exp", token: goodID(map[string]any{"exp": nil}), cause: errIDTokenIncomplete},
	{name: "no iat", token: goodID(map[string]any{"iat": nil}), cause: errIDTokenIncomplete},

	{name: "other issuer", token: goodID(map[string]any{"iss": "https://other.test"}), cause: errIDTokenIssuer},
	{name: "issuer with a slash more", token: goodID(map[string]any{"iss": idIssuer + "/"}), cause: errIDTokenIssuer},
	{name: "other issuer than before", token: goodID(nil),
		want: idExpectation{issuer: "-", before: goodID(map[string]any{"iss": "https://other.test"})}, cause: errIDTokenIssuer},
	{name: "issuer not configured", token: goodID(map[string]any{"iss": "https://other.test"}), want: idExpectation{issuer: "-"}},
	{name: "other audience", token: goodID(map[string]any{"aud": "you"}), cause: errIDTokenAudience},
	{name: "another party's", token: goodID(map[string]any{"aud": []string{"me", "you"}, "azp": "you"}), cause: errIDTokenAudience},

	{name: "expired within the leeway", token: goodID(nil), want: idExpectation{now: sentAt.Add(time.Hour + 4*time.Minute)}},
	{name: "expired", token: goodID(nil), want: idExpectation{now: sentAt.Add(time.Hour + 6*time.Minute)}, cause: errIDTokenExpired},
	{name: "early within the leeway", token: goodID(nil), want: idExpectation{now: sentAt.Add(-4 * time.Minute)}},
	{name: "issued in the future", token: goodID(nil), want: idExpectation{now: sentAt.Add(-6 * time.Minute)}, cause: errIDTokenEarly},

	{name: "nonce", token: goodID(map[string]any{"nonce": "n"}), want: idExpectation{nonce: "n"}},
	{name: "other nonce", token: goodID(map[string]any{"nonce": "m"}), want: idExpectation{nonce: "n"}, cause: errIDTokenNonce, kind: ErrLoginRequired},
	{name: "no nonce", token: goodID(nil), want: idExpectation{nonce: "n"}, cause: errIDTokenNonce, kind: ErrLoginRequired},
	{name: "nonce of the login", token: goodID(map[string]any{"nonce": "n"}), want: idExpectation{before: goodID(map[string]any{"nonce": "n"})}},
	{name: "nonce no more", token: goodID(nil), want: idExpectation{before: goodID(map[string]any{"nonce": "n"})}},
	{name: "nonce of another login", token: goodID(map[string]any{"nonce": "m"}),
		want: idExpectation{before: goodID(map[string]any{"nonce": "n"})}, cause: errIDTokenNonce, kind: ErrLoginRequired},

	// OpenID Connect Core appendix A.3 and A.4 have this access token and hash.
	{name: "at_hash", token: goodID(map[string]any{"at_hash": "77QmUPtjPfzWtF2AnpK9RQ"}),
		want: idExpectation{access: "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"}},
	{name: "padded at_hash", token: goodID(map[string]any{"at_hash": "77QmUPtjPfzWtF2AnpK9RQ=="}),
		want: idExpectation{access: "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"}},
	{name: "at_hash of another token", token: goodID(map[string]any{"at_hash": "77QmUPtjPfzWtF2AnpK9RQ"}),
		want: idExpectation{access: "other"}, cause: errIDTokenAccess},
	{name: "at_hash, 384", token: idTokenWith(jwt.SigningMethodES384, map[string]any{"at_hash": "Cm6hANx1qgPTYYSWu3KFaieklEAsPkh3"}), want: idExpectation{access: "token"}},
	{name: "wrong at_hash, 384", token: idTokenWith(jwt.SigningMethodES384, map[string]any{"at_hash": "Cm6hANx1qgPTYYSWu3KFaieklEAsPkh3"}),
		want: idExpectation{access: "other"}, cause: errIDTokenAccess},
	{name: "wrong at_hash, 512", token: idTokenWith(jwt.SigningMethodPS512, map[string]any{"at_hash": "x"}), want: idExpectation{access: "token"}, cause: errIDTokenAccess},
	{name: "at_hash by no known hash", token: idTokenWith(jwt.SigningMethodEdDSA, map[string]any{"at_hash": "x"}), want: idExpectation{access: "token"}},
}

func filledIn(want idExpectation) idExpectation {
	want.clientID = "me"
	if want.issuer == "" {
		want.issuer = idIssuer
	}
	if want.issuer == "-" {
		want.issuer = ""
	}
	if want.now.IsZero() {
		want.now = sentAt
	}
	return want
}

func TestJudgeIDToken(t *testing.T) {
	for _, tt := range idTokenOutcomes {
		t.Run(tt.name, func(t *testing.T) {
			fail := judgeIDToken(opExchange, tt.token, filledIn(tt.want))
			if tt.cause == nil {
				if fail != nil {
					t.Errorf("refused: %v", fail)
				}
				return
			}
			kind := ErrMisconfigured
			if tt.kind != nil {
				kind = tt.kind
			}
			if fail == nil || !errors.Is(fail, tt.cause) || !errors.Is(fail, ErrIDToken) || !errors.Is(fail, kind) {
				t.Errorf("got %v; want %v, %v", fail, kind, tt.cause)
			}
		})
	}
}

func TestJudgeSubject(t *testing.T) {
	alice, bob := goodID(nil), goodID(map[string]any{"sub": "bob"})
	for _, tt := range []struct {
		name, token, before string
		refused             bool
	}{
		{"the same", alice, alice, false},
		{"another", bob, alice, true},
		{"another, at another issuer", goodID(map[string]any{"sub": "bob", "iss": "https://other.test"}), alice, true},
		{"the same, at another issuer", goodID(map[string]any{"iss": "https://other.test"}), alice, false},
		{"none before", bob, "", false},
		{"none now", goodID(map[string]any{"sub": nil}), alice, false},
		{"unreadable", "x.y.z", alice, false},
	} {
		fail := judgeSubject(tt.token, tt.before)
		if (fail != nil) != tt.refused {
			t.Errorf("%s: %v", tt.name, fail)
		}
		if fail != nil && (fail.Status != 200 || !fail.Unknown() || !errors.Is(fail, ErrIDToken)) {
			t.Errorf("%s: %v; want an answer that leaves the outcome unknown", tt.name, fail)
		}
	}
}

// What is accepted is for this client, by this issuer, about somebody, and no
// refusal repeats the token.
func FuzzJudgeIDToken(f *testing.F) {
	for _, tt := range idTokenOutcomes {
		f.Add(tt.token, tt.want.before, tt.want.access, tt.want.nonce)
	}
	f.Add(goodID(map[string]any{"exp": 1e300, "iat": -1e300}), "", "", "")
	f.Fuzz(func(t *testing.T, token, before, access, nonce string) {
		want := filledIn(idExpectation{before: before, access: access, nonce: nonce})
		_ = judgeSubject(token, before)
		fail := judgeIDToken(opRefresh, token, want)
		if fail != nil {
			if payload := strings.Split(token, "."); len(payload) == 3 && len(payload[1]) > 20 && strings.Contains(fail.Error(), payload[1]) {
				t.Errorf("the error repeats the token: %v", fail)
			}
			if fail.Kind != ErrMisconfigured && fail.Kind != ErrLoginRequired {
				t.Errorf("kind %v", fail.Kind)
			}
			return
		}
		claims, ok := readIDToken(token)
		if !ok || !metadata.SameIssuer(claims.issuer, idIssuer) || claims.subject == "" || !slices.Contains(claims.audience, "me") ||
			nonce != "" && claims.nonce != nonce {
			t.Errorf("accepted %+v", claims)
		}
	})
}
