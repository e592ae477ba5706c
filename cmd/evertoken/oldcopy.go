package main

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/explain"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/profile"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/stores"
	"github.com/evertoken/evertoken/tokenstore"
)

// removeCopy removes the profile's session from the store that does not keep it
// any more, and returns what that was: nil if there was nothing, or nothing that
// can be opened. Two copies would be two generations of one session, and one day
// a process would use the older. A failure is a warning: the login has worked.
func (a *app) removeCopy(ctx context.Context, kind string) *tokenstore.Record {
	old, err := a.takeCopy(ctx, kind)
	if err != nil {
		a.warn("evertoken: warning: an old copy of the tokens may be left: %s", explain.Text(err))
	}
	return old
}

func (a *app) takeCopy(ctx context.Context, kind string) (*tokenstore.Record, error) {
	dir, err := a.directory()
	if err != nil {
		return nil, err
	}
	dir = stores.Dir(dir, kind)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil // to open a store would make its directory
	}
	// Sealed sessions are files too. So the keyring is asked only if there is one,
	// and what it cannot open any more can go all the same.
	files, err := tokenstore.NewFile(dir)
	if err != nil {
		return nil, err
	}
	defer a.lockForLogin(ctx, files)()
	rec, err := files.Get(ctx, a.Profile)
	switch {
	case errors.Is(err, tokenstore.ErrNotFound):
		return nil, nil
	case errors.Is(err, tokenstore.ErrDamaged): // it was moved aside
		return nil, errors.Join(err, deleteSession(ctx, files, a.Profile, 0))
	case err != nil:
		return nil, err
	}
	version := rec.Version
	if kind == profile.InKeyring {
		rec = a.unsealedCopy(ctx)
	}
	return rec, deleteSession(ctx, files, a.Profile, version)
}

// unsealedCopy returns the session that the keyring's store has, or nil if it
// cannot be opened.
func (a *app) unsealedCopy(ctx context.Context) *tokenstore.Record {
	var rec *tokenstore.Record
	sealed, err := a.openBackend(ctx, profile.InKeyring, "")
	if err == nil {
		rec, err = sealed.Get(ctx, a.Profile)
	}
	if err != nil {
		a.warnUnopened(err)
	}
	return rec
}

// unopened stands for a session in the store that cannot be opened, so that
// another one can be saved in its place.
func (a *app) unopened(ctx context.Context, store stores.Backend, cause error) (*tokenstore.Record, error) {
	files, err := tokenstore.NewFile(store.Dir())
	if err != nil {
		return nil, err
	}
	rec, err := files.Get(ctx, a.Profile)
	if err != nil {
		return nil, err
	}
	a.warnUnopened(cause)
	return &tokenstore.Record{Version: rec.Version}, nil
}

// warnUnopened leaves the cause to the log: its advice is about getting the
// session back.
func (a *app) warnUnopened(cause error) {
	a.warn("evertoken: warning: the old session cannot be opened and is removed here; it may live on at the server")
	a.logger().Warn("old session not opened", "error", cause)
}
