package keyring

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/evertoken/evertoken/tokenstore"
)

// Store is what [Open] returns: sessions in files, sealed with a key that is in
// the OS keyring. It has all methods of [tokenstore.Sealed], and keeps the promises
// of a [tokenstore.File] about crashes, locks and size.
//
// All methods are safe for concurrent use by goroutines and processes.
type Store struct {
	*tokenstore.Sealed
	file *tokenstore.File
	key  *sealingKey
}

var (
	_ tokenstore.Store        = (*Store)(nil)
	_ tokenstore.Locker       = (*Store)(nil)
	_ tokenstore.Spender      = (*Store)(nil)
	_ tokenstore.Lister       = (*Store)(nil)
	_ tokenstore.RecordLister = (*Store)(nil)
)

// BeginSpend implements [tokenstore.Spender].
func (s *Store) BeginSpend(ctx context.Context, via tokenstore.Store, name string, rec *tokenstore.Record, reserve bool) (tokenstore.Spending, uint64, error) {
	if via == tokenstore.Store(s) {
		via = s.Sealed
	}
	return s.Sealed.BeginSpend(ctx, via, name, rec, reserve)
}

// Open opens the store of c.Service. The first time, it makes a random key and
// saves it in the keyring; processes that start at the same moment end up with the
// same one.
//
// It reads the key at once, so that trouble shows at the start, and has the keyring
// unlocked if need be. It fails with [ErrNoKeyring], [ErrKeyringLocked] or [ErrTimeout],
// and never goes on without encryption. With [ErrKeyLost] there are sealed sessions
// and no key, as after a keyring was reset: they cannot be opened any more, and
// the error says how to start over.
func Open(ctx context.Context, c Config) (*Store, error) {
	root, err := lockRoot()
	if err != nil {
		return nil, failed("find the home directory", err)
	}
	return openStore(ctx, c, theGuard, root)
}

func openStore(ctx context.Context, c Config, g *guard, lockRoot string) (*Store, error) {
	client, locks, err := prepare(ctx, c, g, lockRoot)
	if err != nil {
		return nil, err
	}
	dir, err := c.dir()
	if err != nil {
		return nil, err
	}
	file, err := tokenstore.NewFile(dir)
	if err != nil {
		return nil, err
	}
	key := &sealingKey{client, locks}
	s := &Store{file: file, key: key}
	s.Sealed = tokenstore.NewSealed(file, s.keys)
	if _, err = key.read(ctx); errors.Is(err, errNoItem) {
		err = key.create(ctx, s.mayCreate)
	}
	if err != nil {
		return nil, failed("open", err)
	}
	return s, nil
}

// Dir returns the absolute path of the directory that holds the sealed sessions.
func (s *Store) Dir() string { return s.file.Dir() }

// Rotate makes a new key and seals every record anew with it, each under its
// lock. Interrupted, it leaves all sessions readable; call [tokenstore.Sealed.Reseal]
// or Rotate again to go on.
//
// The keys before, up to 31, stay in the keyring to open sessions with. Another
// process that has been running all the time may seal a new session with the key
// that it knows, at any time from now; without that key, it would be lost. The same
// holds for other directories of the same service. Copies of the files that were
// made before can thus be opened for as long as the keyring can.
func (s *Store) Rotate(ctx context.Context) error {
	err := s.key.add(ctx)
	if errors.Is(err, errNoItem) {
		err = s.lost()
	}
	if err == nil {
		_, err = s.Reseal(ctx)
	}
	return failed("rotate the key", err)
}

// keys is the store's [tokenstore.KeyFunc].
func (s *Store) keys(ctx context.Context) ([]tokenstore.Key, error) {
	keys, err := s.key.read(ctx)
	if errors.Is(err, errNoItem) {
		err = s.lost()
	}
	return keys, err
}

// mayCreate fails if there are records that a new key would not open. What package connect
// keeps beside sessions outlives a logout, and is sealed too.
func (s *Store) mayCreate(ctx context.Context) error {
	names, err := s.file.Records(ctx)
	if err != nil {
		return err
	}
	// Any key will do to tell what is sealed.
	sealed := tokenstore.NewSealed(s.file, tokenstore.Keys(tokenstore.NewKey()))
	for _, name := range names {
		_, err := sealed.Get(ctx, name)
		switch {
		case errors.Is(err, tokenstore.ErrNotSealed):
		case errors.Is(err, tokenstore.ErrSealed):
			return s.lost()
		case errors.Is(err, tokenstore.ErrNewerFormat), ctx.Err() != nil:
			return err
		}
	}
	return nil
}

func (s *Store) lost() error {
	return fmt.Errorf("%w: bring the keyring back that has it; to start over without these sessions, remove the directory %s and log in again", ErrKeyLost, s.Dir())
}

// String says where the sealed sessions are, and nothing of what is in them.
func (s *Store) String() string { return fmt.Sprintf("keyring.Store{%s}", s.Dir()) }

// Format implements fmt.Formatter: every verb prints what String returns.
func (s *Store) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, s.String()) }
