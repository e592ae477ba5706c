package redisstore

import (
	"context"
	"errors"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/evertoken/evertoken/internal/storeerr"
	"github.com/evertoken/evertoken/tokenstore"
)

// Redis loses data: it restarts without persistence, evicts keys, or a replica takes
// over that was behind. To a caller, a lost session looks like one that a person
// has logged out of, and must not be taken for one: its holder would drop a good pair.
// So every Delete leaves a tombstone, and a Store remembers which sessions it has
// seen. A session that was seen, and is gone without a tombstone, is lost.

// saw notes that the session was there with the given version.
func (s *Store) saw(name string, version uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[name] = version
}

// nextVersion returns the least version of a record to be written: one of its time,
// and beyond what was seen, as the random part of a version may be less than that of
// one from the same second that Redis has lost. Beyond storeerr.MaxVersion there is none.
func (s *Store) nextVersion(name string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := tokenstore.NextVersion(0)
	if seen := s.seen[name]; seen < storeerr.MaxVersion {
		next = max(next, seen+1)
	}
	return next
}

func (s *Store) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.seen, name)
}

// absent says why there is no record: ErrNotFound, or errLost. It is asked after the
// record was: tombstones stay when a session is created again, so none is missed.
func (s *Store) absent(ctx context.Context, name string) error {
	s.mu.Lock()
	seen := s.seen[name]
	s.mu.Unlock()
	if seen == 0 {
		return tokenstore.ErrNotFound
	}
	text, err := call(ctx, func(ctx context.Context) (string, error) {
		return s.client.HGet(ctx, s.tombKey(name), "v").Result()
	})
	if err != nil && err != redis.Nil && !errors.Is(err, tokenstore.ErrDamaged) {
		return err
	}
	if deleted, _ := strconv.ParseUint(text, 10, 64); deleted < seen {
		return errLost
	}
	s.forget(name)
	return tokenstore.ErrNotFound
}
