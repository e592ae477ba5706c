package teststore

import (
	"context"
	"errors"

	"github.com/evertoken/evertoken/tokenstore"
)

// A Lockable is a store whose locks and spends are tried.
type Lockable interface {
	tokenstore.Store
	tokenstore.Locker
	tokenstore.Spender
}

// LockOnce takes the lock of the session "default", and gives it back.
func LockOnce(ctx context.Context, s Lockable) error {
	lease, err := s.Lock(ctx, "default")
	if err != nil {
		return err
	}
	return lease.Unlock()
}

// SpendOnce announces a spend of the session "default", and saves what was there before as what
// came of it.
func SpendOnce(ctx context.Context, s Lockable) error {
	rec, err := s.Get(ctx, "default")
	if err != nil {
		return err
	}
	spending, version, err := s.BeginSpend(ctx, s, "default", rec, false)
	if err != nil {
		return err
	}
	rec.Version = version
	_, err = spending.Settle(ctx, rec)
	return errors.Join(err, spending.Unlock())
}
