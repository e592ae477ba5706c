// Package database keeps in PostgreSQL or SQLite the refresh tokens that a server has given
// out, so that restarts and replicas of the server share them. It uses database/sql, and
// brings no driver along.
//
// It is for the other side of OAuth: for servers that make tokens, such as those
// built with github.com/appleboy/gin-jwt/v3, whose core.TokenStore [Store]
// implements without importing it. Clients that keep their own sessions want the
// stores of package tokenstore, such as sqlstore.
//
//	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL")) // github.com/jackc/pgx/v5/stdlib
//	store, err := database.New(db, database.Config{
//		NotFound: core.ErrRefreshTokenNotFound, Decode: ginjwt.UserData[*User],
//	})
//	err = store.Migrate(ctx)
//	auth, err := jwt.New(&jwt.GinJWTMiddleware{RefreshTokenStore: store, ...})
//
// # What is stored
//
// One row per token: the SHA-256 of the token in base64url, so that a reader of the table
// or its backup has no token; the user data as JSON; and when it was stored and ends, in Unix
// milliseconds by the clock of this host. An expired token is not found any more; its row
// stays until [Store.Cleanup].
//
// # Compatibility
//
// PostgreSQL 11 or newer, and SQLite 3.24 or newer. With SQLite every connection must wait
// for its turn; for modernc.org/sqlite: "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)".
package database

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/sqlstore"
)

// DefaultTable is the table of a Store whose Config names none.
const DefaultTable = "refresh_tokens"

// Config is what a [Store] needs beside its database.
type Config struct {
	// Dialect is the kind of database. Zero means sqlstore.PostgreSQL.
	Dialect sqlstore.Dialect
	// Table is the name of the table, with its schema or without: letters, digits and
	// underscores. Empty means DefaultTable.
	Table string
	// NotFound is what Get returns for a token that is missing or has expired. Nil
	// means tokenstore.ErrNotFound. gin-jwt compares it with its own
	// core.ErrRefreshTokenNotFound.
	NotFound error
	// Decode reads user data from the JSON that Set has made of it. Nil means
	// json.Unmarshal into an any, which makes a map of a struct. A program whose callbacks
	// expect a type of their own sets ginjwt.UserData of that type. Its errors are not shown:
	// they can quote the data.
	Decode func(data []byte) (any, error)
}

// A Store keeps refresh tokens with the data they stand for, and shows no token to the
// database. Make one with [New]. Safe for concurrent use by goroutines, processes and hosts.
type Store struct {
	db  *sql.DB
	cfg Config

	create                         []string
	set, get, remove, sweep, count string
	begin, exclude, commit, undo   string
}

// maxTable leaves room for the suffix of the index in PostgreSQL's 63 bytes.
const maxTable = 48

