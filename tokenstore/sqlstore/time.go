package sqlstore

import (
	"context"
	"time"
)

// Time implements [tokenstore.Timekeeper] by the database's clock. SQLite's is the
// host's.
func (s *Store) Time(ctx context.Context) (time.Time, error) {
	now, err := s.now(ctx)
	return now, failed("tell the time", err)
}

func (s *Store) now(ctx context.Context) (time.Time, error) {
	var now int64
	if err := s.queryRow(ctx, s.sql.time, nil, &now); err != nil {
		return time.Time{}, judge(ctx, err)
	}
	return time.UnixMilli(now), nil
}
