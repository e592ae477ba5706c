package refresh

import (
	"context"
	"errors"
	"time"

	"github.com/evertoken/evertoken/tokenstore"
)

// What a server asked of one process, to be left alone for a while, holds for all
// that share the Store. It is kept there in a record of its own, without tokens
// (tokenstore.ServerRecord).

// heedEvery is how old what the Store says about a server may be.
const heedEvery = time.Second

// heedNotice reads what other processes have left about the server.
func (m *managed) heedNotice(ctx context.Context) {
	srv := m.cfg.server
	if m.cfg.locker == nil || srv.name == "" {
		return // nobody shares the Store, or the server has no name
	}
	now := m.now()
	srv.mu.Lock()
	fresh := srv.sessions <= 1 || !srv.heeded.IsZero() && remaining(now, srv.heeded.Add(heedEvery)) > 0
	if !fresh {
		srv.heeded = now
	}
	srv.mu.Unlock()
	if fresh {
		return
	}
	if rec := m.notice(ctx); rec != nil {
		srv.heed(rec.NotBefore, now)
	}
}

// notice returns the server's record, or nil.
func (m *managed) notice(ctx context.Context) (rec *tokenstore.Record) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err := guard("Store.Get", func() (err error) {
		rec, err = m.cfg.Store.Get(ctx, tokenstore.ServerRecord(m.cfg.server.name))
		return err
	})
	if err != nil {
		return nil
	}
	return rec
}

// postNotice tells other processes until when the server wants to be left alone. It
// is advice: what cannot be written is found out by each for itself.
func (m *managed) postNotice(ctx context.Context, until time.Time) {
	if m.cfg.locker == nil || m.cfg.server.name == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	for range 3 {
		rec := m.notice(ctx)
		switch {
		case rec == nil:
			rec = new(tokenstore.Record)
		case !until.After(rec.NotBefore):
			return
		}
		rec.NotBefore = until.Round(0).UTC()
		err := guard("Store.Set", func() error {
			_, err := m.cfg.Store.Set(ctx, tokenstore.ServerRecord(m.cfg.server.name), rec)
			return err
		})
		if !errors.Is(err, tokenstore.ErrConflict) {
			return
		}
	}
}
