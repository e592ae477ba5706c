package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

// A shelf is where a client saves its session, as a bystander sees it.
type shelf interface {
	// put saves a new login.
	put(ctx context.Context, pair *oauth.TokenPair) error
	// get returns what is saved. An error means that it cannot be read.
	get(ctx context.Context) (saved, error)
	// free reports whether nobody holds the session's lock.
	free(ctx context.Context) bool
	// sweep is what the client does about temporary files of the dead.
	sweep() error
}

// saved is what a file says about a session.
type saved struct {
	refreshToken string
	version      uint64 // never goes back
	pending      bool   // a spend of refreshToken is announced
}

func newShelf(c client, dir string) (shelf, error) {
	if c == xoauth2 {
		return plainShelf{dir}, nil
	}
	f, err := tokenstore.NewFile(dir)
	return fileShelf{f}, err
}

// tempMark is part of the names of temporary files, with every client.
const tempMark = ".tmp-"

// temps returns the temporary files in dir.
func temps(dir string) []string {
	files, _ := filepath.Glob(filepath.Join(dir, "*"+tempMark+"*")) // the pattern is good
	return files
}

// sessionName is the one that refresh.Manager uses by default.
const sessionName = "default"

// A fileShelf is a tokenstore.File.
type fileShelf struct{ *tokenstore.File }

func (s fileShelf) put(ctx context.Context, pair *oauth.TokenPair) error {
	rec := &tokenstore.Record{Tokens: pair}
	if old, err := s.Get(ctx, sessionName); err == nil {
		rec.Version = old.Version
	}
	_, err := s.Set(ctx, sessionName, rec)
	return err
}

func (s fileShelf) get(ctx context.Context) (saved, error) {
	rec, err := s.Get(ctx, sessionName)
	if err != nil {
		return saved{}, err
	}
	token := rec.Tokens.RefreshToken
	return saved{refreshToken: token, version: rec.Version, pending: rec.Pending.On(token)}, nil
}

func (s fileShelf) free(ctx context.Context) bool {
	// The kernel takes the lock from a process before anybody can know that it has
	// ended. The time is for a machine that is busy.
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	lease, err := s.Lock(ctx, sessionName)
	return err == nil && lease.Unlock() == nil
}

func (s fileShelf) sweep() error {
	_, err := tokenstore.NewFile(s.Dir())
	return err
}

// A plainShelf is the file of a program without this module.
type plainShelf struct{ dir string }

func (s plainShelf) put(_ context.Context, pair *oauth.TokenPair) error {
	return writeToken(s.dir, pair.OAuth2())
}

func (s plainShelf) get(context.Context) (saved, error) {
	tok, err := readToken(s.dir)
	if err != nil {
		return saved{}, err
	}
	return saved{refreshToken: tok.RefreshToken}, nil
}

func (plainShelf) free(context.Context) bool { return true }
func (plainShelf) sweep() error              { return nil }

// hash is how the server's list of spends names a refresh token.
func hash(refreshToken string) string {
	sum := sha256.Sum256([]byte(refreshToken))
	return hex.EncodeToString(sum[:])[:12]
}
