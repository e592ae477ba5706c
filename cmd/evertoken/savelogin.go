package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/explain"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/profile"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/stores"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/text"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

// lockLimit is how long a command waits for a process that is renewing the
// session.
const lockLimit = 35 * time.Second

// saveLogin makes a new pair the profile's session and remembers its client. old
// is what the profile was, or nil. It returns the record that it replaced, without
// tokens if there was none.
func (a *app) saveLogin(ctx context.Context, store *stores.Bound, old, p *profile.Profile, pair *oauth.TokenPair) (*tokenstore.Record, error) {
	defer a.lockForLogin(ctx, store)()
	file, err := a.file()
	if err != nil {
		return nil, unsavedLogin(err)
	}
	// The process may die after each step. The tokens say which settings they go with, so
	// that the next command finds those: see [app.settled]. If there are no old settings to
	// go on with, the new ones come first; but if these lead to another store, they must not
	// do so before the tokens are there.
	before, after := file.SaveNext, file.PlaceNext
	switch {
	case old == nil:
		before, after = file.Save, nothing
	case p.Moves(old):
		before, after = nothing, file.Save
	}
	if err := before(p); err != nil {
		return nil, unsavedLogin(err)
	}
	replaced, err := a.savePair(ctx, store, pair)
	if err == nil {
		err = after(p)
	}
	if err != nil {
		return nil, unsavedLogin(err)
	}
	return replaced, nil
}

func nothing(*profile.Profile) error { return nil }

// checkRoom finds out whether a login could be saved.
func (a *app) checkRoom(ctx context.Context, store *stores.Bound) error {
	file, err := a.file()
	if err == nil {
		err = cmp.Or(store.Check(ctx, a.Profile), file.Check())
	}
	if err != nil {
		return &explain.Doing{What: "no session can be saved here", Err: err}
	}
	return nil
}

// savePair saves a pair over whatever is there, which it returns.
func (a *app) savePair(ctx context.Context, store *stores.Bound, pair *oauth.TokenPair) (*tokenstore.Record, error) {
	for {
		// Not through the bound store: what is there may belong to another client.
		old, err := store.Backend.Get(ctx, a.Profile)
		if errors.Is(err, tokenstore.ErrSealed) {
			old, err = a.unopened(ctx, store, err)
		}
		switch {
		case errors.Is(err, tokenstore.ErrNotFound):
			old = new(tokenstore.Record)
		case errors.Is(err, tokenstore.ErrDamaged):
			a.warn("evertoken: %s", explain.Text(err))
			old = new(tokenstore.Record)
		case err != nil:
			return nil, err
		}
		rec := old.Clone()
		rec.Supersede(pair)
		store.Unbind(rec)
		rec.RefreshedAt, rec.RefreshedBy = time.Time{}, "" // this login was never renewed
		rec.Login, rec.Witnesses = rand.Text(), nil
		if rec.Places = nil; tokenstore.PlaceOf(store) != "" {
			rec.Places = []string{tokenstore.PlaceOf(store)}
		}
		if _, err = store.Set(ctx, a.Profile, rec); err == nil {
			return old, nil
		}
		if !errors.Is(err, tokenstore.ErrConflict) {
			return nil, err
		}
	}
}

// lockForLogin waits for a renewal under way. If that takes too long, the login
// is saved all the same: saving compares versions, and a login must not get lost.
func (a *app) lockForLogin(ctx context.Context, store tokenstore.Locker) (unlock func()) {
	ctx, cancel := context.WithTimeout(ctx, lockLimit)
	defer cancel()
	lease, err := store.Lock(ctx, a.Profile)
	if err != nil {
		return func() {}
	}
	return func() { _ = lease.Unlock() }
}

func unsavedLogin(err error) error {
	return &explain.Doing{What: "the login worked, but could not be saved", Err: err}
}

