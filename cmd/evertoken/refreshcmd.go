package main

import (
	"context"
	"time"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/text"
	"github.com/evertoken/evertoken/refresh"
)

// refreshCmd renews the access token now.
type refreshCmd struct{}

// Help is shown below the command's flags.
func (refreshCmd) Help() string {
	return `Any other command renews the token when that is due; this one renews it whether it is or not.

` + example("refresh")
}

// Run forces a refresh and prints the new token's end.
func (refreshCmd) Run(ctx context.Context, a *app) error {
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	return s.with(ctx, patience{lockLimit, lockLimit}, func(ctx context.Context, m *refresh.Manager) error {
		if err := m.ForceRefresh(ctx); err != nil {
			return err
		}
		return a.print("renewed: access token %s", text.Until(m.GetExpiresAt(), time.Now()))
	})
}
