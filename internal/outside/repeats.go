package outside

import (
	"net/url"
	"strings"
)

// shortestPart is how long a part of a JWT has to be to count as a piece of the token: claims
// and signatures are longer, and shorter text is in other words by chance.
const shortestPart = 16

// Repeats reports whether text from outside has a token of ours in it: as it is,
// percent-encoded or in words with spaces between them, whole or, of a JWT, its claims or its
// signature, since half a token is too much. A server that has got a token may repeat it, to
// have it put where others read: into an address, an error, a request to another server. An
// empty token is in no text.
func Repeats(text, token string) bool {
	if token == "" {
		return false
	}
	pieces := []string{token}
	if parts := strings.Split(token, "."); len(parts) == 3 {
		for _, part := range parts[1:] {
			if len(part) >= shortestPart {
				pieces = append(pieces, part)
			}
		}
	}
	forms := []string{text, strings.ReplaceAll(text, " ", "")}
	if strings.Contains(text, "%") {
		if decoded, err := url.PathUnescape(text); err == nil {
			forms = append(forms, decoded)
		}
	}
	for _, form := range forms {
		for _, piece := range pieces {
			if strings.Contains(form, piece) {
				return true
			}
		}
	}
	return false
}