// announce says what the person has now, and until when. advice is what to do if there is
// no refresh token.
func (a *app) announce(store *stores.Bound, p *profile.Profile, pair *oauth.TokenPair, advice string) {
	now := time.Now()
	a.say("Logged in to %s as profile %q.", p.Server(), a.Profile)
	a.say("  access token   %s", text.Until(pair.ExpiresAt, now))
	if pair.ExpiresAt.IsZero() && pair.RefreshToken != "" {
		a.say("                 if the server's documentation tells the lifetime, such as one hour, run %s", a.loginCommand(false, "--lifetime 1h"))
	}
	switch {
	case pair.RefreshToken == "" && pair.ExpiresAt.IsZero():
		a.say("  refresh token  none: the access token does not end, as far as the server says, and there is nothing to renew")
	case pair.RefreshToken == "":
		a.say("  refresh token  none: the session ends with the access token")
		a.say("                 to get one, %s", advice)
	case pair.RefreshExpiresAt.IsZero():
		a.say("  refresh token  yes: the session is renewed as long as the server allows")
	default:
		a.say("  refresh token  yes: expires if unused by %s", text.When(pair.RefreshExpiresAt, now))
	}
	a.say("  tokens         %s", store.Place())
}

// loginFor says how to log in to get a refresh token.
func (a *app) loginFor(advice oauth.OfflineAccess, scopes []string) string {
	var flags []string
	if advice.Scope != "" {
		flags = scopeFlags(append(slices.Clone(scopes), advice.Scope))
	}
	if advice.Params != "" {
		for param := range strings.SplitSeq(advice.Params, "&") {
			flags = append(flags, "--auth-param "+quoted(param))
		}
	}
	if len(flags) == 0 {
		return "see in the server's documentation what asks for one: a scope (--scope), or a parameter such as --auth-param access_type=offline; --preset knows what some services want"
	}
	return "run " + a.loginCommand(false, flags...)
}

// scopeFlags are the flags of a login that asks for scopes.
func scopeFlags(scopes []string) []string {
	var flags []string
	for _, scope := range scopes {
		flags = append(flags, "--scope "+quoted(scope))
	}
	return flags
}

// endOld ends the session that a login has replaced, now that the new one is
// saved. A failure is a warning: the login has worked. It reports whether the
// server has ended the new session too, as servers do that keep one grant for
// each person and client.
func (a *app) endOld(ctx context.Context, old *profile.Profile, replaced *tokenstore.Record, client *oauth.Client, pair *oauth.TokenPair) (both bool) {
	t := replaced.Tokens
	switch {
	case t == nil, replaced.Dead.On(t.RefreshToken):
		return false // there is nothing to end
	case t.AccessToken == pair.AccessToken, t.RefreshToken != "" && t.RefreshToken == pair.RefreshToken:
		return false // the server went on with the same session
	case old == nil, stores.BindingOf(replaced) != "" && stores.BindingOf(replaced) != old.Binding(),
		stores.SettingsOf(replaced) != "" && stores.SettingsOf(replaced) != old.Fingerprint():
		a.warn("evertoken: warning: the old session is no longer used here, but lives on at a server that the profile has forgotten")
		return false
	case old.Backend != nil:
		// Backends may end all of a person's sessions with one, the new one too.
		a.say("The old session is not ended at the backend, where it lives on until it ends by itself; to end one, log out before you log in.")
		return false
	case old.RevocationURL == "":
		a.say("The old session lives on until it ends by itself: its server has no way to end it from here.")
		return false
	}
	// An access token that was never welcome there would tell nothing afterwards.
	before := rejected(ctx, client, pair)
	cfg, err := old.Config()
	if err == nil {
		err = oauth.NewClient(cfg).Revoke(ctx, t)
	}
	if err != nil {
		a.warn("evertoken: warning: the old session could not be ended and lives on at the server: %s", explain.Text(err))
		return false
	}
	a.say("The old session was ended.")
	return !before && rejected(ctx, client, pair)
}

// rejected reports whether the userinfo endpoint rejects the pair's access token; false
// also when it cannot be asked. To spend the refresh token instead would not do: at some
// servers that counts as reuse once it is revoked.
func rejected(ctx context.Context, client *oauth.Client, pair *oauth.TokenPair) bool {
	if client == nil {
		return false // a backend's dialect has no such endpoint
	}
	if cfg := client.Config(); cfg.Endpoints.Userinfo == "" || !isOpenID(pair, cfg.Scopes) {
		return false
	}
	_, err := client.Userinfo(ctx, pair)
	fail, ok := errors.AsType[*oauth.Error](err)
	return ok && fail.Status == http.StatusUnauthorized
}

// isOpenID reports whether a login that asked for scopes gave a pair that the userinfo
// endpoint accepts.
func isOpenID(pair *oauth.TokenPair, asked []string) bool {
	if pair.Scope != "" { // else it is what was asked for (RFC 6749 section 5.1)
		asked = pair.Scopes()
	}
	return pair.IDToken != "" || slices.Contains(asked, "openid")
}
