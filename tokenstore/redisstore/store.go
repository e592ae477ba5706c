package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/evertoken/evertoken/internal/notice"
	"github.com/evertoken/evertoken/internal/storeerr"
	"github.com/evertoken/evertoken/tokenstore"
)

const (
	// DefaultPrefix is what the keys of all sessions begin with.
	DefaultPrefix = "evertoken:"
	// DefaultLeaseTime is how long a lock lasts unless it is renewed. It is renewed when
	// a third of it is over, so a holder has 40 seconds left at least, should Redis be
	// gone by then: more than token requests take, but for those of a server that pauses.
	DefaultLeaseTime = time.Minute
	// minLeaseTime is the least LeaseTime: a pause of a third of it must not be an event.
	minLeaseTime = time.Second
)

// Config says what a Store is to be. Its zero value is good for most programs.
type Config struct {
	// Prefix is what all keys begin with, and the name of the channel for changes. It
	// may contain no braces. Empty means DefaultPrefix. Programs that share sessions
	// use the same one.
	Prefix string
	// LeaseTime is how long a lock lasts when its holder dies; Watch doubts a connection
	// that is silent for as long, or for 15 seconds if that is less. Zero means
	// DefaultLeaseTime; less than a second is refused. It should be at least one and a half
	// times as long as token requests take, and
	// all programs that share sessions should use the same one. A lock in Redis without an
	// end, or whose end is further away than an hour and ten times LeaseTime, ends LeaseTime
	// after a caller first asks for it.
	LeaseTime time.Duration
}

// Store keeps sessions in Redis, for processes on many hosts. See the package
// documentation for what it promises.
//
// It implements [tokenstore.Store], [tokenstore.Locker], [tokenstore.Spender], [tokenstore.Lister],
// [tokenstore.RecordLister], [tokenstore.Pager], [tokenstore.Stamper], [tokenstore.Watcher] and
// [tokenstore.Timekeeper]. All methods are safe for concurrent use, and return when
// their context ends, even if the client goes on waiting for an answer; what was to be
// written may be written then. When Redis cannot be asked, they fail with
// [tokenstore.ErrUnavailable].
type Store struct {
	client redis.UniversalClient
	prefix string
	lease  time.Duration
	local  tokenstore.Memory // its locks: goroutines queue here, and one of them asks Redis

	mu   sync.Mutex
	seen map[string]uint64 // versions of the sessions that are known to have been there
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

// New returns the store in the Redis that client talks to: one server, one that
// Sentinel watches over (NewFailoverClient), or a Cluster. The client remains the
// caller's, which closes it when the store is no longer used. New does not call it.
//
// It refuses clients that would break a promise: a Ring, whose members know nothing
// of each other's locks, and a Cluster client that reads from replicas, which may
// return a refresh token that was spent.
func New(client redis.UniversalClient, cfg Config) (*Store, error) {
	if err := checkClient(client); err != nil {
		return nil, failed("open", err)
	}
	s := &Store{client: client, prefix: cfg.Prefix, lease: cfg.LeaseTime, seen: make(map[string]uint64)}
	if s.prefix == "" {
		s.prefix = DefaultPrefix
	}
	if s.lease == 0 {
		s.lease = DefaultLeaseTime
	}
	switch {
	case strings.ContainsAny(s.prefix, "{}"):
		return nil, failed("open", errors.New("Config.Prefix contains a brace, which would decide where a Cluster puts the keys"))
	case s.lease < minLeaseTime:
		return nil, failed("open", fmt.Errorf("Config.LeaseTime is %s, less than %s", s.lease, minLeaseTime))
	}
	return s, nil
}

func checkClient(client redis.UniversalClient) error {
	switch c := client.(type) {
	case nil:
		return errors.New("no client was given")
	case *redis.Ring:
		return errors.New("a Ring cannot hold locks: use one server, Sentinel or a Cluster")
	case *redis.ClusterClient:
		if c.Options().ReadOnly { // which RouteByLatency and RouteRandomly switch on
			return errors.New("the client reads from replicas, which may be behind: switch ReadOnly, RouteByLatency and RouteRandomly off")
		}
	}
	return nil
}

// Get implements [tokenstore.Store]. A session that this Store has seen, and that is
// gone without having been deleted, is [tokenstore.ErrDamaged] and not ErrNotFound:
// Redis has lost it, and a process that holds its tokens can save them again.
func (s *Store) Get(ctx context.Context, name string) (*tokenstore.Record, error) {
	const action = "read"
	if err := check(ctx, action, name); err != nil {
		return nil, err
	}
	got, err := s.run(ctx, getScript, []string{s.recordKey(name)}, tokenstore.MaxRecord)
	if err != nil {
		return nil, failed(about(action, name), err)
	}
	found := readStored(got)
	switch {
	case !found.here && found.aside:
		err = tokenstore.ErrDamaged
	case !found.here:
		err = s.absent(ctx, name)
	}
	if err != nil {
		return nil, failed(about(action, name), err)
	}
	rec, err := found.decode()
	if errors.Is(err, tokenstore.ErrDamaged) {
		_, _ = s.run(ctx, asideScript, []string{s.recordKey(name)}, found.record, tokenstore.MaxRecord) // or the next Get does
	}
	if err != nil {
		return nil, failed(about(action, name), err)
	}
	s.saw(name, rec.Version)
	return rec, nil
}

// A stored is what Redis has of a session.
type stored struct {
	version, record string
	here            bool // there is a record
	aside           bool // one was moved aside as damaged, or the key is of another type
}

// readStored reads the answer of getScript.
func readStored(answer any) (found stored) {
	fields, _ := answer.([]any)
	if len(fields) != 3 {
		return stored{aside: true}
	}
	found.version, _ = fields[0].(string)
	found.record, found.here = fields[1].(string)
	found.aside = fields[2] != int64(0)
	return found
}

// decode reads the record. The version beside it is the one that counts.
func (f stored) decode() (*tokenstore.Record, error) {
	var rec tokenstore.Record
	err := rec.UnmarshalJSON([]byte(f.record))
	switch {
	case errors.Is(err, tokenstore.ErrNewerFormat):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", tokenstore.ErrDamaged, err)
	}
	if rec.Version, err = storeerr.ParseVersion(f.version); err != nil {
		return nil, err
	}
	return &rec, nil
}

// Set implements [tokenstore.Store]. How durable the record is, is the server's
// affair: see the package documentation. Redis removes it thirty days after the
// session has ended, if the record tells when that is.
func (s *Store) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	const action = "save"
	if err := check(ctx, action, name); err != nil {
		return 0, err
	}
	if rec == nil {
		return 0, failed(about(action, name), errNoRecord)
	}
	args, err := s.saveArgs(name, rec)
	if err != nil {
		return 0, failed(about(action, name), err)
	}
	version, err := s.saved(name)(s.run(ctx, writeScript, s.sessionKeys(name), args...))
	return version, failed(about(action, name), err)
}

