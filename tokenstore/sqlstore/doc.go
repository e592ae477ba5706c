// Package sqlstore keeps OAuth sessions in a SQL database: PostgreSQL, which many
// hosts share, or SQLite, for the processes of one host. It uses database/sql, and
// brings no driver along.
//
//	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL")) // github.com/jackc/pgx/v5/stdlib
//	store, err := sqlstore.New(db, sqlstore.Config{})
//	err = store.Migrate(ctx)
//	manager := refresh.NewManager(refresh.Config{OAuthClient: client, Store: store, Session: "default"})
//
// With SQLite every connection must wait for its turn and be durable, which the
// driver's address says. For modernc.org/sqlite:
//
//	const pragmas = "_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"
//	db, err := sql.Open("sqlite", "file:"+path+"?"+pragmas)
//	store, err := sqlstore.New(db, sqlstore.Config{Dialect: sqlstore.SQLite})
//
// # What is stored
//
// One row per session: its name, its version, the [tokenstore.Record] as JSON, and
// when nothing can renew it any more, so that Cleanup finds it by an index. The
// tokens are in the clear; [tokenstore.NewSealed] around the Store encrypts them.
// Beside that table, called Config.Table, are <table>_leases with a row for each
// lock that is held, and <table>_schema with the schema's version. A record that
// cannot be read any more stays in its row. When a new one is saved in its place it
// moves to the column damaged, until the session is deleted.
//
// # Writes
//
// A write is one statement, and so one transaction: it finds the row by name and
// version, which takes the row's lock, and replaces it. Of two that replace the same
// version one fails with [tokenstore.ErrConflict]. That is all the fencing there
// needs to be. The holder of the lock announces a spend by such a write first, so
// a holder that lost its lock, and does not know it, can neither announce nor save
// once another holder has announced.
//
// # Locks
//
// A lock is a row with an owner and an end, by the database's clock. Its holder
// renews it in the background three times per Config.LeaseTime, and counts it as lost
// ([tokenstore.ErrLeaseLost]) as soon as its own clock says that it may have ended.
// A lock of a process that was killed ends after LeaseTime. It outlives a restart of
// the database, and no process takes it meanwhile.
//
// The alternatives were tried and dropped. A row lock in an open transaction, and an
// advisory lock of the database session (pg_advisory_lock), end with the connection
// and so at once with their holder. But each pins a connection while the
// authorization server takes its time. A refresh.Pool has 64 workers, and a
// PostgreSQL server by default 100 connections for all its clients; a pool of connections
// that is full of leases has none left to save what the leases are for. When a host
// vanishes without a word the server notices after hours (tcp_keepalives_idle), and
// when the database restarts, the lock is gone while the refresh token is on its way.
// Behind PgBouncer with transaction pooling an advisory lock is worse than none: two
// clients that share a server connection are both told that they hold it, and it
// stays there when both have gone. A row is the same for all clients.
//
// What a lease cannot do is hold up a process that is stopped (SIGSTOP, a suspended
// machine) for longer than LeaseTime after it sent the refresh token. The next holder
// then finds the announced spend, and treats its outcome as unknown.
//
// # Notices
//
// With Config.Listen every write notifies, in its own transaction, on the channel that
// is called like Config.Table: "=version:name" for a session that changed, "?version:name" when the
// write does no more than announce a spend ([tokenstore.Change]). A connection that
// has died without a word is silent, and so is a table that no process writes to. So after
// 15 seconds of silence one of the listening processes sends "!" on the channel by an
// ordinary connection, which all hear; one that does not hear it listens anew.
//
// # PgBouncer
//
// Transaction pooling is fine: no statement depends on the one before. Only Listen
// needs a connection of its own, directly to the database. Prepared statements need
// PgBouncer 1.21 or pgx's default_query_exec_mode=exec.
//
// # Errors
//
// If the database cannot be asked, errors wrap [tokenstore.ErrUnavailable]: nothing
// is known about the session, not even after a Set whether it was saved. A lock that
// another holder has is [tokenstore.ErrLocked], and never unavailable. A statement that
// the database rolls back because of another one (SQLSTATE 40001 or 40P01, where its
// default isolation is repeatable read or serializable) is sent again a few times; what
// fails then was not done, and is not unavailable. Errors hold
// what the driver says, which does not include the content of the tables.
//
// # Limits
//
// Hosts and the database should agree on how long a second is, and not on what time
// it is: a record says when its token ends by the database's clock ([Store.Time]), and
// a refresh.Manager translates. A program that reads or writes records itself does not
// have that. If the database fails over to a server whose clock is ahead, or behind by
// more than nine times LeaseTime, locks end early. With SQLite the clock is the host's. A failover that loses acknowledged
// writes (asynchronous replication) loses the pairs in them. The database's encoding
// must be UTF-8.
package sqlstore
