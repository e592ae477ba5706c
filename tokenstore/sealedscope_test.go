package tokenstore_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/internal/testdir"
	"github.com/evertoken/evertoken/tokenstore"
)

// A writer to the store copies a session from another directory of the same user.
func TestSealedSessionOpensInItsOwnDirectoryAlone(t *testing.T) {
	here, there, keys := openFile(t, testdir.New(t)), openFile(t, testdir.New(t)), tokenstore.Keys(tokenstore.NewKey())
	mustSet(t, tokenstore.NewSealed(there, keys), "default", &tokenstore.Record{Tokens: newPair("a")})
	writeFile(t, filepath.Join(here.Dir(), "default.json"), readFile(t, filepath.Join(there.Dir(), "default.json")), 0o600)

	s := tokenstore.NewSealed(here, keys)
	_, getErr := s.Get(t.Context(), "default")
	_, resealErr := s.Reseal(t.Context())
	for method, err := range map[string]error{"Get": getErr, "Reseal": resealErr} {
		if !errors.Is(err, tokenstore.ErrSealed) || !strings.Contains(err.Error(), "another directory or store") || strings.Contains(err.Error(), there.Dir()) {
			t.Errorf("%s of a session from another directory: %v; want ErrSealed that says so", method, err)
		}
	}
	mustGet(t, tokenstore.NewSealed(there, keys), "default")
}

// What an earlier version has sealed opens, and is bound by the next save or by Reseal.
func TestSessionSealedByAnEarlierVersionOpensAndIsBound(t *testing.T) {
	keys := tokenstore.Keys(tokenstore.NewKey())
	for how, bind := range map[string]func(s *tokenstore.Sealed) error{
		"Set": func(s *tokenstore.Sealed) error {
			_, err := s.Set(t.Context(), "default", mustGet(t, s, "default"))
			return err
		},
		"Reseal": func(s *tokenstore.Sealed) error {
			if n, err := s.Reseal(t.Context()); n != 1 || err != nil {
				t.Errorf("Reseal: %d, %v", n, err)
			}
			n, err := s.Reseal(t.Context())
			if n != 0 {
				t.Errorf("a second Reseal has sealed %d", n)
			}
			return err
		},
	} {
		f := openFile(t, testdir.New(t))
		mustSet(t, tokenstore.NewSealed(unscoped{f}, keys), "default", &tokenstore.Record{Tokens: newPair("a")})
		s := tokenstore.NewSealed(f, keys)
		mustGet(t, s, "default")
		if err := bind(s); err != nil {
			t.Errorf("%s: %v", how, err)
		}
		copied := openFile(t, testdir.New(t))
		writeFile(t, filepath.Join(copied.Dir(), "default.json"), readFile(t, filepath.Join(f.Dir(), "default.json")), 0o600)
		if _, err := tokenstore.NewSealed(copied, keys).Get(t.Context(), "default"); !errors.Is(err, tokenstore.ErrSealed) {
			t.Errorf("after %s, a copy elsewhere: %v", how, err)
		}
		mustGet(t, s, "default")
	}
}

// unscoped hides what tells one directory from another.
type unscoped struct{ tokenstore.Store }

// One directory under two names is one store.
func TestScopeIsThatOfTheDirectoryWhateverItsName(t *testing.T) {
	dir := testdir.New(t)
	link := filepath.Join(testdir.New(t), "link")
	if err := os.Symlink(dir, link); err != nil {
		return // Windows wants a privilege for it
	}
	if _, err := os.Stat(link); err != nil {
		return // Wine 8 makes none, and says that it has
	}
	keys := tokenstore.Keys(tokenstore.NewKey())
	mustSet(t, tokenstore.NewSealed(openFile(t, dir), keys), "default", &tokenstore.Record{Tokens: newPair("a")})
	mustGet(t, tokenstore.NewSealed(openFile(t, link), keys), "default")
}
