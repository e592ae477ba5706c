package tokenstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/evertoken/evertoken/internal/outside"
	"github.com/evertoken/evertoken/internal/place"
)

var (
	// ErrNotFound means that the store holds no record under that name.
	ErrNotFound = errors.New("no such session")
	// ErrConflict means that the record is not the version the caller read:
	// another writer was faster. Read again and decide anew.
	ErrConflict = errors.New("the session was changed by another writer")
	// ErrDamaged means that what is stored cannot be read. The store has moved
	// it aside, so that nothing is lost and a new record can be written. Until one
	// is, or the session is deleted, Get goes on to say so: a process that holds a
	// good copy can save it, while a session that is not found was ended on purpose.
	ErrDamaged = errors.New("stored session is damaged")
	// ErrLocked means that a lock could not be had before the context ended.
	ErrLocked = errors.New("session is locked by another holder")
	// ErrLeaseLost means that a lease ended before its holder released it.
	ErrLeaseLost = errors.New("lease lost")
	// ErrUnavailable means that the store cannot be reached: its server is down, or
	// the way there is. Nothing is known about the session; try again.
	ErrUnavailable = errors.New("the store cannot be reached")
	// ErrNoLocks means that the file system has no locks, so that nothing would keep
	// two processes from spending one refresh token. It comes in a [PlaceError].
	ErrNoLocks = errors.New("this file system has no locks")
	// ErrTooLong means that a record has more in it than the store takes, or has room for. It
	// takes one with less: without the access token, which the refresh token renews.
	ErrTooLong = errors.New("the session is too long")
	// ErrInvalidName means that a session name cannot be used.
	ErrInvalidName = errors.New("invalid session name")
)

// A Store keeps records by session name. Write your own with three methods, and
// let storetest tell you whether they are right.
//
// Every method is safe for concurrent use by goroutines and, unless the store
// lives in one process's memory, by processes. Methods return when ctx ends.
// A session name is any non-empty valid UTF-8 string of at most 512 bytes
// without NUL; other names fail with [ErrInvalidName] ([CheckName]).
type Store interface {
	// Get returns the record saved under name, the caller's own copy, or an
	// error that wraps ErrNotFound.
	Get(ctx context.Context, name string) (*Record, error)

	// Set saves rec under name and returns its new version. rec.Version is the
	// version it replaces, zero for a record that must not exist yet; if the
	// store holds another one, Set changes nothing and fails with ErrConflict.
	// When Set returns nil, the record is durable. The version it returns is
	// greater than the one replaced and was never used for name before, also not
	// before a Delete ([NextVersion]). rec is not modified and not kept.
	Set(ctx context.Context, name string, rec *Record) (version uint64, err error)

	// Delete removes the record saved under name if its version is the given
	// one. It fails with ErrNotFound if there is none, and with ErrConflict if
	// it has another version.
	Delete(ctx context.Context, name string, version uint64) error
}

// A Locker is a Store that processes or hosts share. A process that is to
// spend a session's refresh token takes its lock first, and then reads the record
// again: another holder may have done the work.
type Locker interface {
	// Lock takes the lock of name, waiting for it until ctx ends; it then fails
	// with an error that wraps both ErrLocked and the context's. A lock needs no
	// record to exist. The lock also excludes other goroutines of the process.
	Lock(ctx context.Context, name string) (Lease, error)
}

// A Lease is the right to spend a session's refresh token. It ends with Unlock,
// or with the death of the process that holds it; stores that hosts share renew
// it in the background and may lose it.
type Lease interface {
	// Err returns nil while the lease is held and an error that wraps
	// ErrLeaseLost afterwards. Ask right before spending.
	Err() error
	// Unlock releases the lease. Further calls do nothing. It never releases a
	// lock that another holder has taken since.
	Unlock() error
}

// A Spender is a Locker that does in one step each what begins and what ends a spend, and
// that reserves room for the save. Callers use Lock, Set and Unlock where a Store is not a
// Spender, or where BeginSpend fails with an error that wraps [errors.ErrUnsupported].
type Spender interface {
	// BeginSpend takes the lock of name like Lock and saves rec like Set: the current
	// record with the mark that announces the spend. It returns rec's new version. The
	// announcement outlives this process, but not always a power cut. While another
	// process has the lock, it waits until ctx ends, but fails with ErrConflict as soon
	// as the store holds another version than rec.Version: that process may have done the
	// work. Goroutines of one process wait for their turn, as in Lock. When it fails, it leaves no lock, and has announced nothing unless the error
	// wraps ErrUnavailable.
	//
	// With reserve it also fails unless the record that Settle is to save has room, and
	// is sure to be saved as far as can be known beforehand.
	//
	// via is the store that the caller uses. If that is not the receiver, as when a type
	// embeds a Spender and has a Set of its own, BeginSpend fails with ErrUnsupported: it would
	// write past that Set.
	BeginSpend(ctx context.Context, via Store, name string, rec *Record, reserve bool) (Spending, uint64, error)
}

