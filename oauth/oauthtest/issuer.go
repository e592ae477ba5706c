package oauthtest

import (
	"crypto"
	"maps"

	"github.com/evertoken/evertoken/internal/authserver/grant"
)

// A TrustedIssuer makes assertions that a server believes.
type TrustedIssuer struct {
	// Server is a server whose tokens for this one are believed, such as a company's
	// identity provider: its issuer, and the keys that it has at the moment.
	Server *Server
	// Issuer and Keys are those of an issuer that is not a Server: what its assertions have
	// for iss, and the public keys by their IDs, RSA, ECDSA or Ed25519. A key without ID
	// is for assertions without kid.
	Issuer string
	Keys   map[string]crypto.PublicKey
}

// trusted returns the issuers by name.
func trusted(list []TrustedIssuer) map[string]grant.Issuer {
	issuers := make(map[string]grant.Issuer)
	for _, t := range list {
		if t.Server != nil {
			issuers[t.Server.Issuer()] = t.Server.engine.Keys.Find
			continue
		}
		known := maps.Clone(t.Keys)
		issuers[t.Issuer] = func(kid string) crypto.PublicKey { return known[kid] }
	}
	return issuers
}
