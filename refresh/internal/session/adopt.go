package session

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/evertoken/evertoken/internal/chance"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
	"github.com/evertoken/evertoken/refresh/internal/snapshot"
	"github.com/evertoken/evertoken/tokenstore"
)

// lookIfChanged is look, if the Store does not say that there is nothing new. seen is
// what it has just said; nil if it was not asked.
func (s *Session) lookIfChanged(ctx context.Context, seen *Stamp) error {
	var current Stamp
	if seen != nil {
		current = *seen
	} else {
		current = s.cfg.ReadStamp(ctx, s.name) // first: what is written meanwhile is news then
	}
	if current.Known && s.rec != nil && (current == s.stamp || current.Value == s.rec.Version) { // some stamps are versions
		s.stamp = current
		return nil
	}
	err := s.look(ctx)
	if s.stamp = current; err != nil {
		s.stamp = Stamp{}
	}
	return err
}

// look reads the Store and takes over what other writers have changed there: a
// newer pair, marks, a logout.
func (s *Session) look(ctx context.Context) error {
	if s.cfg.Store == nil {
		return nil // no other process knows the session
	}
	stored, err := s.get(ctx)
	switch {
	case errors.Is(err, tokenstore.ErrNotFound):
		if s.rec != nil && s.rec.Version != 0 {
			s.loggedOut()
		}
		return nil
	case errors.Is(err, tokenstore.ErrDamaged) && s.rec != nil && !s.cfg.Follower:
		// Moved aside, or lost. What we hold is good: write it anew.
		s.gone()
		s.rec.Version = 0
		s.unsaved.store = true
		return nil
	case err != nil:
		return err
	}
	s.take(stored)
	return nil
}

// take makes a record from the Store the session's state, unless it is older
// than what we hold.
func (s *Session) take(stored *tokenstore.Record) {
	switch mine := s.rec; {
	case mine != nil && !differs(mine.Tokens, stored.Tokens):
		s.rec, s.held = stored, 0
		if s.account == nil {
			s.account = stored.Tokens
		}
		if s.cur.Load() != nil && !stored.Tokens.ExpiresAt.Equal(mine.Tokens.ExpiresAt) {
			s.show(stored.Tokens) // this host's clock was set, and the Store's was not
		}
		s.storeSaved()
		s.wentBack()
		if s.displaced() { // and is back
			s.setHealth(func(h *Health) { *h = Health{State: StateValid, Renewed: stored.RefreshedAt} })
		}
	case !s.account.SameAccount(stored.Tokens) && !s.unsaved.login:
		s.displace()
		return
	case mine != nil && !s.cfg.Follower && s.outdated(stored):
		s.gone()
		s.writeOver(stored)
		s.unsaved.store = true
		return
	default:
		if mine == nil || !stored.Descends(mine.Tokens.RefreshToken) {
			s.forgetResources() // another login
			s.distrust.Store(nil)
		}
		before := s.state.Load()
		s.noteReplaced(stored)
		s.rec, s.held = stored, 0
		s.wentBack()
		s.unsaved = unsaved{}
		s.publish(stored.Tokens)
		s.releaseKept()
		s.setHealth(func(h *Health) { *h = Health{State: StateValid, Renewed: stored.RefreshedAt} })
		if s.cfg.renewedBefore(stored) {
			s.cfg.Gate.HearOfRenewal(s.cfg.ConfigID, s.now().At(stored.RefreshedAt))
		}
		if mine != nil {
			s.host.Emit(Event{Kind: EventAdopted})
			s.lifted(before)
		}
	}
	if s.cfg.endedBy(stored) && !s.state.Load().Ended() {
		s.declareDead(toldDead(stored))
	}
}

