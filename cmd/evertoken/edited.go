package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/profile"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/stores"
	"github.com/evertoken/evertoken/tokenstore"
)

// unedited returns what the profile was, or nil, with a warning, if its settings were edited
// since its login. Then the person has to name the server again.
func (c *loginCmd) unedited(ctx context.Context, a *app, old *profile.Profile) (*profile.Profile, error) {
	if !a.isEdited(ctx, old) {
		return old, nil
	}
	named := cmp.Or(c.Issuer, c.TokenURL) != "" && c.ClientID != "" || c.Dialect != "" && c.URL != ""
	if !named {
		return nil, exit.New(exit.Config, a.editedSettings(), "its file was edited, or its session was copied from another profile, so name the server and the client again, with --issuer and --client-id, or with --dialect and --url")
	}
	a.warn("evertoken: warning: %s", a.editedSettings())
	return nil, nil
}

// isEdited reports whether the settings of a profile, which may be nil, were edited since its
// login, by what is saved with the tokens. They may lead the person to another server, or the
// tokens to another store. A session that was copied from another profile looks the same.
func (a *app) isEdited(ctx context.Context, old *profile.Profile) bool {
	if old == nil {
		return false
	}
	for _, kind := range []string{old.Kind(), stores.Other(old.Kind())} {
		rec := a.saved(ctx, kind)
		if rec == nil || stores.SettingsOf(rec) == "" {
			continue
		}
		return stores.SettingsOf(rec) != old.Fingerprint()
	}
	return false
}

func (a *app) editedSettings() string {
	return fmt.Sprintf("the settings of profile %q are not those that it was logged in with, and are not used", a.Profile)
}

// saved returns the record that a store has, whichever client it belongs to; nil if there is
// none, or none that can be opened: a login takes the place of either.
func (a *app) saved(ctx context.Context, kind string) *tokenstore.Record {
	dir, err := a.directory()
	if err != nil {
		return nil
	}
	if _, err := os.Lstat(filepath.Join(stores.Dir(dir, kind), a.Profile+".json")); err != nil {
		return nil // to open the store could ask for the keyring's password
	}
	store, err := a.openBackend(ctx, kind, "")
	if err != nil {
		return nil // if it is needed, the login says so
	}
	rec, err := store.Get(ctx, a.Profile)
	if err != nil {
		return nil
	}
	return rec
}
