package main

import (
	"context"
	"errors"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/explain"
	"github.com/evertoken/evertoken/connect"
	"github.com/evertoken/evertoken/internal/outside"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// mcpLogoutCmd ends the login to an MCP server.
type mcpLogoutCmd struct {
	mcpStore
	mcpServer
	Force bool `help:"Delete the tokens here even if the server cannot be told. The session may then live on there."`
}

// Help is shown below the command's flags.
func (mcpLogoutCmd) Help() string {
	return `A program that still uses the server asks for a login with its next request.

` + example("mcp logout https://mcp.example.com/mcp", "mcp list")
}

// Run revokes, then deletes.
func (c *mcpLogoutCmd) Run(ctx context.Context, a *app) error {
	a.mcp = outside.Show(c.URL)
	a.mcpWords = []string{"logout", quoted(a.mcp)}
	if err := c.check(); err != nil {
		return err
	}
	store, err := c.open(ctx, a)
	if err != nil {
		return err
	}
	cfg := connect.Config{URL: c.URL, Account: c.Account, Refresh: refresh.Config{Store: store, Logger: a.logger()}}
	if err := c.client(&cfg); err != nil {
		return err
	}
	session, err := c.session(cfg)
	if err != nil {
		return err
	}
	defer session.Close()
	err = session.Logout(ctx)
	switch {
	case err == nil:
		a.say("Logged out of %s.", a.mcp)
	case errors.Is(err, tokenstore.ErrNotFound):
		a.say("There is no login to %s: nothing to do.", a.mcp)
	case errors.Is(err, oauth.ErrNotRevoked):
		a.say("Logged out of %s here. The server refused to end the session (%s), so there it ends by itself.", a.mcp, outside.Show(explain.Text(err)))
	case c.Force:
		if err := session.Forget(ctx); err != nil {
			return err
		}
		a.say("Logged out of %s here. The server could not be told (%s), so the session may live on there.", a.mcp, outside.Show(explain.Text(err)))
	default:
		p := a.explain(err)
		p.What = "still logged in, because the session could not be ended: " + p.What
		p.Next += "; " + a.command("mcp", "logout", quoted(a.mcp), "--force") + " deletes the tokens here anyway"
		return p
	}
	return nil
}
