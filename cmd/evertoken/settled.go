package main

import (
	"context"
	"errors"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/profile"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/stores"
	"github.com/evertoken/evertoken/tokenstore"
)

// settled returns the profile that the saved tokens go with: p, or the one that a login has
// left beside it. That login has ended between the tokens and their settings, which are put
// in their place now; or it has ended before it saved its tokens, and its settings are
// dropped. One that is under way has the lock, and is waited for.
func (a *app) settled(ctx context.Context, p *profile.Profile) *profile.Profile {
	file, err := a.file()
	if err != nil || !file.HasNext() {
		return p
	}
	store, err := a.openBackend(ctx, p.Kind(), "")
	if err != nil {
		return p // the command, which needs the store, says what is wrong
	}
	waiting, cancel := context.WithTimeout(ctx, leastWait)
	defer cancel()
	lease, lockErr := store.Lock(waiting, a.Profile)
	if lockErr == nil {
		defer func() { _ = lease.Unlock() }()
	}
	next, err := file.LoadNext()
	if errors.Is(err, profile.ErrNone) {
		if now, err := file.Load(); err == nil {
			return now // its login has put it there
		}
	}
	if err != nil {
		return p
	}
	rec, err := store.Get(ctx, a.Profile)
	if err != nil && !errors.Is(err, tokenstore.ErrNotFound) {
		return p // which of the two, only the tokens can tell
	}
	if err != nil || stores.SettingsOf(rec) != next.Fingerprint() {
		if lockErr == nil {
			_ = file.DropNext() // if not now, then by the next command
		}
		return p
	}
	if lockErr == nil {
		_ = file.PlaceNext(next) // likewise
	}
	return next
}
