// Package saved looks at what a client has saved, as a bystander.
package saved

import (
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
	// Get returns what is saved. An error means that it cannot be read.
	Get(ctx context.Context) (State, error)
	// Free reports whether no process holds the session's lock.
	Free(ctx context.Context) bool
	// Sweep is what the client does about temporary files of the dead.
	Sweep() error
}

// A State is what a file says about a session.
type State struct {
	RefreshToken string
	Version      uint64 // never goes back
	Pending      bool   // a spend of RefreshToken is announced
}

// NewFile returns the shelf of a program with this module.
func NewFile(dir string) (*File, error) {
	f, err := tokenstore.NewFile(dir)
	return &File{f}, err
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

// A File is a tokenstore.File.
type File struct{ Store *tokenstore.File }

// Put implements Shelf.
func (s *File) Put(ctx context.Context, pair *oauth.TokenPair) error {
	rec := &tokenstore.Record{Tokens: pair}
	if old, err := s.Store.Get(ctx, SessionName); err == nil {
		rec.Version = old.Version
	}
	_, err := s.Store.Set(ctx, SessionName, rec)
	return err
}

// Get implements Shelf.
func (s *File) Get(ctx context.Context) (State, error) {
	rec, err := s.Store.Get(ctx, SessionName)
	if err != nil {
		return State{}, err
	}
	token := rec.Tokens.RefreshToken
	return State{RefreshToken: token, Version: rec.Version, Pending: rec.Pending.On(token)}, nil
}

// Free implements Shelf.
func (s *File) Free(ctx context.Context) bool {
	// The kernel takes the lock from a process before any other can know that it has
	// ended. The time is for a machine that is busy.
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	lease, err := s.Store.Lock(ctx, SessionName)
	return err == nil && lease.Unlock() == nil
}

// Sweep implements Shelf.
func (s *File) Sweep() error {
	_, err := tokenstore.NewFile(s.Store.Dir())
	return err
}

// A Plain is the file of a program without this module, in a directory.
type Plain string

// Put implements Shelf.
func (s Plain) Put(_ context.Context, pair *oauth.TokenPair) error {
	return WriteToken(string(s), pair.OAuth2())
}

// Get implements Shelf.
func (s Plain) Get(context.Context) (State, error) {
	tok, err := ReadToken(string(s))
	if err != nil {
		return State{}, err
	}
	return State{RefreshToken: tok.RefreshToken}, nil
}

// Free implements Shelf.
func (Plain) Free(context.Context) bool { return true }

// Sweep implements Shelf.
func (Plain) Sweep() error { return nil }

// Hash is how the server's list of spends names a refresh token.
func Hash(refreshToken string) string {
	sum := sha256.Sum256([]byte(refreshToken))
	return hex.EncodeToString(sum[:])[:12]
}

const tokenFile = "token.json"

// ReadToken reads what Plain has.
func ReadToken(dir string) (*oauth2.Token, error) {
	data, err := os.ReadFile(filepath.Join(dir, tokenFile))
	if err != nil {
		return nil, err
	}
	tok := new(oauth2.Token)
	return tok, json.Unmarshal(data, tok)
}

// WriteToken saves a token by a temporary file and a rename.
func WriteToken(dir string, tok *oauth2.Token) error {
	data, err := json.Marshal(tok)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, tokenFile+TempMark+"*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(dir, tokenFile))
}
