package main

import (
	"context"
	"time"

	"github.com/evertoken/evertoken/refresh"
)

// refreshCmd renews the access token now.
type refreshCmd struct{}

// Run forces a refresh and prints the new token's end.
func (refreshCmd) Run(ctx context.Context, a *app) error {
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	return s.with(ctx, lockLimit, func(m *refresh.Manager) error {
		if err := m.ForceRefresh(ctx); err != nil {
			return err
		}
		return a.print("renewed: the access token lives until %s", when(m.GetExpiresAt(), time.Now()))
	})
}
