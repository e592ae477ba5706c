// Package stores has the places where tokens are kept, each as one client sees it.
package stores

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/profile"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/keyring"
)

// keyringService is our name in the OS keyring.
const keyringService = "evertoken"

// A Backend is a store of all profiles' tokens.
type Backend interface {
	tokenstore.Store
	tokenstore.Locker
	tokenstore.Checker
	tokenstore.Lister
	Dir() string
}

// OpenKeyring opens the sealed sessions in dir.
func OpenKeyring(ctx context.Context, dir string) (Backend, error) {
	return keyring.Open(ctx, keyring.Config{Service: keyringService, Dir: dir})
}

// Dir returns the directory of a store, below that of the plain ones. Sealed
// sessions have one of their own: in that of the plain ones they would be files of
// the same names.
func Dir(plain, kind string) string {
	if kind == profile.InKeyring {
		return filepath.Join(plain, "sealed")
	}
	return plain
}

// Other returns the store that kind is not.
func Other(kind string) string {
	if kind == profile.InKeyring {
		return profile.InFiles
	}
	return profile.InKeyring
}

// bindingField is where a record says which client it belongs to.
const bindingField = "client"

// A Bound is the store as seen by one client. A record that has come to
// belong to another client, because of a new login to the same profile, is an error: its
// refresh token must not be sent to the wrong server, not even by a process that started
// before. Records of other programs, which
// do not say, are taken as ours.
type Bound struct {
	Backend
	Kind    string // as --store names it
	Binding string // as [profile.Profile.Binding] says
}

// BindingOf returns which client a record says it belongs to, if it does.
func BindingOf(rec *tokenstore.Record) string {
	var binding string
	if json.Unmarshal(rec.Unknown[bindingField], &binding) != nil {
		return ""
	}
	return binding
}

// Get implements tokenstore.Store.
func (s *Bound) Get(ctx context.Context, name string) (*tokenstore.Record, error) {
	rec, err := s.Backend.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	if binding := BindingOf(rec); binding != "" && binding != s.Binding {
		return nil, exit.New(exit.Config,
			fmt.Sprintf("the session of profile %q belongs to another client now", name),
			"run the command again; if that does not help, log in again")
	}
	return rec, nil
}

// Set implements tokenstore.Store.
func (s *Bound) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	rec = rec.Clone()
	if rec.Unknown == nil {
		rec.Unknown = make(map[string]json.RawMessage)
	}
	binding, err := json.Marshal(s.Binding)
	if err != nil {
		return 0, err
	}
	rec.Unknown[bindingField] = binding
	return s.Backend.Set(ctx, name, rec)
}

// Place tells people where the tokens are and who can read them.
func (s *Bound) Place() string {
	if s.Kind == profile.InKeyring {
		return "OS keyring (sealed files in " + s.Dir() + ")"
	}
	return s.Dir() + ", readable by any program that can read your files"
}
