package session

import (
	"context"
	"errors"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
	"github.com/evertoken/evertoken/tokenstore"
)

// get reads the session's record. A panic in the Store is an error. Without a
// Store the record in memory is the one that is kept, and only the turn's holder
// may read it.
func (s *Session) get(ctx context.Context) (rec *tokenstore.Record, err error) {
	if s.cfg.Store == nil {
		if s.rec == nil {
			return nil, tokenstore.ErrNotFound
		}
		return s.rec.Clone(), nil
	}
	ctx, cancel := context.WithTimeout(ctx, schedule.StoreTimeout)
	defer cancel()
	err = failure.Guard("Store.Get", func() error {
		rec, err = s.cfg.Records.Get(ctx, s.name)
		return err
	})
	if err == nil && (rec == nil || rec.Tokens == nil) {
		return nil, errors.New("the Store returned a record without tokens")
	}
	return rec, err
}

// ReadStamp asks the Store for the record's stamp. It is not known if the Store has
// none, or cannot say. Safe for concurrent use.
func (c *Config) ReadStamp(ctx context.Context, name string) (stamp Stamp) {
	if c.Stamper == nil {
		return Stamp{}
	}
	ctx, cancel := context.WithTimeout(ctx, schedule.StoreTimeout)
	defer cancel()
	err := failure.Guard("Store.Stamp", func() (err error) {
		stamp.Value, err = c.Stamper.Stamp(ctx, name)
		return err
	})
	stamp.Known = err == nil
	return stamp
}

// set writes rec and, on success, gives it its new version. It outlives ctx's
// cancellation: what is to be saved must be. An empty session is not kept.
func (s *Session) set(ctx context.Context, rec *tokenstore.Record) error {
	if s.cfg.Store == nil {
		rec.Version++
		return nil
	}
	if isEmpty(rec) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), schedule.StoreTimeout)
	defer cancel()
	return failure.Guard("Store.Set", func() error {
		version, err := s.cfg.Records.Set(ctx, s.name, rec)
		if err == nil {
			rec.Version = version
		}
		return err
	})
}

// callTokenStore hands a copy of the pair to Config.TokenStore.
func (s *Session) callTokenStore(ctx context.Context, pair *oauth.TokenPair) error {
	if s.cfg.TokenStore == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), schedule.StoreTimeout)
	defer cancel()
	return failure.Guard("TokenStore", func() error { return s.cfg.TokenStore(ctx, pair.Clone()) })
}

// noLease stands in for stores that processes do not share.
type noLease struct{}

func (noLease) Err() error    { return nil }
func (noLease) Unlock() error { return nil }

// lease takes the session's lock, or goes on with the one that was kept. A
// manager that is stopping does not wait for it.
func (s *Session) lease(ctx context.Context, r Run) (lease tokenstore.Lease, err error) {
	if s.kept != nil {
		lease, s.kept = s.kept, nil
		if lease.Err() == nil {
			return lease, nil
		}
		_ = lease.Unlock()
	}
	if s.cfg.Locker == nil {
		return noLease{}, nil
	}
	life := r.Context()
	ctx, cancel := context.WithTimeout(ctx, s.cfg.MaxWait)
	defer cancel()
	defer context.AfterFunc(life, cancel)()
	if life.Err() != nil {
		cancel() // now, and not on a goroutine that may come late
	}
	r.Lend(func() {
		err = failure.Guard("Store.Lock", func() error {
			lease, err = s.cfg.Locker.Lock(ctx, s.name)
			return err
		})
	})
	switch {
	case s.alone(err):
		s.cfg.Logger.Warn("refreshing without the session's lock", "session", s.name, "error", err)
		s.host.Emit(Event{Kind: EventUnlocked, Err: err})
		return noLease{}, nil
	case err == nil && lease == nil:
		err = errors.New("the Store returned no lease")
	}
	return lease, err
}

// endLease releases a lease, or keeps it as long as the Store holds a refresh
// token that is spent: no other process may take that for good.
func (s *Session) endLease(lease tokenstore.Lease) {
	if s.unsaved.store {
		s.kept = lease
		return
	}
	if err := failure.Guard("Lease.Unlock", lease.Unlock); err != nil {
		s.cfg.Logger.Warn("lock not released", "session", s.name, "error", err)
	}
}

// releaseKept gives up the lease that was kept.
func (s *Session) releaseKept() {
	if lease := s.kept; lease != nil {
		s.kept = nil
		_ = failure.Guard("Lease.Unlock", lease.Unlock)
	}
}
