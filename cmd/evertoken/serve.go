package main

import (
	"context"
	"fmt"
	"time"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/text"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// serveCmd runs a test server.
type serveCmd struct {
	TokenLife time.Duration `default:"60s" placeholder:"D" help:"How long access tokens live (default ${default})."`
}

// Help is shown below the command's flags.
func (serveCmd) Help() string {
	return `It keeps everything in memory, listens on this machine only, and ends with Ctrl-C. Refresh tokens rotate, and using one twice ends the session, as at strict servers. Exit code 1 if a client misused one.

` + example("serve --token-life 30s")
}

// Run serves until ctx ends and then reports how clients behaved.
func (c *serveCmd) Run(ctx context.Context, a *app) error {
	if c.TokenLife < time.Second {
		return exit.Misuse(fmt.Errorf("--token-life must be at least 1s"))
	}
	s := oauthtest.NewServer(oauthtest.Config{AccessTokenLifetime: c.TokenLife})
	defer s.Close()
	err := a.print(`A server for trying things out, not for real use: %[1]s
User %[2]s, password %[3]s. In another terminal:

  evertoken login --issuer %[1]s --client-id %[4]s
  evertoken get %[5]s

Stop it with Ctrl-C.`, s.Issuer(), oauthtest.DefaultUser, oauthtest.DefaultPassword, oauthtest.DefaultClientID, s.Resource())
	if err != nil {
		return err
	}
	<-ctx.Done()
	return a.printAudit(s)
}

// printAudit reports what clients did wrong.
func (a *app) printAudit(s *oauthtest.Server) error {
	mistakes := s.Audit()
	for _, m := range mistakes {
		a.warn("evertoken: %s", m)
	}
	if err := a.print("%s served, %s, %s", text.Plural(s.Served(), "request"), text.Plural(s.Refreshes(), "renewal"), text.Plural(len(mistakes), "misused token")); err != nil {
		return err
	}
	if len(mistakes) > 0 {
		return exit.Silent(exit.Failed)
	}
	return nil
}
