package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/evertoken/evertoken/tokenstore"
)

// Defaults of [Config].
const (
	DefaultTable     = "evertoken_sessions"
	DefaultLeaseTime = 15 * time.Second
)

// minLeaseTime leaves three renewals enough time for a database that is busy.
const minLeaseTime = time.Second

// Config says what a Store is to be. Its zero value is good for PostgreSQL.
type Config struct {
	// Dialect is the database's. Zero means PostgreSQL.
	Dialect Dialect
	// Table names the table of sessions, and begins the names of the others. It is
	// a name of letters, digits and underscores, which may have the name of a schema
	// that exists and a dot before it, of at most 48 bytes in all. Case matters.
	// Empty means DefaultTable.
	Table string
	// LeaseTime is how long a lock outlives a holder that was killed. Callers that wait
	// for the lock wait that much longer: keep it below refresh.Config.MaxWait. It
	// is also how long the database may be away before a holder counts its lock as
	// lost, and Watch doubts a silent connection, which it does after 15 seconds at
	// most. Processes may differ in it, but a lock that would last longer than ten times
	// the LeaseTime of the process that asks, or than ten times DefaultLeaseTime if that
	// is more, counts as free. Zero means DefaultLeaseTime; less than a second is refused.
	LeaseTime time.Duration
	// Listen makes the Store a [tokenstore.Watcher], and its writes notify
	// (PostgreSQL only, since SQLite has no notifications). It has a connection of its own
	// LISTEN on channel, then calls notify with an empty payload once and with each
	// notification's payload as it comes, and returns why it cannot go on; if ctx has
	// ended, that, and without waiting for a database that may be away. It need not
	// notice that its connection is dead: Watch does, and then ends ctx. notify does
	// not block, and is not called concurrently. Every process that writes to the
	// table needs a Listen, or the others do not learn of what it writes. Nil: Watch
	// fails, and writes are spared the cost of notifying.
	//
	// With pgx it is this:
	//
	//	func listen(ctx context.Context, channel string, notify func(payload string)) error {
	//		conn, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
	//		if err != nil {
	//			return err
	//		}
	//		defer conn.Close(ctx)
	//		if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{channel}.Sanitize()); err != nil {
	//			return err
	//		}
	//		for notify(""); ; {
	//			n, err := conn.WaitForNotification(ctx)
	//			if err != nil {
	//				return err
	//			}
	//			notify(n.Payload)
	//		}
	//	}
	Listen func(ctx context.Context, channel string, notify func(payload string)) error
}

// A Store keeps sessions in a SQL database. It implements [tokenstore.Store],
// [tokenstore.Locker], [tokenstore.Spender] (with PostgreSQL), [tokenstore.Lister],
// [tokenstore.RecordLister], [tokenstore.Pager], [tokenstore.Stamper], [tokenstore.Timekeeper] and, with Config.Listen, [tokenstore.Watcher].
//
// All methods are safe for concurrent use by goroutines, processes and hosts. A lock
// that is held has a goroutine that renews it, until Unlock. The goroutines of a
// process take a lock in the order in which they asked; among processes there is no
// order.
type Store struct {
	db     *sql.DB
	sql    statements
	cfg    Config
	queues tokenstore.Memory // for its locks: one goroutine per session asks the database
}

var (
	_ tokenstore.Store        = (*Store)(nil)
	_ tokenstore.Locker       = (*Store)(nil)
	_ tokenstore.Spender      = (*Store)(nil)
	_ tokenstore.Lister       = (*Store)(nil)
	_ tokenstore.RecordLister = (*Store)(nil)
	_ tokenstore.Pager        = (*Store)(nil)
	_ tokenstore.Stamper      = (*Store)(nil)
	_ tokenstore.Watcher      = (*Store)(nil)
	_ tokenstore.Timekeeper   = (*Store)(nil)
	_ tokenstore.Scoped       = (*Store)(nil)
)

// New returns the store of sessions in db, which stays the caller's to close. It does
// not call the database; [Store.Migrate] makes the tables. An error means that cfg
// cannot be used.
func New(db *sql.DB, cfg Config) (*Store, error) {
	if cfg.Table == "" {
		cfg.Table = DefaultTable
	}
	if cfg.LeaseTime == 0 {
		cfg.LeaseTime = DefaultLeaseTime
	}
	switch {
	case db == nil:
		return nil, errors.New("sqlstore: no database was given")
	case cfg.Dialect != PostgreSQL && cfg.Dialect != SQLite:
		return nil, fmt.Errorf("sqlstore: Config.Dialect %d is not one", cfg.Dialect)
	case cfg.Dialect == SQLite && cfg.Listen != nil:
		return nil, errors.New("sqlstore: Config.Listen: SQLite does not notify")
	case cfg.LeaseTime < minLeaseTime:
		return nil, fmt.Errorf("sqlstore: Config.LeaseTime %v is less than %v", cfg.LeaseTime, minLeaseTime)
	case !validTable(cfg.Table):
		return nil, fmt.Errorf("sqlstore: Config.Table %q is not a name of letters, digits and underscores of at most %d bytes", cfg.Table, maxTable)
	}
	return &Store{db: db, cfg: cfg, sql: newStatements(cfg)}, nil
}

// Scope implements [tokenstore.Scoped] by the table's name, without that of a schema, which
// some programs give and others leave out.
func (s *Store) Scope() string {
	return "sql " + s.cfg.Table[strings.IndexByte(s.cfg.Table, '.')+1:]
}

// String says where the sessions are, and nothing of what is in them.
func (s *Store) String() string {
	return fmt.Sprintf("sqlstore.Store{%v %s}", s.cfg.Dialect, s.cfg.Table)
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (s *Store) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, s.String()) }
