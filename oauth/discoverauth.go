package oauth

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/evertoken/evertoken/internal/member"
)

// fitClientAuth completes cfg.ClientAuth from what the server lists, and returns an
// error if the client authenticates by key or certificate and the server offers something
// else. Secrets are not judged: of those, servers accept what they do not list.
func fitClientAuth(m member.Fields, cfg *Config) error {
	methods := m.List("token_endpoint_auth_methods_supported")
	a := cfg.auth()
	if a.open {
		cfg.ClientAuth = chosen(a, methods)
		if a.secret == cfg.ClientSecret {
			cfg.ClientAuth.secret = "" // it stays where the program has put it
		}
		a = cfg.auth()
	}
	if a.method != authPrivateKeyJWT && !a.mutualTLS() {
		return nil
	}
	if len(methods) > 0 && !slices.Contains(methods, a.method) {
		return fmt.Errorf("the server does not offer client authentication by %s; it lists %s", a.method, printableList(methods))
	}
	if a.method == authPrivateKeyJWT {
		return fitAlgorithm(m, &cfg.ClientAuth.key)
	}
	return nil
}

// chosen returns a with the one of its methods that the server lists. A list that has
// neither way to send a secret is not believed: RFC 8414 section 2 makes basic the
// default.
func chosen(a ClientAuth, methods []string) ClientAuth {
	others := map[string]string{authBasic: authPost, authMTLS: authSelfSignedMTLS}
	if other := others[a.method]; !slices.Contains(methods, a.method) && slices.Contains(methods, other) {
		a.method = other
	}
	a.open = false
	return a
}

// fitAlgorithm chooses an algorithm that both the key and the server can, or checks
// the one that is configured.
func fitAlgorithm(m member.Fields, key *AssertionKey) error {
	offered := m.List("token_endpoint_auth_signing_alg_values_supported")
	if len(offered) == 0 {
		return nil
	}
	able := []string{key.Algorithm}
	if key.Algorithm == "" {
		able = key.algorithms()
	}
	for _, alg := range able {
		if slices.Contains(offered, alg) {
			key.Algorithm = alg
			return nil
		}
	}
	return fmt.Errorf("the server does not accept assertions signed with %s; it lists %s", strings.Join(able, ", "), printableList(offered))
}

// printableList returns what may be shown of a server's list of names.
func printableList(names []string) string {
	const most = 12 // more than there are registered methods
	shown := make([]string, 0, most)
	for _, name := range names {
		if len(shown) < most && printableName(name) {
			shown = append(shown, name)
		}
	}
	return strings.Join(shown, ", ")
}

func printableName(name string) bool {
	return name != "" && len(name) <= 40 && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-'
	})
}

// endpointsFor returns m with the endpoints for clients that present a
// certificate, if the client does (RFC 8705 section 5). A browser presents none.
func endpointsFor(m member.Fields, auth ClientAuth) member.Fields {
	var aliases member.Fields
	if !auth.mutualTLS() && auth.cert == nil ||
		json.Unmarshal(m["mtls_endpoint_aliases"], &aliases) != nil {
		return m
	}
	m = maps.Clone(m)
	for name := range aliases {
		if strings.HasSuffix(name, "_endpoint") && name != "authorization_endpoint" && aliases.Text(name) != "" {
			m[name] = aliases[name]
		}
	}
	return m
}
