package oauth

import (
	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth/internal/metadata"
)

// SameAccount reports whether t and other may be of the same account. It is false
// only if both of them tell whose they are, and tell different ones: by issuer and
// subject of their ID tokens (OpenID Connect Core section 2), or else of access
// tokens that are JWTs (RFC 9068 section 2.2). No signature is checked: it tells
// whether a person has logged in to another account, and nothing about what the
// account may do. Pairs without a readable subject, and nil, may be any account's.
func (t *TokenPair) SameAccount(other *TokenPair) bool {
	if t == nil || other == nil {
		return true
	}
	a, b := subjectOf(t.IDToken), subjectOf(other.IDToken)
	if a == (subject{}) || b == (subject{}) {
		a, b = subjectOf(t.AccessToken), subjectOf(other.AccessToken)
	}
	return a == (subject{}) || b == (subject{}) || a == b
}

// A subject is an account at an issuer.
type subject struct{ issuer, name string }

// subjectOf returns the account that an unverified JWT names; the zero value if it
// names none.
func subjectOf(token string) subject {
	_, claims := member.JWT(token)
	name := claims.Name("sub")
	if name == "" {
		return subject{}
	}
	return subject{metadata.WithScheme(claims.Text("iss")), name}
}

// idTokenSubject returns the subject of an ID token, or "". The token came over
// TLS from the token endpoint, which OpenID Connect Core section 3.1.3.7 accepts
// in place of checking its signature.
func idTokenSubject(idToken string) string {
	return subjectOf(idToken).name
}
