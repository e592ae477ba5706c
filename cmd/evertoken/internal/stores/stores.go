// Package stores has the places where tokens are kept, each as one client sees it.
package stores

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"

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

const (
	// bindingField is where a record says which client it belongs to.
	bindingField = "client"
	// settingsField is where it says which settings its login had.
	settingsField = "settings"
	// apisField is where it says to which origins a person has let its token go.
	apisField = "apis"
)

// A Bound is the store as seen by one client. A record that has come to
// belong to another client, because of a new login to the same profile, is an error: its
// refresh token must not be sent to the wrong server, not even by a process that started
// before. So is one whose login had other settings than those that this process has read
// from the profile's file: a person or a program has edited that, and it may say to send the tokens
// elsewhere. Once both were found to agree, a new login with the same client may change
// them, and this process goes on. Records of other programs and of earlier versions, which
// do not say, are taken as ours.
type Bound struct {
	Backend
	Kind     string // as --store names it
	Binding  string // as [profile.Profile.Binding] says
	Settings string // as [profile.Profile.Fingerprint] says
	// Login returns the command that logs in anew, in quotes, for messages.
	Login func() string

	// NamesAPIs: a login names the APIs, so that those which a person has allowed before
	// are over.
	NamesAPIs bool

	agreed atomic.Bool // a record was found whose login had these settings
}

// BindingOf returns which client a record says it belongs to, if it does.
func BindingOf(rec *tokenstore.Record) string { return textOf(rec, bindingField) }

// SettingsOf returns which settings a record says its login had, if it does.
func SettingsOf(rec *tokenstore.Record) string { return textOf(rec, settingsField) }

// APIsOf returns the origins to which a person has let the record's token go.
func APIsOf(rec *tokenstore.Record) []string {
	var apis []string
	if json.Unmarshal(rec.Unknown[apisField], &apis) != nil {
		return nil
	}
	return apis
}

// AddAPI lets the token of a session go to an origin. The caller holds the session's lock.
func (s *Bound) AddAPI(ctx context.Context, name, api string) error {
	for {
		rec, err := s.Get(ctx, name)
		if err != nil {
			return err
		}
		apis := APIsOf(rec)
		if slices.Contains(apis, api) {
			return nil
		}
		text, err := json.Marshal(append(apis, api))
		if err != nil {
			return err
		}
		rec = rec.Clone()
		if rec.Unknown == nil {
			rec.Unknown = make(map[string]json.RawMessage)
		}
		rec.Unknown[apisField] = text
		if _, err = s.Set(ctx, name, rec); !errors.Is(err, tokenstore.ErrConflict) {
			return err
		}
	}
}

// Unbind makes a record one of a new login, which takes the settings of the store that it
// is saved in. What a person has allowed for another client's tokens does not hold for its.
func (s *Bound) Unbind(rec *tokenstore.Record) {
	delete(rec.Unknown, settingsField)
	if s.NamesAPIs || BindingOf(rec) != s.Binding {
		delete(rec.Unknown, apisField)
	}
}

func textOf(rec *tokenstore.Record, field string) string {
	var text string
	if json.Unmarshal(rec.Unknown[field], &text) != nil {
		return ""
	}
	return text
}

func (s *Bound) login() string {
	if s.Login == nil {
		return `"evertoken login"`
	}
	return s.Login()
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
			"run the command again; if that does not help, the profile's file was edited: undo that, or run "+s.login())
	}
	if err := s.agree(name, rec); err != nil {
		return nil, err
	}
	return rec, nil
}

// agree returns an error if a record's login had other settings than this process has.
func (s *Bound) agree(name string, rec *tokenstore.Record) error {
	switch settings := SettingsOf(rec); {
	case settings == "" || s.Settings == "":
	case settings == s.Settings:
		s.agreed.Store(true)
	case !s.agreed.Load():
		return exit.New(exit.Config,
			fmt.Sprintf("the settings of profile %q are not those that it was logged in with, so no token is sent where they say", name),
			"undo the change of its file below profiles, or log in again with "+s.login())
	}
	return nil
}

// Set implements tokenstore.Store.
func (s *Bound) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	bound, err := s.bind(rec)
	if err != nil {
		return 0, err
	}
	return s.Backend.Set(ctx, name, bound)
}

// bind returns rec as one that says which client it belongs to.
func (s *Bound) bind(rec *tokenstore.Record) (*tokenstore.Record, error) {
	rec = rec.Clone()
	if rec.Unknown == nil {
		rec.Unknown = make(map[string]json.RawMessage)
	}
	binding, err := json.Marshal(s.Binding)
	rec.Unknown[bindingField] = binding
	// A login by another process may have changed the settings: they stay those of that.
	if SettingsOf(rec) == "" && s.Settings != "" && err == nil {
		rec.Unknown[settingsField], err = json.Marshal(s.Settings)
	}
	return rec, err
}

// BeginSpend implements tokenstore.Spender, if the backend does.
func (s *Bound) BeginSpend(ctx context.Context, via tokenstore.Store, name string, rec *tokenstore.Record, reserve bool) (tokenstore.Spending, uint64, error) {
	spender, ok := s.Backend.(tokenstore.Spender)
	if !ok || via != tokenstore.Store(s) {
		return nil, 0, errors.ErrUnsupported
	}
	bound, err := s.bind(rec)
	if err != nil {
		return nil, 0, err
	}
	spending, version, err := spender.BeginSpend(ctx, s.Backend, name, bound, reserve)
	if err != nil {
		return nil, 0, err
	}
	return boundSpending{spending, s}, version, nil
}

type boundSpending struct {
	tokenstore.Spending
	bound *Bound
}

// Settle implements tokenstore.Spending.
func (s boundSpending) Settle(ctx context.Context, rec *tokenstore.Record) (uint64, error) {
	bound, err := s.bound.bind(rec)
	if err != nil {
		return 0, err
	}
	return s.Spending.Settle(ctx, bound)
}

// Place tells people where the tokens are and who can read them.
func (s *Bound) Place() string {
	if s.Kind == profile.InKeyring {
		return "OS keyring (sealed files in " + s.Dir() + ")"
	}
	return s.Dir() + ", readable by any program that can read your files"
}
