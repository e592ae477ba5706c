package keyring_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/internal/testdir"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/keyring"
	"github.com/evertoken/evertoken/tokenstore/storetest"
)

const keyItem = service + ":" + keyring.KeyItem

// A placedStore is a store and where it is, so that it can be opened again.
type placedStore struct {
	*keyring.Store
	place *place
}

func TestStoreKeepsThePromisesOfAStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) tokenstore.Store {
		p := newPlace(t)
		return placedStore{p.open(t), p}
	}, storetest.Reopen(func(t *testing.T, s tokenstore.Store) tokenstore.Store {
		return s.(placedStore).place.open(t)
	}))
}

func TestOnlyTheKeyIsInTheKeyringAndOnlySealedSessionsOnDisk(t *testing.T) {
	p := newPlace(t)
	s := p.open(t)
	mustSet(t, s, "default", record("a"))
	if got := p.fake.Keys(); !slices.Equal(got, []string{keyItem}) {
		t.Errorf("items %q; want only the key", got)
	}
	key := p.fake.Items()[keyItem]
	if _, err := tokenstore.ParseKey(key); err != nil {
		t.Errorf("the item is not a key: %v", err)
	}
	var all strings.Builder
	files, err := filepath.Glob(filepath.Join(s.Dir(), "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("files %q, %v", files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(data)
	}
	if strings.Contains(all.String(), secret) || strings.Contains(all.String(), key) {
		t.Errorf("the files tell a secret:\n%s", all.String())
	}
}

func TestProcessesThatStartTogetherGetOneKey(t *testing.T) {
	p := newPlace(t)
	synctest.Test(t, func(t *testing.T) {
		var made atomic.Int32
		p.fake.Disturb(func(op, _ string) error {
			if op == "set" {
				made.Add(1)
			}
			time.Sleep(time.Millisecond) // let others come in
			return nil
		})
		var wg sync.WaitGroup
		for i := range 8 {
			q := *p
			if i%2 == 1 { // F13: the key is the user's, whatever the directory
				q.config.Dir += "-other"
			}
			wg.Go(func() { mustSet(t, q.open(t), string(rune('a'+i)), record("x")) })
		}
		wg.Wait()
		if made.Load() != 1 {
			t.Errorf("%d keys were made; want one", made.Load())
		}
		for i := range 8 {
			q := *p
			if i%2 == 1 {
				q.config.Dir += "-other"
			}
			mustGet(t, q.open(t), string(rune('a'+i)))
		}
	})
}

func TestLostKeyIsSaidAndNotReplaced(t *testing.T) {
	p := newPlace(t)
	mustSet(t, p.open(t), "default", record("a"))
	running := p.open(t)
	p.fake.Drop(keyItem)

	_, err := keyring.OpenOn(t.Context(), p.config, p.fake, p.root)
	wantErr(t, "Open", err, keyring.ErrKeyLost)
	if !strings.Contains(err.Error(), "remove the directory "+running.Dir()+" and log in again") {
		t.Errorf("Open: %v; want an error that tells how to start over", err)
	}
	_, err = running.Get(t.Context(), "default")
	wantErr(t, "Get of a store that has not read the key yet", err, keyring.ErrKeyLost)
	wantErr(t, "Rotate", running.Rotate(t.Context()), keyring.ErrKeyLost)
	if got := p.fake.Keys(); len(got) > 0 {
		t.Errorf("items %q were made; want none", got)
	}

	testdir.Remove(running.Dir())
	mustSet(t, p.open(t), "default", record("b")) // what the error says is enough
}

// What package connect keeps outlives a logout. A new key would not open it.
func TestLostKeyOfWhatIsKeptAboutServersIsSaid(t *testing.T) {
	p := newPlace(t)
	mustSet(t, p.open(t), tokenstore.ServerRecord("https://login.example.com"), &tokenstore.Record{RefreshedBy: "it"})
	p.fake.Drop(keyItem)
	_, err := keyring.OpenOn(t.Context(), p.config, p.fake, p.root)
	wantErr(t, "Open", err, keyring.ErrKeyLost)
	if got := p.fake.Keys(); len(got) > 0 {
		t.Errorf("items %q were made; want none", got)
	}
}

func TestPlainSessionsDoNotCountAsLost(t *testing.T) {
	p := newPlace(t)
	file, err := tokenstore.NewFile(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	mustSet(t, file, "default", record("a"))
	s := p.open(t)
	if n, err := s.SealPlain(t.Context()); n != 1 || err != nil {
		t.Errorf("SealPlain: %d, %v", n, err)
	}
	mustGet(t, p.open(t), "default")
}

func TestItemThatIsNoKeyIsLeftAlone(t *testing.T) {
	for _, text := range []string{"", " ", "hello", secret, tokenstore.NewKey().Encode() + " " + secret} {
		p := newPlace(t)
		p.fake.Put(keyItem, text)
		_, err := keyring.OpenOn(t.Context(), p.config, p.fake, p.root)
		if err == nil || !strings.Contains(err.Error(), "put back what it was") || strings.Contains(err.Error(), secret) {
			t.Errorf("Open with the item %q: %v", text, err)
		}
		if got := p.fake.Items()[keyItem]; got != text {
			t.Errorf("the item is now %q; want %q", got, text)
		}
	}
}

func TestRotateSealsEverySessionWithANewKey(t *testing.T) {
	p := newPlace(t)
	s, other := p.open(t), p.open(t)
	mustSet(t, s, "a", record("a"))
	mustSet(t, other, "b", record("b"))
	old := p.fake.Items()[keyItem]
	if err := s.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys := strings.Fields(p.fake.Items()[keyItem])
	if len(keys) != 2 || keys[0] == old || keys[1] != old {
		t.Fatalf("there are %d keys; want a new one before the old", len(keys))
	}
	for _, name := range []string{"a", "b"} {
		if sealedWith(t, p, keys[0], name) != nil {
			t.Errorf("session %q is not sealed with the new key", name)
		}
		mustGet(t, other, name) // a process that began before reads the new key
	}
}

// A process that has been running all the time saves a new session with the key it
// knows.
func TestSessionSealedWithAnOldKeyAfterRotateIsNotLost(t *testing.T) {
	p := newPlace(t)
	s, other := p.open(t), p.open(t)
	mustSet(t, other, "before", record("a"))
	if err := s.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustSet(t, other, "after", record("b"))
	keys := strings.Fields(p.fake.Items()[keyItem])
	if err := sealedWith(t, p, keys[1], "after"); err != nil {
		t.Fatalf("the session is not sealed with the old key: %v", err)
	}
	mustGet(t, p.open(t), "after")
}

// sealedWith returns nil if the session is sealed with the given key.
func sealedWith(t *testing.T, p *place, encoded, name string) error {
	t.Helper()
	key, err := tokenstore.ParseKey(encoded)
	if err != nil {
		t.Fatal(err)
	}
	file, err := tokenstore.NewFile(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = tokenstore.NewSealed(file, tokenstore.Keys(key)).Get(t.Context(), name)
	return err
}

func TestInterruptedRotateLeavesEverySessionReadable(t *testing.T) {
	for step := 0; ; step++ {
		p := newPlace(t)
		s := p.open(t)
		mustSet(t, s, "a", record("a"))
		mustSet(t, s, "b", record("b"))
		// The key is saved in one step; sessions are sealed one by one.
		var lease tokenstore.Lease
		ctx, cancel := context.WithCancel(t.Context())
		switch step {
		case 0:
			crashAfter(p.fake, 0)
		case 1, 2: // dies when the key is saved and so many sessions are sealed
			var err error
			if lease, err = s.Lock(t.Context(), string(rune('a'+step-1))); err != nil {
				t.Fatal(err)
			}
			p.fake.Disturb(func(op, _ string) error {
				if op == "set" {
					cancel()
				}
				return nil
			})
		}
		err := s.Rotate(ctx)
		cancel()
		p.fake.Disturb(nil)
		if lease != nil {
			_ = lease.Unlock()
		}
		if (err != nil) != (step < 3) {
			t.Errorf("step %d: Rotate: %v", step, err)
		}
		mustGet(t, p.open(t), "a")
		mustGet(t, p.open(t), "b")
		again := p.open(t)
		if err := again.Rotate(t.Context()); err != nil {
			t.Errorf("step %d: Rotate again: %v", step, err)
		}
		first := strings.Fields(p.fake.Items()[keyItem])[0]
		if sealedWith(t, p, first, "a") != nil || sealedWith(t, p, first, "b") != nil {
			t.Errorf("step %d: Rotate again left a session with an old key", step)
		}
		if step == 3 {
			break
		}
	}
}

func TestKeysStayFewEnoughForAnyKeyring(t *testing.T) {
	p := newPlace(t)
	p.fake.Limit = 2560
	s := p.open(t)
	mustSet(t, s, "default", record("a"))
	for range keyring.MaxKeys + 5 {
		if err := s.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(strings.Fields(p.fake.Items()[keyItem])); n != keyring.MaxKeys {
		t.Errorf("%d keys are kept; want %d", n, keyring.MaxKeys)
	}
	mustGet(t, p.open(t), "default")
}

func TestF13_LocksAreTheUsersAndNotTheDirectorys(t *testing.T) {
	before, err := keyring.LockRoot()
	if err != nil {
		t.Fatal(err)
	}
	p := newPlace(t)
	for _, name := range []string{"HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "USERPROFILE", "LOCALAPPDATA", "APPDATA", "TMPDIR"} {
		t.Setenv(name, filepath.Join(p.dir, name))
	}
	after, err := keyring.LockRoot()
	if err != nil || after != before {
		t.Errorf("with another environment the locks are in %q (%v); want %q", after, err, before)
	}
	if u, err := user.Current(); err == nil && u.HomeDir != "" && !strings.HasPrefix(before, u.HomeDir) {
		t.Errorf("the locks are in %q; want them in the home %q", before, u.HomeDir)
	}

	// Two processes with directories of their own see one keyring.
	q := *p
	q.config.Dir += "-other"
	lease, err := p.direct(t).Lock(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error, 1)
	other := q.direct(t)
	go func() {
		l, err := other.Lock(ctx, "default")
		if err == nil {
			err = errors.Join(errors.New("both have the lock"), l.Unlock())
		}
		got <- err
	}()
	cancel()
	if err := <-got; !errors.Is(err, tokenstore.ErrLocked) {
		t.Errorf("Lock by the other process: %v; want ErrLocked", err)
	}
	if err := lease.Unlock(); err != nil {
		t.Error(err)
	}
}

func TestF24_SessionMovesBetweenKeyringAndFiles(t *testing.T) {
	p := newPlace(t)
	s, d := p.open(t), p.direct(t)
	older, newer := record("1"), record("2")
	newer.Ancestors = []string{tokenstore.Fingerprint(older.Tokens.RefreshToken)}
	for _, test := range []struct {
		name     string
		from, to tokenstore.Store
	}{{"into files", d, s}, {"into the keyring", s, d}} {
		mustSet(t, test.from, test.name, newer)
		mustSet(t, test.to, test.name, older)
		if err := tokenstore.Move(t.Context(), test.from, test.to, test.name); err != nil {
			t.Fatal(err)
		}
		if got := mustGet(t, test.to, test.name); !got.Descends(older.Tokens.RefreshToken) {
			t.Errorf("%s: the older copy won", test.name)
		}
		if _, err := test.from.Get(t.Context(), test.name); !errors.Is(err, tokenstore.ErrNotFound) {
			t.Errorf("%s: Get of the other copy: %v; want ErrNotFound", test.name, err)
		}
	}
}

func TestServiceNamesThatAreNotSafeEverywhereAreRefused(t *testing.T) {
	for _, name := range []string{"", "a:b", "a/b", "..", ".a", "a b", "é", "a\nb", "a'b", strings.Repeat("n", 65)} {
		p := newPlace(t)
		p.config.Service = name
		_, err := keyring.OpenOn(t.Context(), p.config, p.fake, p.root)
		_, directErr := keyring.OpenDirectOn(t.Context(), p.config, p.fake, p.root, p.maxItem)
		if err == nil || directErr == nil {
			t.Errorf("Config.Service %q: %v and %v; want errors", name, err, directErr)
		}
	}
	for _, name := range []string{"a", "com.example.Tool-2_x", strings.Repeat("n", 64)} {
		p := newPlace(t)
		p.config.Service = name
		p.open(t)
	}
}

func TestDirectoryIsNamedAfterTheServiceByDefault(t *testing.T) {
	state := testdir.New(t)
	for _, name := range []string{"XDG_STATE_HOME", "HOME", "LocalAppData"} {
		t.Setenv(name, state)
	}
	want, err := tokenstore.DefaultDir()
	if err != nil {
		t.Fatal(err)
	}
	p := newPlace(t)
	p.config.Dir = ""
	if got := p.open(t).Dir(); got != filepath.Join(want, service) {
		t.Errorf("the sessions are in %q; want %q", got, filepath.Join(want, service))
	}
}

func TestKeyringThatCannotBeUsedLeavesNoDirectories(t *testing.T) {
	p := newPlace(t)
	p.fake.SendAway()
	lockKeyring(p)
	_, err := keyring.OpenOn(t.Context(), p.config, p.fake, p.root)
	wantErr(t, "Open", err, keyring.ErrKeyringLocked)
	_, err = keyring.OpenDirectOn(t.Context(), p.config, p.fake, p.root, p.maxItem)
	wantErr(t, "OpenDirect", err, keyring.ErrKeyringLocked)
	for _, dir := range []string{p.dir, p.root} {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s was made (%v)", filepath.Base(dir), err)
		}
	}
}
