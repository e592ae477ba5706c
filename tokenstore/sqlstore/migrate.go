package sqlstore

import (
	"context"
	"database/sql"
	"hash/fnv"

	"github.com/evertoken/evertoken/internal/sleep"
)

// migrations are the steps from one version of the schema to the next. A program
// that knows only the first ones must be able to go on beside one that has taken
// them all: steps add, and do not take away. They are never edited.
var migrations = [][]string{{
	`CREATE TABLE {sessions} (
		name {name} NOT NULL PRIMARY KEY,
		version bigint NOT NULL,
		record {bytes} NOT NULL,
		spent_at bigint,
		damaged {bytes}
	)`,
	// Most sessions can be renewed and are not in it.
	`CREATE INDEX {spent} ON {sessions} (spent_at) WHERE spent_at IS NOT NULL`,
	`CREATE TABLE {leases} (
		name {name} NOT NULL PRIMARY KEY,
		owner text NOT NULL,
		until bigint NOT NULL
	)`,
}}

// Migrate makes the tables, or brings those of an older version up to date, in one
// transaction. Processes may call it at once and at every start; if there is nothing
// to do it changes nothing. Tables of a newer version are left as they are, and can
// be used. The role needs the right to create tables; a program that has not got it
// leaves Migrate to one that has.
func (s *Store) Migrate(ctx context.Context) error {
	var err error
	for tries, delay := 1, minPoll; ; tries, delay = tries+1, 2*delay {
		if err = s.migrateOnce(ctx); !isBusy(err) || tries == maxMigrations || sleep.For(ctx, delay) != nil {
			break
		}
	}
	return failed("migrate", judge(ctx, err))
}

// maxMigrations is how often Migrate tries a file that is busy. SQLite says so at once, whatever
// its busy_timeout, while another process makes the file one with a write-ahead log.
const maxMigrations = 10

func (s *Store) migrateOnce(ctx context.Context) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	err = s.migrate(ctx, conn)
	if err != nil {
		// Whatever ended ctx, the connection goes back without a transaction.
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
	}
	return err
}

func (s *Store) migrate(ctx context.Context, conn *sql.Conn) error {
	have, err := s.beginMigration(ctx, conn)
	if err != nil {
		return err
	}
	for version := have; version < len(s.sql.migrations); version++ {
		for _, statement := range s.sql.migrations[version] {
			if _, err := conn.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
	}
	if have < len(s.sql.migrations) {
		if _, err := conn.ExecContext(ctx, s.sql.setVersion, len(s.sql.migrations)); err != nil {
			return err
		}
	}
	_, err = conn.ExecContext(ctx, "COMMIT")
	return err
}

// beginMigration begins a transaction that excludes all other migrations of the same
// tables, and returns the version they have. In SQLite any writer excludes them. In
// PostgreSQL an advisory lock of the transaction does; two CREATE TABLE IF NOT EXISTS
// at once would fail.
func (s *Store) beginMigration(ctx context.Context, conn *sql.Conn) (have int, err error) {
	if _, err := conn.ExecContext(ctx, s.sql.begin); err != nil {
		return 0, err
	}
	if s.sql.exclude != "" {
		h := fnv.New64a()
		_, _ = h.Write([]byte("evertoken migrate " + s.cfg.Table)) // never fails
		if _, err := conn.ExecContext(ctx, s.sql.exclude, int64(h.Sum64())); err != nil {
			return 0, err
		}
	}
	if _, err := conn.ExecContext(ctx, s.sql.makeSchema); err != nil {
		return 0, err
	}
	var version sql.NullInt64
	if err := conn.QueryRowContext(ctx, s.sql.schemaVersion).Scan(&version); err != nil {
		return 0, err
	}
	if !version.Valid {
		_, err = conn.ExecContext(ctx, s.sql.addSchema)
	}
	return int(version.Int64), err
}
