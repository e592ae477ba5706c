package oauth

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/evertoken/evertoken/internal/member"
)

// fitClientAuth completes how the client authenticates by key or certificate from
// what the server lists, and returns an error if the server offers something else.
// Secrets are not judged: of those, servers accept what they do not list.
func fitClientAuth(m member.Fields, cfg *Config) error {
	methods := m.List("token_endpoint_auth_methods_supported")
	if cfg.ClientAuth == "" && cfg.ClientKey == nil && cfg.ClientCertificate != nil {
		cfg.ClientAuth = AuthMTLS
		if !slices.Contains(methods, string(AuthMTLS)) && slices.Contains(methods, string(AuthSelfSignedMTLS)) {
			cfg.ClientAuth = AuthSelfSignedMTLS
		}
	}
	auth := cfg.withDefaults().ClientAuth
	if auth != AuthPrivateKeyJWT && !auth.mutualTLS() {
		return nil
	}
	if len(methods) > 0 && !slices.Contains(methods, string(auth)) {
		return fmt.Errorf("the server does not offer client authentication by %s; it lists %s", auth, printableList(methods))
	}
	if auth == AuthPrivateKeyJWT {
		return fitKeyAlg(m, cfg)
	}
	return nil
}

// fitKeyAlg chooses an algorithm that both the key and the server can, or checks
// the one that is configured.
func fitKeyAlg(m member.Fields, cfg *Config) error {
	offered := m.List("token_endpoint_auth_signing_alg_values_supported")
	if len(offered) == 0 {
		return nil
	}
	able := []string{cfg.ClientKeyAlg}
	if cfg.ClientKeyAlg == "" {
		able = keyAlgs(cfg.ClientKey.Public())
	}
	for _, alg := range able {
		if slices.Contains(offered, alg) {
			cfg.ClientKeyAlg = alg
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
// certificate, if cfg does (RFC 8705 section 5). A browser presents none.
func endpointsFor(m member.Fields, cfg *Config) member.Fields {
	var aliases member.Fields
	if !cfg.ClientAuth.mutualTLS() && cfg.ClientCertificate == nil ||
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
