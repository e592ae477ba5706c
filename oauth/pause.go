package oauth

import "github.com/evertoken/evertoken/oauth/internal/wire"

// mustWait returns the error for a request that is not sent because the server has
// asked for peace, or nil.
func (c *Client) mustWait(op string) *Error { return (*Error)(c.pause.Refusal(op, c.cfg.Now())) }

// rememberWait keeps the server's wish to be left alone.
func (c *Client) rememberWait(err error) {
	if fail, ok := err.(*Error); ok {
		c.pause.Remember((*wire.Failure)(fail), c.cfg.Now())
	}
}
