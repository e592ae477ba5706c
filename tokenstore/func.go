package tokenstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/evertoken/evertoken/oauth"
)

// maxSaves bounds how often a function of Func starts over because another
// writer changed the session. Each time, the other's save has succeeded; more than a
// few in a row mean that writers ignore the lock.
const maxSaves = 16

// Func returns a function that saves token pairs under name in store. It is a
// refresh.TokenStoreFunc, so that any store can serve where a callback is
// wanted. A manager given the store itself does more: it also reads, locks, and
// notices what other processes do.
//
// The function creates the session, or supersedes its pair and keeps the rest
// of the record ([Record.Supersede]). If the given pair has no refresh token,
// the stored one is kept, unless the server has declared it dead; delete the
// session first to put another login in its place. The pair is not modified and
// not kept.
//
// An older pair never overwrites a newer one: the function fails with
// [ErrConflict] if the stored pair is known to have been issued later, or to
// descend from the given refresh token. If another writer changes the session
// meanwhile, it judges anew. Other errors are the store's.
//
// The function is safe for concurrent use.
func Func(store Store, name string) func(context.Context, *oauth.TokenPair) error {
	return func(ctx context.Context, tokens *oauth.TokenPair) error {
		if tokens == nil {
			return failed("save", name, errNoRecord)
		}
		for range maxSaves {
			err := supersede(ctx, store, name, tokens)
			if !errors.Is(err, ErrConflict) || errors.Is(err, errOlder) {
				return err
			}
		}
		return failed("save", name, fmt.Errorf("%w, %d times in a row", ErrConflict, maxSaves))
	}
}

// errOlder marks a conflict that trying again cannot resolve.
var errOlder = errors.New("the stored pair is newer than the one to be saved")

func supersede(ctx context.Context, store Store, name string, tokens *oauth.TokenPair) error {
	rec, err := store.Get(ctx, name)
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrDamaged) {
		rec, err = new(Record), nil // what was damaged has been moved aside
	}
	if err != nil {
		return err
	}
	if newer(rec, tokens) {
		return failed("save", name, fmt.Errorf("%w: %w", ErrConflict, errOlder))
	}
	next := tokens.Clone()
	if old := rec.Tokens; next.RefreshToken == "" && old != nil && !rec.Condemned("") {
		next.RefreshToken, next.RefreshExpiresAt = old.RefreshToken, old.RefreshExpiresAt
	}
	rec.Supersede(next)
	_, err = store.Set(ctx, name, rec)
	return err
}

// newer reports whether the record's pair is known to be newer than tokens.
// Descent counts more than the time of issue: an answer that took long may
// carry an access token issued later, and a refresh token already replaced.
func newer(rec *Record, tokens *oauth.TokenPair) bool {
	old := rec.Tokens
	if old == nil {
		return false
	}
	if rec.Descends(tokens.RefreshToken) && tokens.RefreshToken != old.RefreshToken {
		return true
	}
	return !old.IssuedAt.IsZero() && !tokens.IssuedAt.IsZero() && tokens.IssuedAt.Before(old.IssuedAt)
}
