package member

import (
	"encoding/base64"
	"strings"
)

// JWT returns header and claims of a signed JWT in compact form (RFC 7519), or
// nil. Nothing is checked: neither the signature nor that its algorithm is known, nor
// the types of claims that no caller reads, which servers get wrong.
func JWT(token string) (header, claims Fields) {
	if strings.Count(token, ".") != 2 {
		return nil, nil
	}
	first, rest, _ := strings.Cut(token, ".")
	second, _, _ := strings.Cut(rest, ".")
	return JWTPart(first), JWTPart(second)
}

// JWTPart returns the object that a part of a JWT is, or nil.
func JWTPart(part string) Fields {
	// In the other alphabet of base64, which JWTs do not use, these stand for them.
	part = strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(part, "="))
	data, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return nil
	}
	return Object(data)
}
