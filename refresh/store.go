package refresh

import (
	"context"
	"errors"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/tokenstore"
)

// storeTimeout bounds a single call of a store. A disk that takes longer is not
// going to answer, and callers are waiting.
const storeTimeout = 10 * time.Second

// get reads the session's record. A panic in the Store is an error. Without a
// Store the record in memory is the one that is kept, and only the turn's holder
// may read it.
func (m *managed) get(ctx context.Context) (rec *tokenstore.Record, err error) {
	if m.cfg.Store == nil {
		if m.rec == nil {
			return nil, tokenstore.ErrNotFound
		}
		return m.rec.Clone(), nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err = failure.Guard("Store.Get", func() error {
		rec, err = m.cfg.records.Get(ctx, m.session)
		return err
	})
	if err == nil && (rec == nil || rec.Tokens == nil) {
		return nil, errors.New("the Store returned a record without tokens")
	}
	return rec, err
}

// readStamp asks the Store for the record's stamp. It is not known if the Store has
// none, or cannot say.
func (m *Manager) readStamp(ctx context.Context) (s stamp) {
	if m.cfg.stamper == nil {
		return stamp{}
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err := failure.Guard("Store.Stamp", func() (err error) {
		s.value, err = m.cfg.stamper.Stamp(ctx, m.session)
		return err
	})
	s.known = err == nil
	return s
}

// set writes rec and, on success, gives it its new version. It outlives ctx's
// cancellation: what is to be saved must be. An empty session is not kept.
func (m *Manager) set(ctx context.Context, rec *tokenstore.Record) error {
	if m.cfg.Store == nil {
		rec.Version++
		return nil
	}
	if isEmpty(rec) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	return failure.Guard("Store.Set", func() error {
		version, err := m.cfg.records.Set(ctx, m.session, rec)
		if err == nil {
			rec.Version = version
		}
		return err
	})
}

// callTokenStore hands a copy of the pair to Config.TokenStore.
func (m *Manager) callTokenStore(ctx context.Context, pair *oauth.TokenPair) error {
	if m.cfg.TokenStore == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	return failure.Guard("TokenStore", func() error { return m.cfg.TokenStore(ctx, pair.Clone()) })
}

// noLease stands in for stores that nobody shares.
type noLease struct{}

func (noLease) Err() error    { return nil }
func (noLease) Unlock() error { return nil }

// lease takes the session's lock, or goes on with the one that was kept. A
// manager that is stopping does not wait for it.
func (m *managed) lease(ctx context.Context, r *run) (lease tokenstore.Lease, err error) {
	if m.kept != nil {
		lease, m.kept = m.kept, nil
		if lease.Err() == nil {
			return lease, nil
		}
		_ = lease.Unlock()
	}
	if m.cfg.locker == nil {
		return noLease{}, nil
	}
	life := r.context()
	ctx, cancel := context.WithTimeout(ctx, m.cfg.MaxWait)
	defer cancel()
	defer context.AfterFunc(life, cancel)()
	if life.Err() != nil {
		cancel() // now, and not on a goroutine that may come late
	}
	r.queue.Workers().Lend(func() {
		err = failure.Guard("Store.Lock", func() error {
			lease, err = m.cfg.locker.Lock(ctx, m.session)
			return err
		})
	})
	switch {
	case m.alone(err):
		m.cfg.Logger.Warn("refreshing without the session's lock", "session", m.session, "error", err)
		m.emit(Event{Kind: EventUnlocked, Err: err})
		return noLease{}, nil
	case err == nil && lease == nil:
		err = errors.New("the Store returned no lease")
	}
	return lease, err
}

// endLease releases a lease, or keeps it as long as the Store holds a refresh
// token that is spent: nobody else may take that for good.
func (m *managed) endLease(lease tokenstore.Lease) {
	if m.unsaved.store {
		m.kept = lease
		return
	}
	if err := failure.Guard("Lease.Unlock", lease.Unlock); err != nil {
		m.cfg.Logger.Warn("lock not released", "session", m.session, "error", err)
	}
}

// releaseKept gives up the lease that was kept.
func (m *managed) releaseKept() {
	if lease := m.kept; lease != nil {
		m.kept = nil
		_ = failure.Guard("Lease.Unlock", lease.Unlock)
	}
}
