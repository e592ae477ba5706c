package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

// lockLimit is how long a command waits for a process that is renewing the
// session.
const lockLimit = 35 * time.Second

// saveLogin makes a new pair the profile's session and remembers its client. old
// is what the profile was, or nil. It returns the record that it replaced, without
// tokens if there was none.
func (a *app) saveLogin(ctx context.Context, store *boundStore, old, p *profile, pair *oauth.TokenPair) (*tokenstore.Record, error) {
	defer a.lockForLogin(ctx, store)()
	// The profile first: should the process die in between, the old tokens are
	// bound to another client than the profile's, and nobody sends them there. But
	// if it leads to another store, it must not do so before the tokens are there.
	if !p.moves(old) {
		if err := a.saveProfile(p); err != nil {
			return nil, unsavedLogin(err)
		}
	}
	replaced, err := a.savePair(ctx, store, pair)
	if err == nil && p.moves(old) {
		err = a.saveProfile(p)
	}
	if err != nil {
		return nil, unsavedLogin(err)
	}
	return replaced, nil
}

// checkRoom finds out whether a login could be saved.
func (a *app) checkRoom(ctx context.Context, store *boundStore) error {
	err := store.Check(ctx, a.profile)
	if err == nil {
		err = a.checkProfile()
	}
	if err != nil {
		return fmt.Errorf("no session can be saved here: %w", err)
	}
	return nil
}

// moves reports whether the profile keeps its tokens elsewhere than old did.
func (p *profile) moves(old *profile) bool { return old != nil && old.store() != p.store() }

// savePair saves a pair over whatever is there, which it returns.
func (a *app) savePair(ctx context.Context, store *boundStore, pair *oauth.TokenPair) (*tokenstore.Record, error) {
	for {
		// Not through the bound store: what is there may belong to another client.
		old, err := store.backend.Get(ctx, a.profile)
		if errors.Is(err, tokenstore.ErrSealed) {
			old, err = a.unopened(ctx, store, err)
		}
		switch {
		case errors.Is(err, tokenstore.ErrNotFound):
			old = new(tokenstore.Record)
		case errors.Is(err, tokenstore.ErrDamaged):
			a.warn("evertoken: %s", plainText(err))
			old = new(tokenstore.Record)
		case err != nil:
			return nil, err
		}
		rec := old.Clone()
		rec.Supersede(pair)
		rec.RefreshedAt, rec.RefreshedBy = time.Time{}, "" // this login was never renewed
		if _, err = store.Set(ctx, a.profile, rec); err == nil {
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
	lease, err := store.Lock(ctx, a.profile)
	if err != nil {
		return func() {}
	}
	return func() { _ = lease.Unlock() }
}

func unsavedLogin(err error) error {
	return fmt.Errorf("the login worked, but could not be saved: %w", err)
}

// announce says what the person has now, and until when. advice is what to ask for
// if there is no refresh token.
func (a *app) announce(store *boundStore, p *profile, pair *oauth.TokenPair, advice oauth.OfflineAccess) {
	now := time.Now()
	a.say("Logged in to %s as profile %q.", p.server(), a.profile)
	a.say("  access token   until %s", when(pair.ExpiresAt, now))
	if pair.ExpiresAt.IsZero() && pair.RefreshToken != "" {
		a.say("                 the server does not say when it ends; if its documentation does, log in again with --lifetime D")
	}
	switch {
	case pair.RefreshToken == "" && pair.ExpiresAt.IsZero():
		a.say("  refresh token  none: the access token does not end, as far as the server says, and there is nothing to renew")
	case pair.RefreshToken == "":
		a.say("  refresh token  none: the session ends with the access token")
		a.say("                 to get one, %s", loginFor(advice, p.Scopes))
	case pair.RefreshExpiresAt.IsZero():
		a.say("  refresh token  yes: the session is renewed as long as the server allows")
	default:
		a.say("  refresh token  yes: unused, it ends %s", when(pair.RefreshExpiresAt, now))
	}
	a.say("  tokens         %s", store.place())
}

// loginFor says how to log in to get a refresh token.
func loginFor(advice oauth.OfflineAccess, scopes []string) string {
	var flags []string
	if advice.Scope != "" {
		for _, scope := range append(slices.Clone(scopes), advice.Scope) {
			flags = append(flags, "--scope "+scope)
		}
	}
	if advice.Params != "" {
		for param := range strings.SplitSeq(advice.Params, "&") {
			flags = append(flags, "--auth-param "+param)
		}
	}
	if len(flags) == 0 {
		return "see in the server's documentation what asks for one: a scope (--scope), or a parameter such as --auth-param access_type=offline; --preset knows what some services want"
	}
	return "log in again with " + strings.Join(flags, " ")
}

// endOld ends the session that a login has replaced, now that the new one is
// saved. A failure is a warning: the login has worked. It reports whether the
// server has ended the new session too, as servers do that keep one grant for
// each person and client.
func (a *app) endOld(ctx context.Context, old *profile, replaced *tokenstore.Record, client *oauth.Client, pair *oauth.TokenPair) (both bool) {
	t := replaced.Tokens
	switch {
	case t == nil, replaced.Dead.On(t.RefreshToken):
		return false // there is nothing to end
	case t.AccessToken == pair.AccessToken, t.RefreshToken != "" && t.RefreshToken == pair.RefreshToken:
		return false // the server went on with the same session
	case old == nil, bindingOf(replaced) != "" && bindingOf(replaced) != old.binding():
		a.warn("evertoken: warning: the old session is no longer used here, but lives on at a server that the profile has forgotten")
		return false
	case old.RevocationURL == "":
		a.say("The old session lives on until it ends by itself: its server has no way to end it from here.")
		return false
	}
	// An access token that was never welcome there would tell nothing afterwards.
	before := rejected(ctx, client, pair)
	cfg, err := old.config()
	if err == nil {
		err = oauth.NewClient(cfg).Revoke(ctx, t)
	}
	if err != nil {
		a.warn("evertoken: warning: the old session could not be ended and lives on at the server: %s", plainText(err))
		return false
	}
	a.say("The old session was ended.")
	return !before && rejected(ctx, client, pair)
}

// rejected reports whether the server rejects the pair's access token when asked
// who has logged in; false also when it cannot be asked. To spend the refresh
// token instead would not do: at some servers that counts as reuse once it is
// revoked.
func rejected(ctx context.Context, client *oauth.Client, pair *oauth.TokenPair) bool {
	if cfg := client.Config(); cfg.Endpoints.Userinfo == "" || !isOpenID(pair, cfg.Scopes) {
		return false
	}
	_, err := client.Userinfo(ctx, pair)
	fail, ok := errors.AsType[*oauth.Error](err)
	return ok && fail.Status == http.StatusUnauthorized
}

// isOpenID reports whether a login that asked for scopes gave a pair that may ask
// who has logged in.
func isOpenID(pair *oauth.TokenPair, asked []string) bool {
	if pair.Scope != "" { // else it is what was asked for (RFC 6749 section 5.1)
		asked = pair.Scopes()
	}
	return pair.IDToken != "" || slices.Contains(asked, "openid")
}
