package refresh

import (
	"context"
	"sync"

	"github.com/evertoken/evertoken/tokenstore"
)

// A privateStore stands in for Config.Store when there is none: one record, in
// memory, for one manager. Unlike tokenstore.Memory it encodes nothing, since
// nobody else looks, and has no locks.
type privateStore struct {
	mu      sync.Mutex // guards the fields below
	rec     *tokenstore.Record
	version uint64
}

func (p *privateStore) Get(context.Context, string) (*tokenstore.Record, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rec == nil {
		return nil, tokenstore.ErrNotFound
	}
	return p.rec.Clone(), nil
}

func (p *privateStore) Set(_ context.Context, _ string, rec *tokenstore.Record) (uint64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if rec.Version != p.version {
		return 0, tokenstore.ErrConflict
	}
	p.version++
	p.rec = rec.Clone()
	p.rec.Version = p.version
	return p.version, nil
}

func (p *privateStore) Delete(context.Context, string, uint64) error {
	return tokenstore.ErrNotFound // a manager does not delete
}
