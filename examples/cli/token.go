package main

import (
	"context"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
)

// tokenCmd prints a valid access token and nothing else.
type tokenCmd struct {
	MinValid *time.Duration `placeholder:"D" help:"Renew the token first if less than this is left of it (default: 60s, or a third of its life if that is less)."`
	waitFlag
}

// waitFlag is for commands that need a living token.
type waitFlag struct {
	Wait time.Duration `default:"30s" placeholder:"D" help:"How long to wait for a new token while the server is in trouble and the old one has died (default ${default})."`
}

// Help is shown below the command's flags.
func (tokenCmd) Help() string {
	return `Never opens a browser. Without a valid session it prints nothing and fails with exit code 3.`
}

// defaultMinValid is enough for a script to make its request.
const defaultMinValid = time.Minute

// Run prints the token. As long as one lives, trouble with renewing it is a
// warning.
func (c *tokenCmd) Run(ctx context.Context, a *app) error {
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	rec, err := s.store.Get(ctx, a.profile)
	if err != nil {
		return err
	}
	if c.enough(rec.Tokens) {
		return c.show(a, rec.Tokens) // the usual case needs no manager
	}
	return s.with(ctx, c.Wait, func(m *refresh.Manager) error {
		pair, err := c.renewed(ctx, a, m)
		if err != nil {
			return err
		}
		return c.show(a, pair)
	})
}

func (*tokenCmd) show(a *app, t *oauth.TokenPair) error { return a.print("%s", t.AccessToken) }

// enough reports whether a token lives long enough not to be renewed.
func (c *tokenCmd) enough(t *oauth.TokenPair) bool {
	need := defaultMinValid
	if c.MinValid != nil {
		need = *c.MinValid
	} else if life, known := t.Lifetime(); known {
		need = min(need, life/3) // or short tokens would be renewed on every call
	}
	return left(t) > need
}

// renewed returns a pair with enough life, or failing that, with some.
func (c *tokenCmd) renewed(ctx context.Context, a *app, m *refresh.Manager) (*oauth.TokenPair, error) {
	if pair := m.GetTokens(); pair != nil && c.enough(pair) {
		return pair, nil // somebody else was faster
	}
	failure := m.ForceRefresh(ctx)
	pair, err := m.TokenContext(ctx)
	switch {
	case err != nil:
		return nil, first(failure, err)
	case failure != nil && !c.enough(pair):
		a.warn("evertoken: the token could not be renewed and lives %s more: %s", brief(left(pair)), plainText(failure))
	case !c.enough(pair):
		a.warn("evertoken: the server's tokens live less than --min-valid %s", brief(*c.MinValid))
	}
	return pair, nil
}
