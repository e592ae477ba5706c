package main

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/text"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// tokenCmd prints a valid access token and nothing else.
type tokenCmd struct {
	MinValid *time.Duration `placeholder:"D" help:"Renew the token first if less than this is left of it, or if that is not known (see \"evertoken help login\", --lifetime). One that is due (see \"evertoken status\") is renewed in any case."`
	Header   bool           `help:"Print the HTTP header that carries the token, for \"curl -H @-\"."`
	waitFlag
}

// waitFlag is for commands that need a living token.
type waitFlag struct {
	Wait *time.Duration `placeholder:"D" help:"How long to wait for a new token while the server is in trouble and the old one has died (default 30s, but 4s if the server cannot be reached)."`
}

// patience is what the flag says. A person who types a command while the network is down
// is told soon.
func (f waitFlag) patience() patience {
	if f.Wait != nil {
		return patience{*f.Wait, *f.Wait}
	}
	return patience{30 * time.Second, 4 * time.Second}
}

// Help is shown below the command's flags.
func (tokenCmd) Help() string {
	return `Never opens a browser. Without a valid session it prints nothing and fails with exit code 3.

To use it, "evertoken get" or "evertoken curl" are safer. Hand the token on by a pipe: in a command line, every user of the machine can read it.

` + example("token", "token --profile work --min-valid 5m", "token --header | curl -H @- https://api.example.com/me")
}

// Run prints the token.
func (c *tokenCmd) Run(ctx context.Context, a *app) error {
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	return c.serve(ctx, a, s)
}

// serve prints the token of a session. As long as one lives, trouble with renewing it
// is a warning.
func (c *tokenCmd) serve(ctx context.Context, a *app, s *session) error {
	rec, err := s.store.Get(ctx, a.Profile)
	if err != nil {
		return err
	}
	st := s.judge(rec)
	if c.enough(st, rec.Tokens) {
		return c.show(a, rec.Tokens) // the usual case needs no manager
	}
	return s.with(ctx, c.patienceWith(rec.Tokens), func(ctx context.Context, m *refresh.Manager) error {
		pair, err := c.renewed(ctx, a, m)
		if err != nil {
			return err
		}
		return c.show(a, pair)
	})
}

func (c *tokenCmd) show(a *app, t *oauth.TokenPair) error {
	if c.Header {
		return a.print("Authorization: %s %s", t.Type(), t.AccessToken)
	}
	return a.print("%s", t.AccessToken)
}

// enough reports whether a token is to be served as it is.
func (c *tokenCmd) enough(st *refresh.RefreshStatus, t *oauth.TokenPair) bool {
	return !st.NeedsRefresh && c.lasts(t)
}

// lasts reports whether a token lives as long as the caller wants. One whose end is
// not known need not, and is renewed if it can be.
func (c *tokenCmd) lasts(t *oauth.TokenPair) bool {
	var need time.Duration
	if c.MinValid != nil {
		need = *c.MinValid
	}
	if need > 0 && t.ExpiresAt.IsZero() && t.RefreshToken != "" {
		return false
	}
	return left(t) > need
}

// patienceWith is how long to wait for a new token. A caller whose token is good
// enough does not wait for another process that is renewing it.
func (c *tokenCmd) patienceWith(t *oauth.TokenPair) patience {
	p := c.patience()
	if c.lasts(t) {
		p.wait = leastWait
	}
	return p
}

// renewed returns a pair with enough life, or failing that, with some.
func (c *tokenCmd) renewed(ctx context.Context, a *app, m *refresh.Manager) (*oauth.TokenPair, error) {
	if pair := m.GetTokens(); pair != nil && c.enough(m.GetRefreshStatus(), pair) {
		return pair, nil // another process was faster
	}
	failure := m.ForceRefresh(ctx)
	pair, err := m.TokenContext(ctx)
	switch {
	case err != nil:
		return nil, cmp.Or(failure, err)
	case errors.Is(failure, tokenstore.ErrLocked) && c.lasts(pair):
		// Another process renews it.
	case failure != nil:
		a.warn("evertoken: the token could not be renewed%s: %s", stillLives(pair), a.explain(failure))
	case c.MinValid != nil && left(pair) <= *c.MinValid:
		a.warn("evertoken: the server's tokens live less than --min-valid %s", text.Brief(*c.MinValid))
	}
	return pair, nil
}

// stillLives says for how long a token can be used that was not renewed.
func stillLives(t *oauth.TokenPair) string {
	if t.ExpiresAt.IsZero() {
		return ", and it has no known expiry"
	}
	return " and lives " + text.Brief(left(t)) + " more"
}

// forever is how long a token lives whose end is not known.
const forever = time.Duration(1<<63 - 1)

// left returns how long a pair's access token lives.
func left(t *oauth.TokenPair) time.Duration {
	switch {
	case t == nil || t.AccessToken == "":
		return 0
	case t.ExpiresAt.IsZero():
		return forever
	}
	return time.Until(t.ExpiresAt)
}