var tableName = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*\.)?[A-Za-z_][A-Za-z0-9_]*$`)

// New returns the store of the refresh tokens in db, which stays the caller's to close. It
// does not call the database; [Store.Migrate] makes the table. An error means that cfg cannot
// be used.
func New(db *sql.DB, cfg Config) (*Store, error) {
	if cfg.Table == "" {
		cfg.Table = DefaultTable
	}
	if cfg.NotFound == nil {
		cfg.NotFound = tokenstore.ErrNotFound
	}
	if cfg.Decode == nil {
		cfg.Decode = func(data []byte) (v any, err error) { return v, json.Unmarshal(data, &v) }
	}
	switch {
	case db == nil:
		return nil, errors.New("database: no database was given")
	case cfg.Dialect != sqlstore.PostgreSQL && cfg.Dialect != sqlstore.SQLite:
		return nil, fmt.Errorf("database: Config.Dialect %d is not one", cfg.Dialect)
	case len(cfg.Table) > maxTable || !tableName.MatchString(cfg.Table):
		return nil, fmt.Errorf("database: Config.Table %q is not a name of letters, digits and underscores of at most %d bytes", cfg.Table, maxTable)
	}
	s := &Store{db: db, cfg: cfg}
	s.write()
	return s, nil
}

// write writes the statements.
func (s *Store) write() {
	table := `"` + strings.ReplaceAll(s.cfg.Table, ".", `"."`) + `"`
	index := `"` + s.cfg.Table[strings.IndexByte(s.cfg.Table, '.')+1:] + `_expires_at"`
	words := []string{"{table}", table, "{index}", index}
	s.begin, s.exclude, s.commit, s.undo = "BEGIN", "SELECT pg_advisory_xact_lock($1)", "COMMIT", "ROLLBACK"
	if s.cfg.Dialect == sqlstore.SQLite {
		words = append(words, "$", "?")
		s.begin, s.exclude = "BEGIN IMMEDIATE", ""
	}
	sql := strings.NewReplacer(words...).Replace
	s.create = []string{
		sql(`CREATE TABLE IF NOT EXISTS {table} (
			token_hash text NOT NULL PRIMARY KEY, user_data text NOT NULL, created_at bigint NOT NULL, expires_at bigint NOT NULL)`),
		sql(`CREATE INDEX IF NOT EXISTS {index} ON {table} (expires_at)`),
	}
	s.set = sql(`INSERT INTO {table} (token_hash, user_data, created_at, expires_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (token_hash) DO UPDATE SET user_data = excluded.user_data, created_at = excluded.created_at, expires_at = excluded.expires_at`)
	s.get = sql(`SELECT user_data FROM {table} WHERE token_hash = $1 AND expires_at > $2`)
	s.remove = sql(`DELETE FROM {table} WHERE token_hash = $1`)
	s.sweep = sql(`DELETE FROM {table} WHERE expires_at <= $1`)
	s.count = sql(`SELECT count(*) FROM {table} WHERE expires_at > $1`)
}

// Migrate makes the table if there is none, in one transaction. Processes may call it at
// once and at every start. The role needs the right to create tables; a program that has not
// got it leaves Migrate to one that has.
func (s *Store) Migrate(ctx context.Context) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return failed("make the table of", err)
	}
	defer func() { _ = conn.Close() }()
	if err := s.migrate(ctx, conn); err != nil {
		// Whatever ended ctx, the connection goes back without a transaction.
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), s.undo)
		return failed("make the table of", err)
	}
	return nil
}

func (s *Store) migrate(ctx context.Context, conn *sql.Conn) error {
	if _, err := conn.ExecContext(ctx, s.begin); err != nil {
		return err
	}
	if s.exclude != "" { // two CREATE TABLE IF NOT EXISTS at once would fail
		h := fnv.New64a()
		_, _ = h.Write([]byte("evertoken refresh tokens " + s.cfg.Table)) // never fails
		if _, err := conn.ExecContext(ctx, s.exclude, int64(h.Sum64())); err != nil {
			return err
		}
	}
	for _, statement := range append(s.create[:len(s.create):len(s.create)], s.commit) {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

var (
	errEmptyToken = errors.New("a refresh token cannot be empty")
	errPast       = errors.New("it would have ended already: its expiry is not in the future")
	errValue      = errors.New("the user data cannot be decoded") // an error of json would quote it
)

// Set stores userData under token until expiry, replacing what was there.
//
// userData must be of a kind that encoding/json can write. It fails, and changes nothing, if
// token is empty, expiry is not in the future, or the database cannot be reached.
func (s *Store) Set(ctx context.Context, token string, userData any, expiry time.Time) error {
	if token == "" {
		return failed("save", errEmptyToken)
	}
	value, err := json.Marshal(userData)
	if err != nil {
		return failed("save", err)
	}
	now := time.Now()
	if !now.Before(expiry) {
		return failed("save", errPast)
	}
	_, err = s.db.ExecContext(ctx, s.set, hash(token), string(value), now.UnixMilli(), expiry.UnixMilli())
	return failed("save", err)
}

// Get returns the user data of token as Config.Decode reads it; without one a number is a
// float64, a struct a map[string]any. If the token is missing or has expired, it
// returns Config.NotFound itself. Other errors say nothing about the token.
func (s *Store) Get(ctx context.Context, token string) (any, error) {
	if token == "" {
		return nil, s.cfg.NotFound
	}
	var value string
	err := s.db.QueryRowContext(ctx, s.get, hash(token), time.Now().UnixMilli()).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, s.cfg.NotFound // gin-jwt compares with ==
	}
	if err != nil {
		return nil, failed("read", err)
	}
	userData, err := s.cfg.Decode([]byte(value))
	if err != nil {
		return nil, failed("read", errValue)
	}
	return userData, nil
}

// Delete removes token. If there is none, it succeeds.
func (s *Store) Delete(ctx context.Context, token string) error {
	_, err := s.db.ExecContext(ctx, s.remove, hash(token))
	return failed("delete", err)
}

// Cleanup removes the rows of expired tokens and returns how many there were. Nothing else
// does: call it now and then, once a day or so.
func (s *Store) Cleanup(ctx context.Context) (int, error) {
	result, err := s.db.ExecContext(ctx, s.sweep, time.Now().UnixMilli())
	if err != nil {
		return 0, failed("clean up", err)
	}
	n, err := result.RowsAffected()
	return int(n), failed("clean up", err)
}

// Count returns the number of tokens that have not expired, and removes none.
func (s *Store) Count(ctx context.Context) (int, error) {
	var n int
	err := s.db.QueryRowContext(ctx, s.count, time.Now().UnixMilli()).Scan(&n)
	return n, failed("count", err)
}

// hash is what the database sees of a token.
func hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// failed tells what failed, or returns nil if nothing did.
func failed(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("database: cannot %s refresh tokens: %w", doing, err)
}

// String says where the tokens are, and nothing of what is in them.
func (s *Store) String() string {
	return fmt.Sprintf("database.Store{%v %s}", s.cfg.Dialect, s.cfg.Table)
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (s *Store) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, s.String()) }
