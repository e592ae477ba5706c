//go:build real

package keyring_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/danieljoos/wincred"
	"github.com/evertoken/evertoken/internal/testdir"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/keyring"
	"github.com/evertoken/evertoken/tokenstore/storetest"
)

// A lockingStore is what both kinds of store are.
type lockingStore interface {
	tokenstore.Store
	tokenstore.Locker
	tokenstore.Lister
}

type opener func(context.Context, keyring.Config) (lockingStore, error)

func openSealed(ctx context.Context, c keyring.Config) (lockingStore, error) {
	return keyring.Open(ctx, c)
}

func openWhole(ctx context.Context, c keyring.Config) (lockingStore, error) {
	return keyring.OpenDirect(ctx, c)
}

func TestStoreKeepsThePromisesOnTheCredentialManager(t *testing.T)  { keepsPromises(t, openSealed) }
func TestDirectKeepsThePromisesOnTheCredentialManager(t *testing.T) { keepsPromises(t, openWhole) }

func keepsPromises(t *testing.T, open opener) {
	configs := make(map[tokenstore.Store]keyring.Config)
	storetest.Run(t, func(t *testing.T) tokenstore.Store {
		c := newConfig(t)
		s := mustOpen(t, open, c)
		configs[s] = c
		return s
	}, storetest.Reopen(func(t *testing.T, s tokenstore.Store) tokenstore.Store { return mustOpen(t, open, configs[s]) }))
}

func TestF34_LargePairsAreSplitOverCredentials(t *testing.T) {
	const limit = 2560 // CRED_MAX_CREDENTIAL_BLOB_SIZE, in bytes
	c := newConfig(t)
	s := mustOpen(t, openWhole, c)
	rec := new(tokenstore.Record)
	for _, size := range []int{6 << 10, 20 << 10, 100, 6 << 10} {
		rec.Tokens = pairOf(size)
		rec.Version = mustSet(t, s, "default", rec)
		got := mustGet(t, mustOpen(t, openWhole, c), "default").Tokens
		if got.AccessToken != rec.Tokens.AccessToken || got.RefreshToken != rec.Tokens.RefreshToken {
			t.Errorf("a pair of %d bytes came back changed", size)
		}
		creds := credentialsOf(t, c.Service)
		for _, cred := range creds {
			if n := len(cred.CredentialBlob); n > limit {
				t.Errorf("credential %s has %d bytes; want at most %d", cred.TargetName, n, limit)
			}
		}
		// One has the list of names, and none is left of the pair before.
		if n, want := len(creds)-1, 1+size/limit; n < want || n > want+1 {
			t.Errorf("a pair of %d bytes takes %d credentials; want %d or one more", size, n, want)
		}
	}
	if err := s.Delete(t.Context(), "default", rec.Version); err != nil {
		t.Fatal(err)
	}
	for _, cred := range credentialsOf(t, c.Service) {
		t.Errorf("credential %s is left of a session that was deleted", cred.TargetName)
	}
}

func TestOpenPutsOnlyTheSealingKeyIntoTheCredentialManager(t *testing.T) {
	c := newConfig(t)
	mustSet(t, mustOpen(t, openSealed, c), "default", &tokenstore.Record{Tokens: pairOf(6 << 10)})
	creds := credentialsOf(t, c.Service)
	if len(creds) != 1 || creds[0].TargetName != c.Service+":sealing-key" {
		t.Fatalf("%d credentials; want the sealing key and no more", len(creds))
	}
	if text := string(creds[0].CredentialBlob); len(text) != 44 {
		t.Errorf("the sealing key takes %d bytes; want 44", len(text))
	} else if _, err := tokenstore.ParseKey(text); err != nil {
		t.Error(err)
	}
}

// Names of credentials are ours, a colon and the item. A program that calls
// itself by our name and ":prod" has some that look like ours.
func TestCredentialsOfOtherProgramsAreLeftAlone(t *testing.T) {
	c := newConfig(t)
	theirs := wincred.NewGenericCredential(c.Service + ":prod:user")
	theirs.CredentialBlob = []byte("theirs")
	if err := theirs.Write(); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, openWhole, c)
	version := mustSet(t, s, "default", &tokenstore.Record{Tokens: pairOf(6 << 10)})
	if err := s.Delete(t.Context(), "default", version); err != nil {
		t.Fatal(err)
	}
	if creds := credentialsOf(t, c.Service); len(creds) != 1 || string(creds[0].CredentialBlob) != "theirs" {
		t.Errorf("%d credentials are left; want the one of the other program", len(creds))
	}
}

