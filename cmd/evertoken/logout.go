package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/explain"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/profile"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/stores"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/text"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// logoutCmd ends the session at the server and forgets it here.
type logoutCmd struct {
	Force bool `help:"End the session at the server and delete the tokens here, even if one of the two does not work. The session may then live on at the server, or its tokens here."`
}

// Help is shown below the command's flags.
func (logoutCmd) Help() string {
	return `The server and client stay remembered, so that "evertoken login" is enough to come back.

` + example("logout", "logout --profile work")
}

// Run revokes, then deletes, while no other process can renew the session: it
// would come back otherwise.
func (c *logoutCmd) Run(ctx context.Context, a *app) error {
	s, err := a.open(ctx)
	if orphans := a.orphans(); err != nil && len(orphans) > 0 && a.isUnset() {
		return c.removeOrphans(ctx, a, orphans)
	}
	if err != nil {
		return c.ignoreAbsent(a, err)
	}
	s.revive(ctx)
	waiting, cancel := context.WithTimeout(ctx, lockLimit)
	defer cancel()
	lease, err := s.store.Lock(waiting, a.Profile)
	if err != nil {
		return err
	}
	defer func() { _ = lease.Unlock() }()

	rec, err := s.store.Get(ctx, a.Profile)
	if err != nil {
		return c.ignoreAbsent(a, err)
	}
	if err := c.removable(ctx, s); err != nil {
		return err
	}
	ended, err := c.revoke(ctx, s, rec)
	if err != nil {
		return err
	}
	// The server has ended the session: the tokens must go, even after a signal.
	if err := deleteSession(context.WithoutCancel(ctx), s.store, a.Profile, rec.Version); err != nil {
		return err
	}
	a.say("Logged out of %s%s.", s.profile.Server(), ended)
	return nil
}

// A living logout is what a client may want that ends sessions by an access token.
type livingLogout interface{ RevokesByAccessToken() bool }

// revive renews an access token that is dead, or of which the end is not known, where the
// backend wants one that lives for a logout. What came of it, the logout finds out.
func (s *session) revive(ctx context.Context) {
	if c, is := s.client.(livingLogout); !is || !c.RevokesByAccessToken() {
		return
	}
	rec, err := s.store.Get(ctx, s.app.Profile)
	if err != nil || rec.Tokens.RefreshToken == "" || rec.Dead.On(rec.Tokens.RefreshToken) {
		return
	}
	if t := rec.Tokens; !t.ExpiresAt.IsZero() && left(t) > leastWait {
		return
	}
	err = s.with(ctx, patience{lockLimit, leastWait}, func(ctx context.Context, m *refresh.Manager) error { return m.ForceRefresh(ctx) })
	if err != nil {
		s.app.logger().Debug("the access token could not be renewed for the logout", "error", err)
	}
}

// removable finds out whether the record can be deleted, before the server ends the
// session: what stayed here would be sent there again, which could count as reuse. A
// full disk does not matter, since deleting takes no room.
func (c *logoutCmd) removable(ctx context.Context, s *session) error {
	err := s.store.Check(ctx, s.app.Profile)
	if err == nil || c.Force || explain.IsAny(err, syscall.ENOSPC, syscall.EDQUOT) {
		return nil
	}
	p := s.app.explain(err)
	return exit.New(p.Code, "still logged in, because the tokens here cannot be deleted: "+p.What,
		p.Next+"; "+s.app.command("logout", "--force")+" ends the session at the server anyway")
}

// ignoreAbsent makes a logout without a session succeed: that is what was wanted.
func (c *logoutCmd) ignoreAbsent(a *app, err error) error {
	if p := a.explain(err); p.Code == exit.Login && !errors.Is(err, tokenstore.ErrDamaged) {
		a.say("%s: nothing to do.", capital(p.What))
		return nil
	}
	return err
}

// isUnset reports whether the profile has no file.
func (a *app) isUnset() bool {
	_, err := a.loadProfile()
	return errors.Is(err, profile.ErrNone)
}

// orphans returns the kinds of stores that have a session of the current profile, by its files.
func (a *app) orphans() []string {
	dir, err := a.directory()
	if err != nil {
		return nil
	}
	var kinds []string
	for _, kind := range []string{profile.InFiles, profile.InKeyring} {
		path := filepath.Join(stores.Dir(dir, kind), a.Profile+".json")
		_, record := os.Lstat(path)
		_, next := os.Lstat(path + ".next")
		if record == nil || next == nil {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// removeOrphans is the logout of tokens whose profile is missing, so that it is not known which
// server they are of.
func (c *logoutCmd) removeOrphans(ctx context.Context, a *app, kinds []string) error {
	if !c.Force {
		return exit.New(exit.Config, fmt.Sprintf("there are tokens of profile %q, and its settings are gone, so that no server can be told", a.Profile),
			"put its file below profiles back, or log in again; "+a.command("logout", "--force")+" deletes the tokens here, and the session lives on at the server")
	}
	for _, kind := range kinds {
		if _, err := a.takeCopy(ctx, kind); err != nil {
			return err
		}
		// A store finds no session in what a spend has left without a record.
		dir, err := a.directory()
		if err == nil {
			err = os.Remove(filepath.Join(stores.Dir(dir, kind), a.Profile+".json.next"))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	a.say("Deleted the tokens of profile %q; the server could not be told, so there the session ends by itself one day.", a.Profile)
	return nil
}

// revoke ends the session at the server. It returns what to tell the person
// about it, or an error if the tokens are to be kept.
func (c *logoutCmd) revoke(ctx context.Context, s *session, rec *tokenstore.Record) (note string, err error) {
	switch {
	case rec.Dead.On(rec.Tokens.RefreshToken):
		return " (the server had ended the session before)", nil // revoking it now could count as reuse
	case !s.client.CanRevoke():
		return "; its server has no way to end the session from here, so there it " + endOf(rec.Tokens), nil
	}
	err = s.client.Revoke(ctx, rec.Tokens)
	switch {
	case err == nil:
		return "", nil
	case errors.Is(err, oauth.ErrNotRevoked): // nor will it at the next try
		return "; the server refused to end the session (" + explain.Text(err) + "), so there it " + endOf(rec.Tokens), nil
	case c.Force:
		return "; the server could not be told (" + explain.Text(err) + "), so there the session " + endOf(rec.Tokens), nil
	}
	p := s.app.explain(err)
	p.What = "still logged in, because the server could not be told: " + p.What
	p.Next += "; " + s.app.command("logout", "--force") + " deletes the tokens here anyway"
	return "", p
}

// endOf says when a session ends by itself.
func endOf(t *oauth.TokenPair) string {
	end := t.RefreshExpiresAt
	if t.RefreshToken == "" {
		end = t.ExpiresAt
	}
	if end.IsZero() {
		return "ends by itself one day"
	}
	return "ends " + text.When(end, time.Now())
}

// deleteSession removes the record. Programs that take no lock may have changed it
// meanwhile.
func deleteSession(ctx context.Context, store tokenstore.Store, name string, version uint64) error {
	for {
		err := store.Delete(ctx, name, version)
		switch {
		case errors.Is(err, tokenstore.ErrNotFound):
			return nil
		case !errors.Is(err, tokenstore.ErrConflict):
			return err
		}
		rec, err := store.Get(ctx, name)
		switch {
		case errors.Is(err, tokenstore.ErrNotFound):
			return nil
		case err != nil:
			return err
		}
		version = rec.Version
	}
}

// capital begins a sentence.
func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
