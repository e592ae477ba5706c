// Package saved looks at what a client has saved, as a bystander.
package saved

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/oauth2"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

// A Shelf is where a client saves its session, as a bystander sees it.
type Shelf interface {
	// Put saves a new login.
	Put(ctx context.Context, pair *oauth.TokenPair) error
	// Age has the saved access token end so much after now, as far as the client knows.
	Age(ctx context.Context, left time.Duration) error
	// Get returns what is saved. An error means that it cannot be read.
	Get(ctx context.Context) (State, error)
	// Free reports whether no process holds the session's lock.
	Free(ctx context.Context) bool
	// Path is the file that the session is saved in.
	Path() string
	// Sweep is what the client does about temporary files of the dead.
	Sweep() error
}

// A State is what a file says about a session.
type State struct {
	RefreshToken string
	Version      uint64 // never goes back
	Pending      bool   // a spend of RefreshToken is announced
}

// NewFile returns the shelf of a program with this module; no name is the default one.
func NewFile(dir, session string) (*File, error) {
	f, err := tokenstore.NewFile(dir)
	return &File{f, cmp.Or(session, SessionName)}, err
}

// TempMark is part of the names of temporary files, with every client.
const TempMark = ".tmp-"

// Temps returns the temporary files in dir.
func Temps(dir string) []string {
	files, _ := filepath.Glob(filepath.Join(dir, "*"+TempMark+"*")) // the pattern is good
	return files
}

// SessionName is the one that refresh.Manager uses by default.
const SessionName = "default"

// A File is a session in a tokenstore.File.
type File struct {
	Store *tokenstore.File
	Name  string
}

// Put implements Shelf.
func (s *File) Put(ctx context.Context, pair *oauth.TokenPair) error {
	return s.write(ctx, func(rec *tokenstore.Record) *tokenstore.Record {
		return &tokenstore.Record{Tokens: pair, Version: rec.Version}
	})
}

// write replaces the record, also while workers write it.
func (s *File) write(ctx context.Context, edit func(*tokenstore.Record) *tokenstore.Record) error {
	for {
		rec, err := s.Store.Get(ctx, s.Name)
		if errors.Is(err, tokenstore.ErrNotFound) {
			rec, err = new(tokenstore.Record), nil
		}
		if err != nil {
			return err
		}
		if _, err = s.Store.Set(ctx, s.Name, edit(rec)); !errors.Is(err, tokenstore.ErrConflict) {
			return err
		}
	}
}

// Age implements Shelf.
func (s *File) Age(ctx context.Context, left time.Duration) error {
	return s.write(ctx, func(rec *tokenstore.Record) *tokenstore.Record {
		rec.Tokens.ExpiresAt = time.Now().Add(left)
		rec.Tokens.IssuedAt = rec.Tokens.ExpiresAt.Add(-time.Hour)
		return rec
	})
}

// Get implements Shelf.
func (s *File) Get(ctx context.Context) (State, error) {
	rec, err := s.Store.Get(ctx, s.Name)
	if err != nil {
		return State{}, err
	}
	token := rec.Tokens.RefreshToken
	return State{RefreshToken: token, Version: rec.Version, Pending: rec.Pending.On(token)}, nil
}

// Free implements Shelf.
func (s *File) Free(ctx context.Context) bool {
	// The kernel takes the lock from a process before any other can know that it has
	// ended. The time is for a machine that is very busy.
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	lease, err := s.Store.Lock(ctx, s.Name)
	return err == nil && lease.Unlock() == nil
}

// Path implements Shelf. The names that torture gives stand for themselves in files.
func (s *File) Path() string { return filepath.Join(s.Store.Dir(), s.Name+".json") }

// Sweep implements Shelf.
func (s *File) Sweep() error {
	_, err := tokenstore.NewFile(s.Store.Dir())
	return err
}

// A Plain is the file of a program without this module, in a directory.
type Plain struct{ Dir, Session string }

// Put implements Shelf.
func (s Plain) Put(_ context.Context, pair *oauth.TokenPair) error {
	return WriteToken(s.Dir, s.Session, pair.OAuth2())
}

// Age implements Shelf.
func (s Plain) Age(_ context.Context, left time.Duration) error {
	tok, err := ReadToken(s.Dir, s.Session)
	if err != nil {
		return err
	}
	tok.Expiry = time.Now().Add(left)
	return WriteToken(s.Dir, s.Session, tok)
}

// Get implements Shelf.
func (s Plain) Get(context.Context) (State, error) {
	tok, err := ReadToken(s.Dir, s.Session)
	if err != nil {
		return State{}, err
	}
	return State{RefreshToken: tok.RefreshToken}, nil
}

// Free implements Shelf.
func (Plain) Free(context.Context) bool { return true }

// Path implements Shelf.
func (s Plain) Path() string { return tokenFile(s.Dir, s.Session) }

// Sweep implements Shelf.
func (Plain) Sweep() error { return nil }

// Hash is how the server's list of spends names a refresh token.
func Hash(refreshToken string) string {
	sum := sha256.Sum256([]byte(refreshToken))
	return hex.EncodeToString(sum[:])[:12]
}

// tokenFile is where a plain program saves a session.
func tokenFile(dir, session string) string { return filepath.Join(dir, "token"+session+".json") }

// ReadToken reads what Plain has.
func ReadToken(dir, session string) (*oauth2.Token, error) {
	data, err := os.ReadFile(tokenFile(dir, session))
	if err != nil {
		return nil, err
	}
	tok := new(oauth2.Token)
	return tok, json.Unmarshal(data, tok)
}

// WriteToken saves a token by a temporary file and a rename.
func WriteToken(dir, session string, tok *oauth2.Token) error {
	data, err := json.Marshal(tok)
	if err != nil {
		return err
	}
	path := tokenFile(dir, session)
	f, err := os.CreateTemp(dir, filepath.Base(path)+TempMark+"*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // it is of no use
	}
	return err
}
