package oauth_test

import (
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evertoken/evertoken/oauth"
)

// tokenOf returns a signed JWT of an account.
func tokenOf(t *testing.T, issuer, subject string) string {
	t.Helper()
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{Issuer: issuer, Subject: subject}).SignedString([]byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestSameAccountIsFalseOnlyIfBothTellAndDiffer(t *testing.T) {
	alice, bob := tokenOf(t, "https://a", "alice"), tokenOf(t, "https://a", "bob")
	elsewhere, nobody := tokenOf(t, "https://b", "alice"), tokenOf(t, "https://a", "")
	type pair = oauth.TokenPair
	for _, tt := range []struct {
		name string
		a, b *pair
		want bool
	}{
		{"the same ID token subject", &pair{IDToken: alice, AccessToken: "x"}, &pair{IDToken: alice, AccessToken: "y"}, true},
		{"another ID token subject", &pair{IDToken: alice}, &pair{IDToken: bob}, false},
		{"another issuer", &pair{IDToken: alice}, &pair{IDToken: elsewhere}, false},
		{"ID tokens count more than access tokens", &pair{IDToken: alice, AccessToken: alice}, &pair{IDToken: alice, AccessToken: bob}, true},
		{"another access token subject", &pair{AccessToken: alice}, &pair{AccessToken: bob}, false},
		{"the same access token subject", &pair{AccessToken: alice}, &pair{AccessToken: alice}, true},
		{"an ID token on one side only: access tokens decide", &pair{IDToken: alice, AccessToken: bob}, &pair{AccessToken: bob}, true},
		{"what cannot be compared", &pair{IDToken: alice, AccessToken: "opaque"}, &pair{AccessToken: bob}, true},
		{"opaque tokens", &pair{AccessToken: "a"}, &pair{AccessToken: "b"}, true},
		{"no subject", &pair{AccessToken: nobody}, &pair{AccessToken: alice}, true},
		{"no JWT", &pair{AccessToken: "a.b.c"}, &pair{AccessToken: alice}, true},
		{"nil", nil, &pair{AccessToken: alice}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, back := tt.a.SameAccount(tt.b), tt.b.SameAccount(tt.a); got != tt.want || back != tt.want {
				t.Errorf("%t, and the other way round %t; want %t", got, back, tt.want)
			}
		})
	}
}