func TestProcessesLoseNoUpdateInSealedFiles(t *testing.T)          { countInProcesses(t, openSealed) }
func TestProcessesLoseNoUpdateInTheCredentialManager(t *testing.T) { countInProcesses(t, openWhole) }

// counterEnv makes a test that counts in processes one of these processes. It has
// the service and the directory.
const counterEnv = "EVERTOKEN_KEYRING_COUNTER"

// countInProcesses has processes count together, each step under the session's
// lock. What they read without a lock, the sealing key or the list of names, is
// made before: the Credential Manager of Wine 8 shows readers an item that is only
// half written.
func countInProcesses(t *testing.T, open opener) {
	const counters, each = 8, 10
	if service, dir, ok := strings.Cut(os.Getenv(counterEnv), " "); ok {
		s := mustOpen(t, open, keyring.Config{Service: service, Dir: dir})
		for range each {
			if err := countUp(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	c := newConfig(t)
	s := mustOpen(t, open, c)
	mustSet(t, s, "default", &tokenstore.Record{Tokens: pairOf(6 << 10), RefreshedBy: "0"})
	var processes []*exec.Cmd
	for range counters {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), counterEnv+"="+c.Service+" "+c.Dir)
		cmd.Stdout = new(strings.Builder)
		cmd.Stderr = cmd.Stdout
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		processes = append(processes, cmd)
	}
	for _, cmd := range processes {
		if err := cmd.Wait(); err != nil {
			t.Errorf("process: %v: %s", err, cmd.Stdout)
		}
	}
	if got, want := mustGet(t, s, "default").RefreshedBy, strconv.Itoa(counters*each); got != want {
		t.Errorf("%d processes counted to %s; want %s", counters, got, want)
	}
}

// countUp counts up the number in the session, under its lock.
func countUp(ctx context.Context, s lockingStore) error {
	lease, err := s.Lock(ctx, "default")
	if err != nil {
		return err
	}
	rec, err := s.Get(ctx, "default")
	if err == nil {
		n, _ := strconv.Atoi(rec.RefreshedBy)
		rec.RefreshedBy = strconv.Itoa(n + 1)
		_, err = s.Set(ctx, "default", rec)
	}
	return errors.Join(err, lease.Unlock())
}

func mustOpen(t *testing.T, open opener, c keyring.Config) lockingStore {
	t.Helper()
	s, err := open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var services atomic.Int64

// newConfig returns the configuration of a service that nobody has used. When
// the test ends, its credentials and locks are removed.
func newConfig(t *testing.T) keyring.Config {
	t.Helper()
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	service := fmt.Sprintf("evertoken-test-%d.%d", os.Getpid(), services.Add(1))
	t.Cleanup(func() {
		for _, cred := range credentialsOf(t, service) {
			if err := (&wincred.GenericCredential{Credential: *cred}).Delete(); err != nil {
				t.Errorf("credential %s stays behind: %v", cred.TargetName, err)
			}
		}
		testdir.Remove(filepath.Join(home, "AppData", "Local", "evertoken", "keyring-locks", service))
	})
	return keyring.Config{Service: service, Dir: testdir.New(t)}
}

// credentialsOf returns all credentials of a service, whoever wrote them.
func credentialsOf(t *testing.T, service string) []*wincred.Credential {
	t.Helper()
	creds, err := wincred.FilteredList(service + ":*")
	if err != nil && !errors.Is(err, wincred.ErrElementNotFound) {
		t.Fatal(err)
	}
	return creds
}

// pairOf returns a pair of about size bytes.
func pairOf(size int) *oauth.TokenPair {
	return &oauth.TokenPair{AccessToken: strings.Repeat("a", size/2), RefreshToken: strings.Repeat("r", size/2)}
}
