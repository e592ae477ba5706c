//go:build real

package keyring_test

import (
	"bytes"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/storetest"
)

// Both stores keep all promises over a real keyring. The suite runs in a process
// that has nothing but that.
func TestRealStoresKeepThePromisesOfAStore(t *testing.T) {
	b := startBus(t, services)
	b.keyringDaemon()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHelper", "-test.timeout=30m")
	cmd.Env = append(b.env, privateEnv+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("PASS")) || bytes.Contains(out, []byte("no tests to run")) {
		t.Errorf("the suite: %v\n%s", err, out)
	}
}

func TestHelperRealDirect(t *testing.T) {
	if os.Getenv(privateEnv) == "" {
		return // only a helper of TestRealStoresKeepThePromisesOfAStore
	}
	storetest.Run(t, func(t *testing.T) tokenstore.Store {
		p := realPlace(t)
		return placed{p.realDirect(t), p}
	}, storetest.Reopen(func(t *testing.T, s tokenstore.Store) tokenstore.Store { return s.(placed).place.realDirect(t) }))
}

func TestHelperRealStore(t *testing.T) {
	if os.Getenv(privateEnv) == "" {
		return // only a helper of TestRealStoresKeepThePromisesOfAStore
	}
	storetest.Run(t, func(t *testing.T) tokenstore.Store {
		p := realPlace(t)
		return placedStore{p.real(t), p}
	}, storetest.Reopen(func(t *testing.T, s tokenstore.Store) tokenstore.Store { return s.(placedStore).place.real(t) }))
}

func TestHelperRealSixKilobytes(t *testing.T) {
	if os.Getenv(privateEnv) == "" {
		return // only a helper of TestRealStoresKeepThePromisesOfAStore
	}
	p := realPlace(t)
	rec := large("x", 6<<10)
	rec.Tokens.ExpiresAt = time.Unix(2_000_000_000, 0).UTC()
	mustSet(t, p.realDirect(t), "default", rec)
	got := mustGet(t, p.realDirect(t), "default")
	if string(got.Tokens.Extra["groups"]) != string(rec.Tokens.Extra["groups"]) || got.Tokens.AccessToken != rec.Tokens.AccessToken {
		t.Errorf("the pair changed on the way: %v", got)
	}
}
