package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/evertoken/evertoken/internal/notice"
	"github.com/evertoken/evertoken/internal/storeerr"
	"github.com/evertoken/evertoken/tokenstore"
)

// Get implements [tokenstore.Store].
func (s *Store) Get(ctx context.Context, name string) (*tokenstore.Record, error) {
	const action = "read"
	if err := check(ctx, action, name); err != nil {
		return nil, err
	}
	rec, _, err := s.read(ctx, name)
	if err != nil {
		return nil, failed(about(action, name), err)
	}
	return rec, nil
}

// A storedVersion is what a row has as its version, as text: another program may have written
// what is not a number, or none that fits one.
type storedVersion = sql.NullString

// read returns the record of name and its version. Of one that cannot be read it
// returns the version.
func (s *Store) read(ctx context.Context, name string) (*tokenstore.Record, storedVersion, error) {
	var (
		found storedVersion
		data  []byte
	)
	err := s.queryRow(ctx, s.sql.get, []any{name}, &found, &data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, storedVersion{}, tokenstore.ErrNotFound
	}
	if err != nil {
		return nil, storedVersion{}, judge(ctx, err)
	}
	rec, err := decode(found, data)
	return rec, found, err
}

// decode reads the record in data. The version beside it is the one that counts.
func decode(found storedVersion, data []byte) (*tokenstore.Record, error) {
	rec := new(tokenstore.Record)
	err := rec.UnmarshalJSON(data)
	switch {
	case errors.Is(err, tokenstore.ErrNewerFormat):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", tokenstore.ErrDamaged, err)
	}
	if rec.Version, err = storeerr.ParseVersion(found.String); err != nil {
		return nil, err
	}
	return rec, nil
}

// Set implements [tokenstore.Store]. If it fails with [tokenstore.ErrUnavailable], rec
// may have been saved nevertheless.
func (s *Store) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	const action = "save"
	if err := check(ctx, action, name); err != nil {
		return 0, err
	}
	if rec == nil {
		return 0, failed(about(action, name), errNoRecord)
	}
	version, err := s.set(ctx, name, rec)
	return version, failed(about(action, name), err)
}

func (s *Store) set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	version := nextVersion(rec.Version)
	if rec.Version != 0 {
		statement := s.sql.update
		if notice.Of(rec) == notice.Begun {
			statement = s.sql.announce
		}
		return version, s.write(ctx, statement, name, rec, version, int64(rec.Version))
	}
	err := s.write(ctx, s.sql.insert, name, rec, version)
	if !errors.Is(err, tokenstore.ErrConflict) {
		return version, err
	}
	_, found, damaged := s.read(ctx, name)
	if !errors.Is(damaged, tokenstore.ErrDamaged) {
		return 0, err
	}
	if old, err := storeerr.ParseVersion(found.String); err == nil {
		version = nextVersion(old)
	}
	return version, s.write(ctx, s.sql.mend, name, rec, version, found)
}

// nextVersion returns the version that follows prev. Where [tokenstore.NextVersion] would step
// beyond what counts as a version, as after one that another program has written, it begins anew
// with the time: a pair saved with the greater number could not be read again.
func nextVersion(prev uint64) uint64 {
	if next := tokenstore.NextVersion(prev); next <= storeerr.MaxVersion {
		return next
	}
	return tokenstore.NextVersion(0)
}

// write saves rec by a statement, of which more are further arguments. If that
// changes nothing, the error is ErrConflict.
func (s *Store) write(ctx context.Context, statement, name string, rec *tokenstore.Record, version uint64, more ...any) error {
	args, err := recordArgs(name, rec, version)
	if err != nil {
		return err
	}
	done, err := s.exec(ctx, statement, append(args, more...)...)
	if err == nil && !done {
		return tokenstore.ErrConflict
	}
	return err
}

// recordArgs returns the arguments of a statement that saves rec as the given version.
func recordArgs(name string, rec *tokenstore.Record, version uint64) ([]any, error) {
	next := *rec
	next.Version = version
	data, err := storeerr.Encode(&next)
	if err != nil {
		return nil, err
	}
	return []any{name, int64(version), data, spentAt(rec)}, nil
}

// saveArgs returns those of one that replaces the record.
func saveArgs(name string, rec *tokenstore.Record, version uint64) ([]any, error) {
	args, err := recordArgs(name, rec, version)
	return append(args, int64(rec.Version)), err
}

// spentAt returns when rec is spent, in Unix milliseconds; nil for never.
func spentAt(rec *tokenstore.Record) any {
	at, ever := rec.SpentAt()
	if !ever {
		return nil
	}
	return at.UnixMilli()
}

// Delete implements [tokenstore.Store]. It removes a damaged session too, and is then
// content with ErrNotFound.
func (s *Store) Delete(ctx context.Context, name string, version uint64) error {
	const action = "delete"
	if err := check(ctx, action, name); err != nil {
		return err
	}
	return failed(about(action, name), s.delete(ctx, name, version))
}

func (s *Store) delete(ctx context.Context, name string, version uint64) error {
	done, err := s.exec(ctx, s.sql.remove, name, int64(version))
	if done || err != nil {
		return err
	}
	switch _, found, err := s.read(ctx, name); {
	case errors.Is(err, tokenstore.ErrDamaged):
		if _, err := s.exec(ctx, s.sql.discard, name, found); err != nil {
			return err
		}
		return tokenstore.ErrNotFound
	case err == nil, errors.Is(err, tokenstore.ErrNewerFormat):
		return tokenstore.ErrConflict
	default:
		return err
	}
}

// Stamp implements [tokenstore.Stamper]. The stamp is the record's version.
func (s *Store) Stamp(ctx context.Context, name string) (uint64, error) {
	const action = "look at"
	if err := check(ctx, action, name); err != nil {
		return 0, err
	}
	var found storedVersion
	err := s.queryRow(ctx, s.sql.stamp, []any{name}, &found)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return 0, failed(about(action, name), tokenstore.ErrNotFound)
	case err != nil:
		return 0, failed(about(action, name), judge(ctx, err))
	}
	stamp, err := storeerr.ParseVersion(found.String)
	return stamp, failed(about(action, name), err)
}

// exec runs a statement and reports whether it changed something. One that is rolled back is
// sent again.
func (s *Store) exec(ctx context.Context, statement string, args ...any) (changed bool, err error) {
	err = again(ctx, func() error {
		changed, err = s.execOnce(ctx, statement, args...)
		return err
	})
	return changed, judge(ctx, err)
}

// execOnce is exec for a caller who sends again by itself. Its error is not judged.
func (s *Store) execOnce(ctx context.Context, statement string, args ...any) (bool, error) {
	result, err := s.db.ExecContext(ctx, statement, args...)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}

// queryRow reads the one row that a statement returns. One that is rolled back is sent again.
// The error is not judged.
func (s *Store) queryRow(ctx context.Context, statement string, args []any, into ...any) error {
	return again(ctx, func() error { return s.db.QueryRowContext(ctx, statement, args...).Scan(into...) })
}