// outdated reports whether stored is to be replaced by what we hold: it is an
// earlier state of our session, because we could not save the later one yet or
// because an old copy was put back; or ours is a new login, not yet saved.
func (s *Session) outdated(stored *tokenstore.Record) bool {
	mine, now := s.rec, s.now().Wall()
	if s.unsaved.login {
		return newLogin(stored, mine.Tokens, now) || tookPlace(mine, stored) && !isStateOf(stored, mine.Tokens)
	}
	before := stored.Tokens.IssuedAt.Before(mine.Tokens.IssuedAt)
	lower := stored.Version < max(mine.Version, s.held)
	older, newer := mine.Descends(stored.Tokens.RefreshToken), stored.Descends(mine.Tokens.RefreshToken)
	switch {
	case older && newer: // of a server that gives a refresh token again
		return lower || before && !mine.Tokens.IssuedAt.After(now)
	case older:
		return true
	case newer:
		return false // whatever its version: an old copy may have been written over since
	case stored.Tokens.RefreshToken == mine.Tokens.RefreshToken:
		// A server without rotation: the refresh tokens do not tell. Versions do, if
		// ours was saved; clocks need not, as they can be set back.
		if s.unsaved.store && s.held == 0 {
			return before
		}
		return lower
	case sameLogin(stored, mine):
		// Further apart than ancestors are remembered. A stale process may have written a
		// mark on an old copy, so a higher version tells less than when it was issued.
		return lower || before && !mine.Tokens.IssuedAt.After(now)
	case stored.Version >= derivedVersion:
		return false
	}
	// Another login, earlier than ours unless it is one whose version was counted by a
	// clock that is behind.
	return lower && !stored.Tokens.IssuedAt.After(mine.Tokens.IssuedAt)
}

// derivedVersion is the least of the versions that a record has which another program wrote
// without one: they are derived from its content, and say nothing about the order.
const derivedVersion = 1 << 52

// sameLogin reports whether two records descend from one login, which the first of
// their ancestors tells.
func sameLogin(a, b *tokenstore.Record) bool {
	first := firstToken(a)
	return first != "" && first == firstToken(b)
}

// firstToken returns the fingerprint of the refresh token that a session began with, as
// far as its record knows.
func firstToken(rec *tokenstore.Record) string {
	if len(rec.Ancestors) > 0 {
		return rec.Ancestors[0]
	}
	return tokenstore.Fingerprint(rec.Tokens.RefreshToken)
}

// writeOver makes the next save replace stored: an old state of the session by what
// we hold, or by our new login.
func (s *Session) writeOver(stored *tokenstore.Record) {
	s.held = max(s.held, s.rec.Version)
	if s.rec.Version = stored.Version; s.unsaved.login {
		takePlace(s.rec, stored)
	}
}

// displace ends the session because the Store holds one of another account now,
// which the manager was not asked to work for. The token it has lives on; its
// refresh token is left alone, since other processes that have it cannot be asked any more.
func (s *Session) displace() {
	if s.displaced() {
		return
	}
	s.unsaved = unsaved{}
	s.releaseKept()
	s.setHealth(func(h *Health) {
		*h = Health{State: StateLoginRequired, Err: failure.LoginRequired(ErrOtherAccount), Renewed: h.Renewed}
	})
	s.host.Emit(Event{Kind: EventOtherAccount, Err: ErrOtherAccount})
}

func (s *Session) displaced() bool { return errors.Is(s.state.Load().Err, ErrOtherAccount) }

// loggedOut ends the session because it was removed from the Store. What we
// hold is not written back: a logout must stay one.
func (s *Session) loggedOut() {
	s.rec, s.held = nil, 0
	s.unsaved = unsaved{}
	s.releaseKept()
	s.forgetResources()
	s.cur.Store(nil)
	s.setHealth(func(h *Health) { *h = Health{State: StateLoggedOut, Err: failure.LoginRequired(ErrLoggedOut)} })
	s.host.Emit(Event{Kind: EventLoggedOut})
}

// publish shows a pair with a new access token to readers.
func (s *Session) publish(pair *oauth.TokenPair) {
	s.generation++
	t := s.cfg.timing(pair)
	s.cfg.Gate.Expect(t.Due(), s.now().Wall())
	s.show(pair)
}

// show shows a pair to readers. Without publish it has the same access token as
// the one before.
func (s *Session) show(pair *oauth.TokenPair) {
	next := snapshot.New(pair, s.timing(pair), s.generation, s.now())
	if before := s.cur.Load(); next.Same(before) {
		next.EndsBy(before.Ends())
		if sameGrant(before.Pair, pair) && before.Pair.RefreshExpiresAt.Equal(pair.RefreshExpiresAt) {
			next.SeenAt(before.Seen())
		}
	}
	s.cur.Store(next)
	s.account = pair
}

