package connect

import (
	"context"
	"errors"
	"fmt"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

// Logout ends the API's session, stored or running: at the authorization server, if that
// revokes tokens (RFC 7009), and then in the Store. The registration of the client stays, for
// the next login. An error that matches [tokenstore.ErrNotFound] means that there is no
// session, one that matches [oauth.ErrNotRevoked] that it is gone here and ends at the server
// by itself. With any other error nothing is deleted: see refresh.Manager.Logout.
//
// Other processes notice within their check interval, and ask for a login when the API
// refuses their next request.
func (s *Session) Logout(ctx context.Context) error {
	l, k, err := s.ending(ctx)
	if err != nil {
		return err
	}
	if _, err := s.store().Get(ctx, l.session); errors.Is(err, tokenstore.ErrNotFound) {
		return fmt.Errorf("connect: %w", err)
	}
	if err = l.manager.Logout(ctx); err != nil && !errors.Is(err, oauth.ErrNotRevoked) {
		return err
	}
	if gone := s.remove(context.WithoutCancel(ctx), k.name); gone != nil {
		return gone
	}
	return err
}

// Forget deletes the API's session from the Store, and tells the server nothing: for a server
// that is gone. Where it is not, the session lives on there until it ends by itself. An error
// that matches [tokenstore.ErrNotFound] means that there is no session.
//
// It also deletes what the Store keeps for the session and cannot open
// ([tokenstore.ErrSealed]), if the Store is a [tokenstore.Discarder]: the session, where it is,
// the login under way, and the client, which the program's other sessions at the server have
// too. Where the session is may be what cannot be opened. If a call still fails with ErrSealed
// after Forget, call Forget once more on the same Session, which has found that out by then.
func (s *Session) Forget(ctx context.Context) error {
	name := placeRecord(s.cfg.URL, s.cfg.Account)
	k, err := load[place](ctx, s.store(), name)
	shut := errors.Is(err, tokenstore.ErrSealed)
	if err != nil && !shut {
		return err
	}
	p := s.whereabouts(k.value)
	if p.Session == "" {
		if shut {
			return s.remove(ctx, name)
		}
		return fmt.Errorf("connect: no session: %w", tokenstore.ErrNotFound)
	}
	unlock, err := s.lock(ctx, p.Session) // or a renewal brings it back
	if err != nil {
		return err
	}
	defer unlock()
	ctx = context.WithoutCancel(ctx)
	if err := s.discard(ctx, loginRecord(p.Session), clientRecord(p.issuer())); err != nil {
		return err
	}
	if err := s.remove(ctx, p.Session); err != nil {
		return err
	}
	if err := s.remove(ctx, name); err != nil {
		return err
	}
	s.mu.Lock()
	s.found = place{}
	s.mu.Unlock()
	return nil
}

// whereabouts returns where the session is: the running one, or the one at the place that was
// kept, or else the one that a call has found and could not open.
func (s *Session) whereabouts(kept place) place {
	if l := s.cur.Load(); l != nil {
		return place{Session: l.session, Issuer: l.issuer}
	}
	if kept.Session != "" {
		return kept
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.found
}

// discard deletes those of the records that cannot be opened.
func (s *Session) discard(ctx context.Context, names ...string) error {
	d, is := s.store().(tokenstore.Discarder)
	if !is {
		return nil
	}
	for _, name := range names {
		err := d.Discard(ctx, name)
		if err != nil && !errors.Is(err, tokenstore.ErrNotFound) && !errors.Is(err, tokenstore.ErrConflict) {
			return fmt.Errorf("connect: %w", err)
		}
	}
	return nil
}

// ending returns the login that is to be ended, and where the next process would look for it.
func (s *Session) ending(ctx context.Context) (*login, kept[place], error) {
	k, err := load[place](ctx, s.store(), placeRecord(s.cfg.URL, s.cfg.Account))
	if err != nil {
		return nil, k, err
	}
	if l := s.cur.Load(); l != nil {
		return l, k, nil
	}
	p := k.value
	if p.Session == "" {
		return nil, k, fmt.Errorf("connect: no session: %w", tokenstore.ErrNotFound)
	}
	l, err := s.stored(ctx, p)
	if l == nil && err == nil { // it is that of another client, which may need no secret
		cfg := p.config(s.cfg.OAuth)
		cfg.ClientID = p.ClientID
		l = s.newLogin(p.Resource, program{issuer: p.issuer(), client: oauth.NewClient(cfg)}, nil)
	}
	return l, k, err
}

// remove deletes a record, also one that cannot be opened, whatever other processes have
// written meanwhile.
func (s *Session) remove(ctx context.Context, name string) error {
	for {
		rec, err := s.store().Get(ctx, name)
		if err == nil {
			err = s.store().Delete(ctx, name, rec.Version)
		} else if d, is := s.store().(tokenstore.Discarder); is && errors.Is(err, tokenstore.ErrSealed) {
			err = d.Discard(ctx, name)
		}
		switch {
		case err == nil, errors.Is(err, tokenstore.ErrNotFound):
			return nil
		case !errors.Is(err, tokenstore.ErrConflict):
			return fmt.Errorf("connect: %w", err)
		}
	}
}
