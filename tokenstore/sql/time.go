package sqlstore

import (
	"context"
	"time"
)

// Time implements [tokenstore.Timekeeper] by the database's clock. SQLite's is the
// host's.
func (s *Store) Time(ctx context.Context) (time.Time, error) {
	var now int64
	err := s.db.QueryRowContext(ctx, s.sql.time).Scan(&now)
	if err != nil {
		return time.Time{}, failed("tell the time", judge(ctx, err))
	}
	return time.UnixMilli(now), nil
}