func (s *Session) timing(pair *oauth.TokenPair) schedule.Timing {
	t := s.cfg.timing(pair)
	t.Crowded = s.cfg.Gate.Crowded(t.Due(), t.Lead()/2)
	t.Jitter = chance.Of(s.cfg.Clock, s.name, schedule.JitterOf)
	t.Crowd, t.Latency = s.cfg.Gate.Pace()
	return t
}

// publishResource shows a resource's new token. The caller has the turn.
func (s *Session) publishResource(resource string, pair *oauth.TokenPair) {
	t := s.timing(pair)
	t.Idle, t.RefreshExpires = 0, pair.ExpiresAt // the session looks after the refresh token
	s.generation++
	s.Cell(resource).Store(snapshot.New(pair, t, s.generation, s.now()))
}

// newLogin reports whether tokens are a login that stored does not know of, and
// not an earlier state of the same session.
func newLogin(stored *tokenstore.Record, tokens *oauth.TokenPair, now time.Time) bool {
	switch {
	case isStateOf(stored, tokens):
		return false
	case sameGrant(stored.Tokens, tokens):
		return true
	}
	issued := stored.Tokens.IssuedAt
	future := issued.After(now) // by a clock that was set back since: it proves nothing
	if slices.Contains(stored.Replaced, nameOf(tokens)) {
		// The seed of a login before, unless that login is known to have been made anew.
		return !issued.IsZero() && !future && tokens.IssuedAt.After(issued)
	}
	return future || tokens.IssuedAt.IsZero() || !issued.After(tokens.IssuedAt)
}

// maxReplaced bounds Record.Replaced: the last eight logins, of which the first is kept for
// good, for a program that starts with the same seed every time.
const maxReplaced = 16

// takePlace has rec, a new login, replace old in the Store, and remember what it replaces.
func takePlace(rec, old *tokenstore.Record) {
	rec.Version, rec.Unknown = old.Version, old.Unknown
	replaced := slices.Clone(old.Replaced)
	for _, name := range append(slices.Clone(rec.Replaced), firstToken(old), nameOf(old.Tokens)) {
		if name != "" && !slices.Contains(replaced, name) {
			replaced = append(replaced, name)
		}
	}
	own := nameOf(rec.Tokens) // a server that does not rotate gives it again
	replaced = slices.DeleteFunc(replaced, func(name string) bool { return name == own })
	if n := len(replaced); n > maxReplaced {
		replaced = slices.Delete(replaced, 1, 1+n-maxReplaced)
	}
	rec.Replaced = replaced
}

// tookPlace reports whether a login is known to have replaced the one that old is a state of.
func tookPlace(login, old *tokenstore.Record) bool {
	return slices.Contains(login.Replaced, nameOf(old.Tokens)) || slices.Contains(login.Replaced, firstToken(old))
}

// nameOf returns what Record.Replaced has of a pair.
func nameOf(pair *oauth.TokenPair) string {
	return tokenstore.Fingerprint(cmp.Or(pair.RefreshToken, pair.AccessToken))
}

// isStateOf reports whether tokens are stored's, or, by their refresh token, an earlier state of
// the same session.
func isStateOf(stored *tokenstore.Record, tokens *oauth.TokenPair) bool {
	return stored.Descends(tokens.RefreshToken) || !differs(stored.Tokens, tokens) ||
		sameGrant(stored.Tokens, tokens) && !issuedLater(tokens, stored.Tokens)
}

// issuedLater reports whether a was issued after b, or, where a does not tell, ends no earlier, as what
// a login with more scope brings at a server that does not rotate.
func issuedLater(a, b *oauth.TokenPair) bool {
	if !a.IssuedAt.IsZero() {
		return a.IssuedAt.After(b.IssuedAt)
	}
	return !b.ExpiresAt.IsZero() && !a.ExpiresAt.Before(b.ExpiresAt)
}

// sameGrant reports whether two pairs have one refresh token.
func sameGrant(a, b *oauth.TokenPair) bool {
	return a.RefreshToken != "" && a.RefreshToken == b.RefreshToken
}

// differs reports whether two pairs are not the same one.
func differs(a, b *oauth.TokenPair) bool {
	return a.AccessToken != b.AccessToken || a.RefreshToken != b.RefreshToken
}
