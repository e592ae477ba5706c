package conformance

import (
	"testing"

	"github.com/evertoken/evertoken/oauth"
)

// startOIDCProvider starts the npm package oidc-provider. Its client is public and
// returns to any port; all endpoints come from its metadata.
func startOIDCProvider(t *testing.T, o serverOptions) *authServer {
	t.Helper()
	s := newAuthServer(t)
	s.config = oauth.Config{
		Issuer:   s.origin(),
		ClientID: publicClient,
		Scopes:   []string{"openid", "offline_access"},
		// OpenID Connect Core section 11: without it offline_access is ignored.
		AuthParams: map[string][]string{"prompt": {"consent"}},
	}
	s.answers = map[string]string{"login": "alice", "password": "any"}
	s.api = s.origin() + "/me"
	s.launch = func() (*process, string) {
		return startListening(t, nodeCommand(t, "oidcprovider", "oidc-provider"), func(string) any {
			return providerOptions{
				Issuer: s.origin(), AccessTokenLifetime: o.life, KeepRefreshToken: !o.rotate, Nonces: string(o.nonces), Keys: publicKeys(t),
			}
		})
	}
	// The page for the code, the confirmation, the login and the consent are forms.
	s.allowDevice = func(v *visitor, code *oauth.DeviceCode) {
		answers := map[string]string{"user_code": code.UserCode}
		for name, answer := range s.answers {
			answers[name] = answer
		}
		v.walk(code.VerificationURI, answers)
	}
	s.run()
	return s
}
