package oauth

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/member"
)

// readJWT returns header and claims of a signed JWT in compact form (RFC 7519), or
// nil. Nothing is checked: neither the signature nor that its algorithm is known, nor
// the types of claims that nobody asks for, which servers get wrong.
func readJWT(token string) (header, claims map[string]json.RawMessage) {
	if strings.Count(token, ".") != 2 {
		return nil, nil
	}
	first, rest, _ := strings.Cut(token, ".")
	second, _, _ := strings.Cut(rest, ".")
	return readJWTPart(first), readJWTPart(second)
}

func readJWTPart(part string) map[string]json.RawMessage {
	// In the other alphabet of base64, which JWTs do not use, these stand for them.
	part = strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(part, "="))
	data, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return nil
	}
	return member.Object(data)
}

// claimText returns a claim that should be a string, and is a number at some servers.
func claimText(claims map[string]json.RawMessage, name string) string {
	return textOf(claims[name])
}

func textOf(raw json.RawMessage) string {
	if text := member.Text(raw); text != "" {
		return text
	}
	if _, isNumber := secondsValue(raw); isNumber && strings.IndexByte("-0123456789", raw[0]) >= 0 {
		return string(raw)
	}
	return ""
}

// claimTexts returns a claim that is a string or an array of them, such as aud.
func claimTexts(claims map[string]json.RawMessage, name string) []string {
	var list []json.RawMessage
	if json.Unmarshal(claims[name], &list) != nil {
		list = []json.RawMessage{claims[name]}
	}
	var texts []string
	for _, raw := range list {
		if text := textOf(raw); text != "" {
			texts = append(texts, text)
		}
	}
	return texts
}

// jwtLifetime returns how long an unverified JWT is good for: exp − iat, which is free
// of clock skew; or, without iat, from the time before which it is not good, or that
// of its first issue as gin-jwt writes it; or else from the server's Date, and so with
// one that was issued long before it was sent, as from a cache. It is a hint for
// planning only: nobody may rely on reading a token that was not meant for him (RFC
// 9068 section 6).
func (a answer) jwtLifetime(token string) (time.Duration, bool) {
	_, claims := readJWT(token)
	end := unixField(claims, "exp")
	if end.IsZero() {
		return 0, false
	}
	left := end.Sub(a.serverTime().Round(0))
	for _, name := range []string{"iat", "nbf", "orig_iat"} {
		begin := unixField(claims, name)
		if begin.IsZero() {
			continue
		}
		if life := end.Sub(begin); !believableLife(left) || life-left <= idTokenLeeway {
			return life, believableLife(life)
		}
		break
	}
	return left, believableLife(left)
}