// saveArgs returns the arguments of a script that saves rec.
func (s *Store) saveArgs(name string, rec *tokenstore.Record) ([]any, error) {
	bare := *rec
	bare.Version = 0 // it lies beside the record, where scripts can read it
	data, err := storeerr.Encode(&bare)
	if err != nil {
		return nil, err
	}
	// A version of its time, and not the next number: a replica that takes over may not
	// have heard of the last one, and would count up to it a second time.
	return []any{
		rec.Version, s.nextVersion(name), rand.Text(), data, keepFor(rec, time.Now()).Milliseconds(), name, s.channel(),
		notice.Of(rec),
	}, nil
}

// saved returns what reads the answer of such a script.
func (s *Store) saved(name string) func(got any, err error) (version uint64, _ error) {
	return func(got any, err error) (uint64, error) {
		if err == redis.Nil {
			err = tokenstore.ErrConflict
		}
		if err != nil {
			return 0, err
		}
		text, _ := got.(string)
		version, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("a script returned no version: %T", got)
		}
		s.saw(name, version)
		return version, nil
	}
}

// Delete implements [tokenstore.Store]. It leaves a trace without tokens for thirty
// days, by which others know that the session was deleted and not lost.
func (s *Store) Delete(ctx context.Context, name string, version uint64) error {
	const action = "delete"
	if err := check(ctx, action, name); err != nil {
		return err
	}
	beyond := tokenstore.NextVersion(0) + 1<<20 // of the next second: no version is as late
	got, err := s.run(ctx, deleteScript, s.sessionKeys(name),
		version, rand.Text(), graceTime.Milliseconds(), name, s.channel(), beyond, notice.Changed)
	switch {
	case err != nil:
	case got == int64(-1):
		err = tokenstore.ErrConflict
	case got != int64(1):
		err = tokenstore.ErrNotFound
	}
	if err == nil || errors.Is(err, tokenstore.ErrNotFound) {
		s.forget(name)
	}
	return failed(about(action, name), err)
}

// Stamp implements [tokenstore.Stamper]. The stamp is the record's version.
func (s *Store) Stamp(ctx context.Context, name string) (uint64, error) {
	const action = "look at"
	if err := check(ctx, action, name); err != nil {
		return 0, err
	}
	text, err := call(ctx, func(ctx context.Context) (string, error) {
		return s.client.HGet(ctx, s.recordKey(name), "v").Result()
	})
	var version uint64
	switch {
	case err == nil:
		version, err = storeerr.ParseVersion(text)
	case err == redis.Nil:
		err = s.absent(ctx, name)
	}
	return version, failed(about(action, name), err)
}

// Scope implements [tokenstore.Scoped] by the prefix.
func (s *Store) Scope() string { return "redis " + s.prefix }

// String names the prefix, and nothing of the client or of what is stored.
func (s *Store) String() string { return fmt.Sprintf("redisstore.Store{%s}", s.prefix) }

// Format implements fmt.Formatter: every verb prints what String returns.
func (s *Store) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, s.String()) }
