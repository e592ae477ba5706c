package redisstore

import (
	"context"
	"time"
)

// Time implements [tokenstore.Timekeeper] by the clock of Redis: in a Cluster, that of
// one of its nodes.
func (s *Store) Time(ctx context.Context) (time.Time, error) {
	now, err := s.now(ctx)
	return now, failed("tell the time", err)
}

func (s *Store) now(ctx context.Context) (time.Time, error) {
	return call(ctx, func(ctx context.Context) (time.Time, error) { return s.client.Time(ctx).Result() })
}
