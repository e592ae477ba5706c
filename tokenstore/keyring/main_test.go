package keyring_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/internal/testdir"
	"github.com/evertoken/evertoken/internal/teststore"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/keyring"
)

const service = "evertoken-test"

// helperEnv makes the test binary a helper process: it runs the named helper with
// its arguments instead of the tests.
const helperEnv = "EVERTOKEN_KEYRING_HELPER"

var helpers = map[string]func(args []string) error{}

func TestMain(m *testing.M) {
	if name := os.Getenv(helperEnv); name != "" {
		if err := helpers[name](os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if os.Getenv(privateEnv) == "" {
		// No test may reach the keyring of the person who runs it.
		_ = os.Setenv("DBUS_SESSION_BUS_ADDRESS", "disabled:")
	}
	os.Exit(m.Run())
}

// privateEnv tells a test that the keyring it finds is one made for it.
const privateEnv = "EVERTOKEN_KEYRING_PRIVATE"

// A place is where the stores of a test are.
type place struct {
	fake      *keyring.Fake
	dir, root string
	maxItem   int
	config    keyring.Config
}

func newPlace(t *testing.T) *place {
	t.Helper()
	dir := testdir.New(t)
	return &place{
		fake: new(keyring.Fake), dir: filepath.Join(dir, "sessions"), root: filepath.Join(dir, "locks"), maxItem: 32 << 10,
		config: keyring.Config{Service: service, Dir: filepath.Join(dir, "sessions")},
	}
}

// open opens the store as another process would: nothing in memory is shared.
func (p *place) open(t *testing.T) *keyring.Store {
	t.Helper()
	s, err := keyring.OpenOn(t.Context(), p.config, p.fake, p.root)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// direct does the same for the sessions in the keyring itself.
func (p *place) direct(t *testing.T) *keyring.Direct {
	t.Helper()
	d, err := keyring.OpenDirectOn(t.Context(), p.config, p.fake, p.root, p.maxItem)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// secret marks what must not be printed.
const secret = "S3CR3T-do-not-print"

func record(label string) *tokenstore.Record {
	return &tokenstore.Record{Tokens: &oauth.TokenPair{
		AccessToken: "access-" + label + "-" + secret, RefreshToken: "refresh-" + label + "-" + secret,
	}}
}

// large returns a record with a pair of the given size.
func large(label string, size int) *tokenstore.Record {
	rec := record(label)
	rec.Tokens.Extra = map[string]json.RawMessage{"groups": json.RawMessage(`"` + strings.Repeat(label+"é", size/(len(label)+2)) + `"`)}
	return rec
}

var mustSet, mustGet = teststore.Set, teststore.Get

// wantErr requires that err matches the sentinel, none of the other ones, and not
// that the session is absent, and that it tells no secret.
func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v; want %v", what, err, want)
		return
	}
	for _, other := range []error{
		keyring.ErrNoKeyring, keyring.ErrKeyringLocked, keyring.ErrTimeout, keyring.ErrKeyLost, tokenstore.ErrNotFound, tokenstore.ErrDamaged,
	} {
		if other != want && errors.Is(err, other) {
			t.Errorf("%s: %v matches %q too", what, err, other)
		}
	}
	if strings.Contains(err.Error(), secret) {
		t.Errorf("%s: the error tells a secret: %v", what, err)
	}
}

// goroutinesIn returns how many goroutines of this process are in a function.
func goroutinesIn(function string) int {
	buf := make([]byte, 1<<20)
	return strings.Count(string(buf[:runtime.Stack(buf, true)]), function+"(")
}
