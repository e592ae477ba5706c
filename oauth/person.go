package oauth

import (
	"time"

	"github.com/evertoken/evertoken/oauth/internal/login"
)

// person is how to reach the person who logs in.
func (c *Client) person() login.Person {
	return login.Person{OpenBrowser: c.cfg.OpenBrowser, Output: c.cfg.Output, ReadRedirect: c.cfg.ReadRedirect}
}

// warnWithoutRefreshToken tells the person now what would be a surprise when the
// access token ends.
func (c *Client) warnWithoutRefreshToken(pair *TokenPair, advice OfflineAccess) {
	switch {
	case pair.RefreshToken != "":
	case pair.ExpiresAt.IsZero():
		c.person().Say("The access token does not end, as far as the server says, and there is no refresh token: there is nothing to renew.\n")
	default:
		c.person().Say("The server gave no refresh token: the session ends at %s. To keep it alive, %s.\n", pair.ExpiresAt.Format(time.DateTime), advice.advice())
	}
}
