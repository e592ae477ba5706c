package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/internal/outside"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
)

// whoamiCmd prints who has logged in.
type whoamiCmd struct {
	JSON bool `help:"Print one JSON object with all that the server says about the person."`
	waitFlag
}

// Help is shown below the command's flags.
func (whoamiCmd) Help() string {
	return `Asks the server, or reads the ID token of the login where the server has nothing to ask. Prints the name that the person logs in with, or else the email address, the full name, or the server's identifier. A session tells this only if it has the scope openid. Of a backend with a dialect it prints the user name of the login, and asks nothing.

` + example("whoami", "whoami --profile work --json")
}

// Run prints one line, or one JSON object.
func (c *whoamiCmd) Run(ctx context.Context, a *app) error {
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	claims, err := c.claims(ctx, s)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(claims)
	}
	for _, name := range []string{"preferred_username", "email", "name", "sub"} {
		if value, _ := claims[name].(string); value != "" {
			return a.print("%s", outside.Show(value))
		}
	}
	return c.untold(s, nil)
}

// claims returns what is known about the person.
func (c *whoamiCmd) claims(ctx context.Context, s *session) (map[string]any, error) {
	if s.profile.UserinfoURL != "" {
		return c.ask(ctx, s)
	}
	rec, err := s.store.Get(ctx, s.app.Profile)
	if err != nil {
		return nil, err
	}
	if b := s.profile.Backend; b != nil {
		return map[string]any{"preferred_username": b.Username}, nil
	}
	claims := idTokenClaims(rec.Tokens.IDToken)
	if claims == nil {
		return nil, c.untold(s, rec.Tokens)
	}
	return claims, nil
}

// ask asks the server, with a fresh token, and once more with a new one if the server
// rejects that.
func (c *whoamiCmd) ask(ctx context.Context, s *session) (claims map[string]any, err error) {
	err = s.with(ctx, c.patience(), func(ctx context.Context, m *refresh.Manager) error {
		pair, err := m.TokenContext(ctx)
		if err != nil {
			return err
		}
		info, err := s.oauth.Userinfo(ctx, pair)
		if hasStatus(err, http.StatusUnauthorized) {
			if err := m.ForceRefresh(ctx); err != nil {
				return err
			}
			if pair, err = m.TokenContext(ctx); err != nil {
				return err
			}
			info, err = s.oauth.Userinfo(ctx, pair)
		}
		if hasStatus(err, http.StatusUnauthorized, http.StatusForbidden) {
			return c.untold(s, pair)
		}
		if err == nil {
			claims, err = anyClaims(info.Claims)
		}
		return err
	})
	return claims, err
}

func hasStatus(err error, statuses ...int) bool {
	fail, ok := errors.AsType[*oauth.Error](err)
	return ok && slices.Contains(statuses, fail.Status)
}

// untold returns the error for a session that does not tell the person's name. A nil
// pair means that the reason is unknown.
func (c *whoamiCmd) untold(s *session, pair *oauth.TokenPair) error {
	p := exit.New(exit.Failed, "the server does not say who has logged in", "ask its administrator")
	if s.oauth != nil && pair != nil && !isOpenID(pair, s.profile.Scopes) {
		p.Next = "the session lacks the scope openid: run " + s.app.loginCommand(false, scopeFlags(append([]string{"openid"}, s.profile.Scopes...))...)
	}
	return p
}

// idTokenClaims returns what an ID token says, or nil. The login has checked it.
func idTokenClaims(token string) (claims map[string]any) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil
	}
	_ = json.Unmarshal(payload, &claims) // stays nil unless it is an object
	return claims
}

func anyClaims(claims map[string]json.RawMessage) (map[string]any, error) {
	data, err := json.Marshal(claims)
	if err != nil {
		return nil, err
	}
	var fields map[string]any
	err = json.Unmarshal(data, &fields)
	return fields, err
}
