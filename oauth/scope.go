package oauth

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
)

// Scopes returns the names in t.Scope. RFC 6749 section 3.3 separates them by spaces,
// some servers by commas; either is read.
func (t *TokenPair) Scopes() []string { return scopeNames(t.Scope) }

func scopeNames(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' })
}

// UnionScopes returns the names in all the sets, each once, in the order in which they
// come first. A set may hold several names in one string. It serves a login that an API
// wants more scope for: without what was granted before, the new token would lack that.
// See [StepUp].
func UnionScopes(sets ...[]string) []string {
	var union []string
	seen := make(map[string]bool)
	for _, set := range sets {
		for _, name := range scopeNames(strings.Join(set, " ")) {
			if !seen[name] {
				seen[name] = true
				union = append(union, name)
			}
		}
	}
	return union
}

// hasScope reports whether scopes, each of which may hold several, have name.
func hasScope(scopes []string, name string) bool {
	return slices.Contains(scopeNames(strings.Join(scopes, " ")), name)
}

// joinScopes returns scopes, each of which may hold several, as a request names them.
func (c *Client) joinScopes(scopes []string) string {
	return strings.Join(strings.Fields(strings.Join(scopes, " ")), c.scopeSeparator())
}

func (c *Client) scopeSeparator() string { return cmp.Or(c.cfg.ScopeSeparator, " ") }

// scopeForm returns a form with the scopes, if there are any.
func (c *Client) scopeForm(scopes []string) url.Values {
	form := url.Values{}
	if len(scopes) > 0 {
		form.Set("scope", c.joinScopes(scopes))
	}
	return form
}
