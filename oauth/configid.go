package oauth

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// ConfigID identifies what the server can see of the configuration: endpoint,
// client and way of authenticating, with the key or certificate for it (but not a
// certificate that Config.HTTPClient presents), whether tokens are bound to a key,
// the scope if refreshes name one, Config.TokenParams and Config.TokenPath. A session that was renewed under one ID may
// be refused under another without being dead. It reveals no secret.
func (c *Client) ConfigID() string {
	seen := append([]string{c.cfg.TokenURL, c.cfg.ClientID}, c.auth.seen()...)
	if c.cfg.DPoP {
		seen = append(seen, "DPoP")
	}
	if scope := c.refreshScope(); scope != "" {
		seen = append(seen, "scope "+scope)
	}
	if len(c.cfg.TokenParams) > 0 {
		seen = append(seen, "params "+c.cfg.TokenParams.Encode())
	}
	if c.cfg.TokenPath != "" {
		seen = append(seen, "tokens "+c.cfg.TokenPath)
	}
	sum := sha256.Sum256([]byte(strings.Join(seen, "\x00")))
	return hex.EncodeToString(sum[:8])
}
