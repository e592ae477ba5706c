package oauth

import "crypto/x509"

// credentials lists what a server can see of the client's key and certificate.
// Without either it is empty, so that the IDs of other clients stay what they
// were.
func (cfg Config) credentials() []string {
	var seen []string
	if cfg.ClientKey != nil {
		// A key that cannot be marshalled cannot authenticate either: see checkKey.
		public, _ := x509.MarshalPKIXPublicKey(cfg.ClientKey.Public())
		seen = append(seen, "key", string(public), cfg.ClientKeyID, cfg.ClientKeyAlg, cfg.AssertionAudience, cfg.AssertionType)
	}
	if cfg.ClientCertificate != nil && len(cfg.ClientCertificate.Certificate) > 0 {
		seen = append(seen, "certificate", string(cfg.ClientCertificate.Certificate[0]))
	}
	return seen
}

// keysPresent tells for String of key and certificate, if there are any.
func (cfg Config) keysPresent() string {
	text := ""
	if cfg.ClientKey != nil {
		text += " key:[redacted]"
	}
	if cfg.ClientCertificate != nil {
		text += " certificate:[redacted]"
	}
	return text
}

// usesSecret reports whether the method is one by Config.ClientSecret.
func (a ClientAuth) usesSecret() bool { return a == AuthBasic || a == AuthBasicRaw || a == AuthPost }

// hint says what to check when the server does not accept the client. It is empty for
// clients with a secret or without one.
func (a ClientAuth) hint() string {
	switch {
	case a == AuthPrivateKeyJWT:
		return "check that the server knows Config.ClientKey (and ClientKeyID), whether it wants another AssertionAudience or AssertionType, and this machine's clock"
	case a.mutualTLS():
		return "check that the server knows the certificate, and that the endpoint is the one for certificates (mtls_endpoint_aliases)"
	}
	return ""
}