// A Spending is the lease of a spend that was announced.
type Spending interface {
	Lease
	// Settle saves rec like Set, and releases the lease if that succeeds. If not, it
	// can be called again. It saves also when the lease is lost, since the version
	// guards the record.
	Settle(ctx context.Context, rec *Record) (version uint64, err error)
}

// A ProcessLease is a Lease that may be known to end with nothing but Unlock and the end
// of the process that holds it, as a lock of the operating system does. The next holder of such
// a lock knows that the one before is not at work any more; of other leases it may
// only have lost it.
type ProcessLease interface {
	Lease
	// EndsWithProcess reports whether that is so of the spend that the record announces. It is
	// false if that was announced under another lock, whose holder may be at work.
	EndsWithProcess() bool
}

// A Local store keeps its sessions in a directory of this machine.
type Local interface {
	// Dir returns the absolute path of the directory.
	Dir() string
}

// PlaceOf returns the name that Record.Places has for where a store keeps its sessions:
// empty if it is not [Local], or the machine has no number.
func PlaceOf(s Store) string {
	local, is := s.(Local)
	if !is {
		return ""
	}
	return place.Of(local.Dir())
}

// A Checker is a Store that can tell beforehand whether it would take a session. A
// person's login is asked for after that, since one that cannot be saved is lost.
type Checker interface {
	// Check returns nil if a record of that name could be locked and saved now, and
	// otherwise what saving it would fail with. It does not wait for the session's
	// lock, and Get returns the same before and after.
	Check(ctx context.Context, name string) error
}

// A Lister is a Store that can be looked through. Every store in this module is
// one.
type Lister interface {
	// Names returns the names of all sessions, sorted, and none of those that
	// [IsServerRecord] knows.
	Names(ctx context.Context) ([]string, error)
	// Count returns how many sessions there are.
	Count(ctx context.Context) (int, error)
	// Cleanup removes the sessions that nothing can renew any more
	// ([Record.Spent]) and returns how many it removed. It leaves a session
	// alone whose lock is held.
	Cleanup(ctx context.Context) (int, error)
}

// A RecordLister is a [Lister] that also lists what it keeps beside the sessions. Every store
// in this module is one.
type RecordLister interface {
	// Records returns the names of all records, sorted: those of the sessions, and those of
	// which [IsServerRecord] knows. What is to be done to a whole store is done to these.
	Records(ctx context.Context) ([]string, error)
}

// A Discarder is a Store whose records may be there and not open, as those of [Sealed] whose
// key is lost.
type Discarder interface {
	// Discard deletes the record saved under name if Get fails with ErrSealed, for a caller
	// to whom it is of no use any more. It fails with ErrNotFound if there is no record, and
	// with ErrConflict if Get would return one, which is for Delete. A record that cannot be
	// read for any other reason stays, and Discard fails with that.
	Discard(ctx context.Context, name string) error
}

// A Pager is a Store that reads all of its sessions in few calls, for a process that opens
// them when it starts, and of which there may be more than one would hold in memory.
type Pager interface {
	// Pages reads the sessions, in the order in which their names sort by their bytes, at
	// most size of them at a time (at least one, whatever size is). A session that is there
	// all the time comes once, whatever comes and goes meanwhile; those of which
	// [IsServerRecord] knows do not come. No page is empty, and the caller may keep it. An
	// error ends the iteration.
	Pages(ctx context.Context, size int) iter.Seq2[[]Entry, error]
}

// An Entry is a session as a [Pager] reads it. It prints, and is logged, without tokens.
type Entry struct {
	Name string
	// Record is what Get returns, the caller's own copy. It is nil if Get would fail
	// because the record cannot be read, or may have to do more than read: then Get says
	// why. A session that cannot be read does not keep the others.
	Record *Record
	// Stamp is the record's, if the store is a [Stamper].
	Stamp uint64
}

