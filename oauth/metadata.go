package oauth

import (
	"encoding/json"

	"github.com/evertoken/evertoken/internal/member"
)

// Metadata is what a server publishes about itself beyond what [Config] holds
// (RFC 8414 section 2, OpenID Connect Discovery section 3). Servers leave out
// what they do and list what they refuse, so it serves for display and guesses.
type Metadata struct {
	// ScopesSupported are scopes that may be asked for.
	ScopesSupported []string
	// GrantTypesSupported are the grants, empty if not told.
	GrantTypesSupported []string
	// JWKSURL is where the keys are that ID tokens are signed with.
	JWKSURL string
	// EndSessionURL is where a browser logs out (OpenID Connect RP-Initiated
	// Logout). See [Client.EndSessionURL].
	EndSessionURL string
	// Raw holds every member as published.
	Raw map[string]json.RawMessage
}

// extras returns what Metadata says of a document.
func extras(m member.Fields) *Metadata {
	return &Metadata{
		ScopesSupported:     m.List("scopes_supported"),
		GrantTypesSupported: m.List("grant_types_supported"),
		JWKSURL:             m.Text("jwks_uri"),
		EndSessionURL:       m.Text("end_session_endpoint"),
		Raw:                 m,
	}
}
