package main

import (
	"context"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// countLost looks for sessions that the server has ended, and for those that no process
// can go on with: the engine holds a refresh token that was exchanged. If its successor was
// never saved, the last process to spend it has ended before it had an answer, and the
// next one that starts must be able to ask for that again.
func (f *run) countLost(ctx context.Context, r *row) error {
	s, closeStore, err := openStore(f.kind, f.engine.addr, f.size.lease)
	if err != nil {
		return err
	}
	defer closeStore()
	lost := func(format string, args ...any) {
		r.Lost++
		r.broken(format, args...)
	}
	for _, name := range f.names {
		if f.authority.Sessions(name) == 0 {
			lost("the server has ended session %s", name)
			continue
		}
		rec, err := s.Get(ctx, name)
		if err != nil {
			lost("session %s is not in the engine: %v", name, err)
			continue
		}
		exchanged, saved := f.authority.ledger.spent(hashOf(rec.Tokens.RefreshToken))
		if saved {
			lost("the engine holds a refresh token of session %s whose successor was saved", name)
		} else if exchanged {
			if err := f.goOn(ctx, s, name); err != nil {
				lost("no process can go on with session %s: %v", name, err)
			}
		}
	}
	return nil
}

// goOn renews a session as the next process would that is started.
func (f *run) goOn(ctx context.Context, s tokenstore.Store, name string) error {
	m := refresh.NewManager(refresh.Config{OAuthClient: oauth.NewClient(f.authority.OAuthConfig()), Store: s, Session: name})
	if err := m.Start(ctx, nil); err != nil {
		return err
	}
	defer m.Stop()
	return m.ForceRefresh(ctx)
}
