package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/keyring"
)

// Where tokens are kept, as --store names it.
const (
	storeKeyring = "keyring" // files, sealed with a key that is in the OS keyring
	storeFile    = "file"    // plain files
)

// keyringService is our name in the OS keyring.
const keyringService = "evertoken"

// A backend is a store of all profiles' tokens.
type backend interface {
	tokenstore.Store
	tokenstore.Locker
	tokenstore.Checker
	tokenstore.Lister
	Dir() string
}

// openKeyring opens the sealed sessions in dir. It is what app.openKeyring is
// outside of tests.
func openKeyring(ctx context.Context, dir string) (backend, error) {
	return keyring.Open(ctx, keyring.Config{Service: keyringService, Dir: dir})
}

// openStore opens the store that a profile names.
func (a *app) openStore(ctx context.Context, p *profile) (*boundStore, error) {
	b, err := a.openBackend(ctx, p.store())
	if err != nil {
		return nil, err
	}
	return &boundStore{backend: b, kind: p.store(), binding: p.binding()}, nil
}

func (a *app) openBackend(ctx context.Context, kind string) (backend, error) {
	dir, err := a.storeDir(kind)
	if err != nil {
		return nil, err
	}
	if kind != storeKeyring {
		return tokenstore.NewFile(dir)
	}
	patience := time.AfterFunc(2*time.Second, func() {
		a.say("Waiting for the OS keyring; a window may be asking for its password …")
	})
	defer patience.Stop()
	return a.openKeyring(ctx, dir)
}

// storeDir returns the directory of a store. Sealed sessions have one of their
// own: in that of the plain ones they would be files of the same names.
func (a *app) storeDir(kind string) (string, error) {
	dir, err := a.directory()
	if err == nil && kind == storeKeyring {
		dir = filepath.Join(dir, "sealed")
	}
	return dir, err
}

// otherStore returns the store that kind is not.
func otherStore(kind string) string {
	if kind == storeKeyring {
		return storeFile
	}
	return storeKeyring
}

// bindingField is where a record says which client it belongs to.
const bindingField = "client"

// A boundStore is the store as seen by one client. A record that has come to
// belong to another client, because somebody has logged in anew to the same
// profile, is an error: its refresh token must not be sent to the wrong server,
// not even by a process that started before. Records of other programs, which
// do not say, are taken as ours.
type boundStore struct {
	backend
	kind    string
	binding string
}

// bindingOf returns which client a record says it belongs to, if it does.
func bindingOf(rec *tokenstore.Record) string {
	var binding string
	if json.Unmarshal(rec.Unknown[bindingField], &binding) != nil {
		return ""
	}
	return binding
}

// Get implements tokenstore.Store.
func (s *boundStore) Get(ctx context.Context, name string) (*tokenstore.Record, error) {
	rec, err := s.backend.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	if binding := bindingOf(rec); binding != "" && binding != s.binding {
		return nil, &problem{exitConfig,
			fmt.Sprintf("the session of profile %q belongs to another client now", name),
			"run the command again; if that does not help, log in again"}
	}
	return rec, nil
}

// Set implements tokenstore.Store.
func (s *boundStore) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	rec = rec.Clone()
	if rec.Unknown == nil {
		rec.Unknown = make(map[string]json.RawMessage)
	}
	binding, err := json.Marshal(s.binding)
	if err != nil {
		return 0, err
	}
	rec.Unknown[bindingField] = binding
	return s.backend.Set(ctx, name, rec)
}

// place tells people where the tokens are and who can read them.
func (s *boundStore) place() string {
	if s.kind == storeKeyring {
		return "OS keyring (sealed files in " + s.Dir() + ")"
	}
	return s.Dir() + ", readable by whoever can read your files"
}

// store returns where the profile's tokens are kept. Profiles that do not say are
// from the time when there were files only.
func (p *profile) store() string { return cmp.Or(p.Store, storeFile) }
