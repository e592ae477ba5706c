package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/evertoken/evertoken/internal/storeerr"
	"github.com/evertoken/evertoken/tokenstore"
)

// Names implements [tokenstore.Lister]. It leaves out rows of other programs whose names are
// none ([tokenstore.CheckName]), as Pages and Cleanup do.
func (s *Store) Names(ctx context.Context) ([]string, error) {
	names, err := s.names(ctx, s.sql.names)
	return slices.DeleteFunc(names, noName), failed("list sessions", err)
}

// Records implements [tokenstore.RecordLister].
func (s *Store) Records(ctx context.Context) ([]string, error) {
	names, err := s.names(ctx, s.sql.records)
	return slices.DeleteFunc(names, noName), failed("list records", err)
}

// noName reports whether no session can have the name.
func noName(name string) bool { return tokenstore.CheckName(name) != nil }

// Pages implements [tokenstore.Pager]. Each page is a statement of its own, a short walk
// along the primary key wherever it begins: no cursor and no transaction is held meanwhile.
func (s *Store) Pages(ctx context.Context, size int) iter.Seq2[[]tokenstore.Entry, error] {
	size = max(size, 1)
	return func(yield func([]tokenstore.Entry, error) bool) {
		for after := ""; ; {
			found, err := s.page(ctx, after, size)
			if err != nil {
				yield(nil, failed("read sessions", err))
				return
			}
			if len(found) == 0 || found[len(found)-1].Name == after { // the database repeats itself
				return
			}
			full := len(found) == size
			after = found[len(found)-1].Name
			page := slices.DeleteFunc(found, func(e tokenstore.Entry) bool { return noName(e.Name) })
			if len(page) > 0 && !yield(page, nil) || !full {
				return
			}
		}
	}
}

// page returns the first rows whose names come after the given one.
func (s *Store) page(ctx context.Context, after string, size int) (page []tokenstore.Entry, err error) {
	err = s.query(ctx, s.sql.page, []any{after, size}, func() { page = nil }, func(rows *sql.Rows) error {
		var name string
		var found storedVersion
		var data []byte
		if err := rows.Scan(&name, &found, &data); err != nil {
			return err
		}
		e := tokenstore.Entry{Name: name}
		e.Stamp, _ = storeerr.ParseVersion(found.String) // none: the next look tells
		if rec, err := decode(found, data); err == nil {
			e.Record = rec
		}
		page = append(page, e)
		return nil
	})
	return page, err
}

// Count implements [tokenstore.Lister].
func (s *Store) Count(ctx context.Context) (int, error) {
	var n int
	err := s.queryRow(ctx, s.sql.count, nil, &n)
	return n, failed("count sessions", judge(ctx, err))
}

// cleanupPage is how many names Cleanup holds in memory at a time.
const cleanupPage = 500

// Cleanup implements [tokenstore.Lister]. It looks at those sessions only that an
// index says are spent. It also removes what locks of killed processes have left.
func (s *Store) Cleanup(ctx context.Context) (removed int, err error) {
	now, err := s.now(ctx)
	if err != nil {
		return 0, failed("clean up", err)
	}
	for after := ""; ; {
		names, err := s.names(ctx, s.sql.spent, now.UnixMilli(), after, cleanupPage)
		if err != nil {
			return removed, failed("clean up", err)
		}
		if len(names) == 0 || names[len(names)-1] == after { // the database repeats itself
			break
		}
		for _, name := range names {
			if noName(name) {
				continue
			}
			gone, err := s.cleanUp(ctx, name, now)
			if gone {
				removed++
			}
			if err != nil {
				return removed, failed(about("clean up", name), err)
			}
		}
		if len(names) < cleanupPage {
			break
		}
		after = names[len(names)-1]
	}
	_, err = s.exec(ctx, s.sql.forget)
	return removed, failed("clean up", err)
}

// cleanUp removes a session if it is spent and its lock is free. It looks again
// under the lock: another process may have renewed the session meanwhile.
func (s *Store) cleanUp(ctx context.Context, name string, now time.Time) (gone bool, err error) {
	l, err := s.acquire(ctx, name)
	if l == nil || err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, l.release()) }()
	rec, _, err := s.read(ctx, name)
	if err == nil && rec.Spent(now) {
		err = s.delete(ctx, name, rec.Version)
		gone = err == nil
	}
	// What another writer changes or removes meanwhile, and what cannot be read, stays.
	for _, fine := range []error{tokenstore.ErrNotFound, tokenstore.ErrConflict, tokenstore.ErrDamaged, tokenstore.ErrNewerFormat} {
		if errors.Is(err, fine) {
			return false, nil
		}
	}
	return gone, err
}

// names returns the names that a statement selects.
func (s *Store) names(ctx context.Context, statement string, args ...any) (names []string, err error) {
	err = s.query(ctx, statement, args, func() { names = nil }, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		names = append(names, name)
		return err
	})
	return names, err
}

// query has each row that a statement selects read. One that is rolled back is sent again, and
// begin called before each time.
func (s *Store) query(ctx context.Context, statement string, args []any, begin func(), read func(*sql.Rows) error) error {
	return judge(ctx, again(ctx, func() error {
		begin()
		rows, err := s.db.QueryContext(ctx, statement, args...)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }() // rows.Err tells
		for rows.Next() {
			if err := read(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	}))
}
