package oauth

import "context"

// Password trades a person's name and password for tokens (RFC 6749 section
// 4.3).
//
// RFC 9700 section 2.4 forbids this grant, and OAuth 2.1 has dropped it: the
// program gets to see the password, and the server can ask for no second factor.
// It is here for legacy servers that offer nothing else. Other callers want
// [Client.Authenticate] or [Client.DeviceLogin].
//
// It sends one request; name and password are not kept. Errors are of type
// [*Error]; a wrong password matches [ErrLoginRequired]. Safe for concurrent use.
func (c *Client) Password(ctx context.Context, username, password string) (*TokenPair, error) {
	form := c.scopeForm(c.loginScopes())
	form.Set("grant_type", "password")
	form.Set("username", username)
	form.Set("password", password)
	pair, err := c.grant(ctx, opPassword, form)
	if err != nil {
		return nil, err
	}
	return c.checkLogin(ctx, opPassword, pair, "")
}