// String describes the entry without tokens.
func (e Entry) String() string {
	rec := "none"
	if e.Record != nil {
		rec = e.Record.String()
	}
	return fmt.Sprintf("tokenstore.Entry{%q %s}", e.Name, rec)
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (e Entry) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, e.String()) }

// LogValue implements slog.LogValuer. Without it, a handler that writes JSON would write the
// form in which a [Record] is kept, with its tokens.
func (e Entry) LogValue() slog.Value { return slog.StringValue(e.String()) }

// A Stamper is a Store that can tell cheaply whether a session has changed.
type Stamper interface {
	// Stamp returns a number that is another one after every change of the
	// record, or an error that wraps ErrNotFound. Two reads with the same stamp
	// between them would have returned the same record.
	Stamp(ctx context.Context, name string) (uint64, error)
}

// A Change is what a [Watcher] tells of a write or a deletion. The zero Change says
// that any session may have changed.
type Change struct {
	// Name is the session's. Empty means any.
	Name string
	// Begun says that the write did no more than announce a spend of the session's
	// refresh token: it replaced a record by one that has a Pending mark, and no Dead
	// one. There is nothing to adopt yet. Another write follows, unless the process that
	// announced the spend dies first. A store that cannot tell says false.
	Begun bool
	// Version is what the record's version is now; zero if that is not known, or there is
	// no record any more. The reader that holds that version has nothing to look for.
	Version uint64
}

// A Watcher is a Store that says when a process, on any host, changes a session.
type Watcher interface {
	// Watch calls changed after each write or deletion, until ctx ends or notices may
	// be lost, and returns why. It does not connect again: while it goes on, its
	// caller relies on what it tells. So it must notice a connection that has died
	// without a word too, within a minute. The first call is with the zero Change, as
	// soon as notices arrive: what was written before was not heard of. A notice may
	// come twice, and late. Calls come one after the other, and none after Watch has
	// returned; changed must not block.
	Watch(ctx context.Context, changed func(Change)) error
}

// maxName bounds a session name. It leaves room for an e-mail address (at most
// 254 bytes, RFC 5321) with an issuer or an environment beside it.
const maxName = 512

// serverRecords begins the names of records that are about servers.
const serverRecords = "evertoken:server:"

// ServerRecord returns the name under which a store that processes share keeps what
// one has heard from an authorization server and all should know: a record without
// tokens whose NotBefore says until when the server wants to be left alone. Package connect
// keeps under such names what the program is at a server, and where its sessions are.
func ServerRecord(server string) string {
	sum := sha256.Sum256([]byte(server))
	return serverRecords + hex.EncodeToString(sum[:16])
}

// IsServerRecord reports whether a name is not that of a session, but one that
// ServerRecord returned. A [Lister] leaves those out, and a [RecordLister] names them.
func IsServerRecord(name string) bool { return strings.HasPrefix(name, serverRecords) }

// CheckName returns an error that wraps [ErrInvalidName] and says what is wrong
// unless name may name a session: non-empty valid UTF-8 of at most 512 bytes
// without NUL. Every store accepts these names and refuses all others, so that
// a session can move from one store to another.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("tokenstore: %w: it is empty", ErrInvalidName)
	case len(name) > maxName:
		return fmt.Errorf("tokenstore: %w: it has %d bytes, more than %d", ErrInvalidName, len(name), maxName)
	case !utf8.ValidString(name):
		return fmt.Errorf("tokenstore: %w: %q is not valid UTF-8", ErrInvalidName, name)
	case strings.ContainsRune(name, 0):
		return fmt.Errorf("tokenstore: %w: %q contains a NUL", ErrInvalidName, name)
	}
	return nil
}

var errNoRecord = errors.New("no record was given")

// A sessionError says what was being done to which session when err happened.
type sessionError struct {
	action, name string
	err          error
}

// failed adds action and session to err. A nil err stays nil.
func failed(action, name string, err error) error {
	if err == nil {
		return nil
	}
	return &sessionError{action, name, err}
}

// Error shows names of files, and what drivers say, as other people's text.
func (e *sessionError) Error() string {
	return "tokenstore: " + e.action + " session " + strconv.Quote(e.name) + ": " + outside.Show(e.err.Error())
}

func (e *sessionError) Unwrap() error { return e.err }

// check refuses names that cannot be used, and calls whose context has ended.
func check(ctx context.Context, action, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	return failed(action, name, ctx.Err())
}
