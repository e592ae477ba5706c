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
func (s *Session) Forget(ctx context.Context) error {
	l, k, err := s.ending(ctx)
	if err != nil {
		return err
	}
	unlock, err := s.lock(ctx, l.session) // or a renewal brings it back
	if err != nil {
		return err
	}
	defer unlock()
	ctx = context.WithoutCancel(ctx)
	if err := s.remove(ctx, l.session); err != nil {
		return err
	}
	return s.remove(ctx, k.name)
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

// remove deletes a record, whatever other processes have written meanwhile.
func (s *Session) remove(ctx context.Context, name string) error {
	for {
		rec, err := s.store().Get(ctx, name)
		if err == nil {
			err = s.store().Delete(ctx, name, rec.Version)
		}
		switch {
		case err == nil, errors.Is(err, tokenstore.ErrNotFound):
			return nil
		case !errors.Is(err, tokenstore.ErrConflict):
			return fmt.Errorf("connect: %w", err)
		}
	}
}
