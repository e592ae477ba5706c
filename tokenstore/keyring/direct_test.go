package keyring_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/internal/taint"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/keyring"
	"github.com/evertoken/evertoken/tokenstore/storetest"
)

// A placed is a store and where it is, so that it can be opened again.
type placed struct {
	*keyring.Direct
	place *place
}

func TestDirectKeepsThePromisesOfAStore(t *testing.T) {
	for name, limit := range map[string]int{"large items": 32 << 10, "small items": 2560, "tiny items": 200} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) tokenstore.Store {
				p := newPlace(t)
				p.maxItem, p.fake.Limit = limit, limit
				return placed{p.direct(t), p}
			}, storetest.Reopen(func(t *testing.T, s tokenstore.Store) tokenstore.Store {
				return s.(placed).place.direct(t)
			}))
		})
	}
}

func TestF34_SixKilobytesFitIntoSmallItems(t *testing.T) {
	p := newPlace(t)
	p.maxItem, p.fake.Limit = 2560, 2560
	d := p.direct(t)
	rec := large("x", 6<<10)
	mustSet(t, d, "default", rec)
	if got := mustGet(t, p.direct(t), "default"); string(got.Tokens.Extra["groups"]) != string(rec.Tokens.Extra["groups"]) {
		t.Error("the record changed on the way")
	}
	want := []string{"session/default", "session/default/a/1", "session/default/a/2", "sessions"}
	for i, item := range want {
		want[i] = service + ":" + item
	}
	if got := p.fake.Keys(); !slices.Equal(got, want) {
		t.Errorf("items %q; want %q", got, want)
	}
}

func TestSmallSessionIsOneItem(t *testing.T) {
	p := newPlace(t)
	p.maxItem = 2560
	mustSet(t, p.direct(t), "default", record("a"))
	want := []string{service + ":session/default", service + ":sessions"}
	if got := p.fake.Keys(); !slices.Equal(got, want) {
		t.Errorf("items %q; want %q", got, want)
	}
}

var errCrash = errors.New("the process is no more")

// crashAfter lets n changes of the keyring pass and fails all calls from then on,
// which for what is stored is the same as a process that dies there.
func crashAfter(f *keyring.Fake, n int) {
	f.Disturb(func(op, _ string) error {
		if n < 0 {
			return errCrash
		}
		if op != "get" {
			if n--; n < 0 {
				return errCrash
			}
		}
		return nil
	})
}

// Whatever step a save dies at, the session is the old one or the new one, and the
// next save leaves nothing of it behind.
func TestCrashAtAnyStepOfASaveLeavesTheOldSessionOrTheNew(t *testing.T) {
	for _, sizes := range [][3]int{{1000, 1500, 100}, {100, 1500, 100}, {1500, 100, 1000}, {100, 100, 100}, {1500, 1500, 1500}, {0, 1500, 100}, {0, 1500, 1500}} {
		for step := 0; ; step++ {
			p := newPlace(t)
			p.maxItem = 400
			var version uint64
			if sizes[0] > 0 {
				version = mustSet(t, p.direct(t), "default", large("old", sizes[0]))
			}
			dying := p.direct(t)
			crashAfter(p.fake, step)
			next := large("new", sizes[1])
			next.Version = version
			saved, err := dying.Set(t.Context(), "default", next)
			p.fake.Disturb(nil)

			rec, getErr := p.direct(t).Get(t.Context(), "default")
			switch {
			case err == nil && (getErr != nil || rec.Version != saved):
				t.Errorf("sizes %v, step %d: a saved session is gone: %v", sizes, step, getErr)
			case errors.Is(getErr, tokenstore.ErrNotFound) && version == 0:
				rec = new(tokenstore.Record)
			case getErr != nil:
				t.Errorf("sizes %v, step %d: %v", sizes, step, getErr)
			}
			if names, err := p.direct(t).Names(t.Context()); err != nil || len(names) != int(min(rec.Version, 1)) {
				t.Errorf("sizes %v, step %d: Names: %q, %v", sizes, step, names, err)
			}
			last := large("last", sizes[2])
			last.Version = rec.Version
			mustSet(t, p.direct(t), "default", last)
			wantCleanItems(t, p, sizes[2])
			if err == nil {
				break
			}
		}
	}
}

// wantCleanItems compares the items with those of a keyring where nothing ever
// went wrong.
func wantCleanItems(t *testing.T, p *place, size int) {
	t.Helper()
	clean := newPlace(t)
	clean.maxItem = p.maxItem
	mustSet(t, clean.direct(t), "default", large("last", size))
	got := strings.ReplaceAll(strings.Join(p.fake.Keys(), " "), "/b/", "/a/")
	if want := strings.Join(clean.fake.Keys(), " "); got != want {
		t.Errorf("items %s; want %s", got, want)
	}
}

func TestCrashAtAnyStepOfADeleteLeavesNothingAfterTheNext(t *testing.T) {
	for _, again := range []string{"Delete", "Cleanup"} {
		for step := 0; ; step++ {
			p := newPlace(t)
			p.maxItem = 400
			version := mustSet(t, p.direct(t), "default", large("old", 1500))
			dying := p.direct(t)
			crashAfter(p.fake, step)
			err := dying.Delete(t.Context(), "default", version)
			p.fake.Disturb(nil)

			d := p.direct(t)
			if _, err := d.Get(t.Context(), "default"); step > 0 && !errors.Is(err, tokenstore.ErrNotFound) {
				t.Errorf("step %d: Get: %v; want ErrNotFound", step, err)
			}
			switch {
			case again == "Delete" || step == 0:
				if err := d.Delete(t.Context(), "default", version); err != nil && !errors.Is(err, tokenstore.ErrNotFound) {
					t.Errorf("step %d: Delete: %v", step, err)
				}
			default:
				if n, err := d.Cleanup(t.Context()); n != 0 || err != nil {
					t.Errorf("step %d: Cleanup: %d, %v; want 0", step, n, err)
				}
			}
			if left := p.fake.Keys(); len(left) > 0 {
				t.Errorf("step %d, then %s: %q is left", step, again, left)
			}
			if err == nil {
				break
			}
		}
	}
}

// A reader takes no lock, and may see the first item of one session and the parts of
// the next.
func TestReaderBetweenTwoSavesGetsTheNewerSession(t *testing.T) {
	p := newPlace(t)
	p.maxItem = 400
	reader, writer := p.direct(t), p.direct(t)
	rec := large("1", 1500)
	rec.Version = mustSet(t, writer, "default", rec)
	between := true
	p.fake.Disturb(func(op, item string) error {
		if between && item == "session/default/a/1" {
			between = false
			for _, label := range []string{"2", "3"} { // into the other slot, and into this one
				next := large(label, 1500)
				next.Version = rec.Version
				rec.Version = mustSet(t, writer, "default", next)
			}
		}
		return nil
	})
	if got := mustGet(t, reader, "default"); got.Version != rec.Version || got.Tokens.AccessToken != record("3").Tokens.AccessToken {
		t.Errorf("version %d was read; want %d", got.Version, rec.Version)
	}
}

func TestSaveThatHasBegunDoesNotStopWithItsContext(t *testing.T) {
	p := newPlace(t)
	p.maxItem = 400
	d := p.direct(t)
	ctx, cancel := context.WithCancel(t.Context())
	p.fake.Disturb(func(op, item string) error {
		if op == "set" {
			cancel()
		}
		return nil
	})
	if _, err := d.Set(ctx, "default", large("x", 1500)); err != nil {
		t.Errorf("Set: %v", err)
	}
	mustGet(t, d, "default")
}

func TestNamesOfSessionsSavedAtOnceAreAllListed(t *testing.T) {
	p := newPlace(t)
	synctest.Test(t, func(t *testing.T) {
		p.fake.Disturb(func(string, string) error {
			time.Sleep(time.Millisecond) // let others come in
			return nil
		})
		names := []string{"a", "b", "c", "d", "e", "f"}
		var wg sync.WaitGroup
		for _, name := range names {
			d := p.direct(t)
			wg.Go(func() { mustSet(t, d, name, record(name)) })
		}
		wg.Wait()
		if got, err := p.direct(t).Names(t.Context()); !slices.Equal(got, names) || err != nil {
			t.Errorf("Names: %q, %v; want %q", got, err, names)
		}
	})
}

func TestSessionWhoseItemsDoNotBelongTogetherIsDamaged(t *testing.T) {
	key := service + ":session/default"
	for name, harm := range map[string]func(f *keyring.Fake){
		"a part is missing":     func(f *keyring.Fake) { f.Drop(key + "/a/2") },
		"a part is of another":  func(f *keyring.Fake) { f.Put(key+"/a/1", "something else") },
		"the first is cut":      func(f *keyring.Fake) { f.Put(key, f.Items()[key][:150]) },
		"the first is foreign":  func(f *keyring.Fake) { f.Put(key, "hello") },
		"the first is empty":    func(f *keyring.Fake) { f.Put(key, "") },
		"the header is empty":   func(f *keyring.Fake) { f.Put(key, "{}\n") },
		"it has too many items": func(f *keyring.Fake) { f.Put(key, `{"format":1,"slot":"a","items":1000000000}`+"\n") },
		"it has a strange slot": func(f *keyring.Fake) { f.Put(key, `{"format":1,"slot":"c","items":1}`+"\n") },
		"it holds no record": func(f *keyring.Fake) {
			f.Put(key, `{"format":1,"slot":"a","items":1,"sha256":"`+sumOfHello+`"}`+"\nhello")
		},
		"its header has a secret": func(f *keyring.Fake) { f.Put(key, `{"format":"`+secret+`"}`+"\n") },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.maxItem = 400
			d := p.direct(t)
			version := mustSet(t, d, "default", large("x", 1000))
			harm(p.fake)

			_, err := d.Get(t.Context(), "default")
			wantErr(t, "Get", err, tokenstore.ErrDamaged)
			changed := record("changed")
			changed.Version = version
			_, err = d.Set(t.Context(), "default", changed)
			wantErr(t, "Set over the old version", err, tokenstore.ErrDamaged)
			if names, err := d.Names(t.Context()); !slices.Equal(names, []string{"default"}) || err != nil {
				t.Errorf("Names: %q, %v", names, err)
			}
			if n, err := d.Cleanup(t.Context()); n != 0 || err != nil {
				t.Errorf("Cleanup: %d, %v", n, err)
			}
			before := p.fake.Items()
			mustSet(t, d, "default", record("new"))
			mustGet(t, d, "default")

			for k, v := range before {
				p.fake.Put(k, v)
			}
			p.fake.Put(key, before[key])
			wantErr(t, "Delete", d.Delete(t.Context(), "default", version), tokenstore.ErrNotFound)
			_, err = d.Get(t.Context(), "default")
			wantErr(t, "Get after Delete", err, tokenstore.ErrNotFound)
		})
	}
}

const sumOfHello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

func TestNewerFormatIsLeftAlone(t *testing.T) {
	for name, value := range map[string]string{
		"of the item":   `{"format":2,"slots":["x"]}` + "\nwhatever",
		"of the record": newerRecord,
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.fake.Put(service+":session/default", value)
			p.fake.Put(service+":sessions", oneName(t))
			before, d := p.fake.Items(), p.direct(t)
			_, err := d.Get(t.Context(), "default")
			_, setErr := d.Set(t.Context(), "default", record("a"))
			_, cleanErr := d.Cleanup(t.Context())
			for what, err := range map[string]error{"Get": err, "Set": setErr, "Delete": d.Delete(t.Context(), "default", 1)} {
				wantErr(t, what, err, tokenstore.ErrNewerFormat)
			}
			if cleanErr != nil {
				t.Error(cleanErr)
			}
			if !maps.Equal(p.fake.Items(), before) {
				t.Errorf("the items are now %q", p.fake.Items())
			}
		})
	}
}

// newerRecord is an item with a record of a later format.
var newerRecord = fmt.Sprintf(`{"format":1,"slot":"a","items":1,"sha256":"%s"}`+"\n%s", keyring.Sum(laterFormat), laterFormat)

const laterFormat = `{"format":99}`

// oneName is the list of names of a store with the session "default".
func oneName(t *testing.T) string {
	t.Helper()
	p := newPlace(t)
	mustSet(t, p.direct(t), "default", record("a"))
	return p.fake.Items()[service+":sessions"]
}

// Somebody removed the list of names, or wrote nonsense to it.
func TestLostListOfNamesGrowsAgainWithEachSave(t *testing.T) {
	for name, harm := range map[string]func(*keyring.Fake){
		"removed": func(f *keyring.Fake) { f.Drop(service + ":sessions") },
		"damaged": func(f *keyring.Fake) { f.Put(service+":sessions", "hello") },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			d := p.direct(t)
			rec := record("a")
			rec.Version = mustSet(t, d, "a", rec)
			mustSet(t, d, "b", record("b"))
			harm(p.fake)
			if names, err := d.Names(t.Context()); name == "damaged" && !errors.Is(err, tokenstore.ErrDamaged) {
				t.Errorf("Names of a damaged list: %q, %v; want ErrDamaged", names, err)
			}
			mustSet(t, d, "a", rec)
			if names, err := d.Names(t.Context()); !slices.Equal(names, []string{"a"}) || err != nil {
				t.Errorf("Names: %q, %v", names, err)
			}
			mustGet(t, d, "b")
		})
	}
}

// Another program of the user can write the list.
func TestPlantedNameThatNoSessionCanHaveEndsNoCleanup(t *testing.T) {
	for what, planted := range map[string]string{
		"empty": "", "with NUL": "a\x00b", "of 600 bytes": strings.Repeat("x", 600),
	} {
		t.Run(what, func(t *testing.T) {
			p := newPlace(t)
			d := p.direct(t)
			mustSet(t, d, "default", record("a"))
			list, err := json.Marshal([]string{"default", planted})
			if err != nil {
				t.Fatal(err)
			}
			header := fmt.Sprintf(`{"format":1,"slot":"a","items":1,"sha256":%q}`, keyring.Sum(string(list)))
			p.fake.Put(service+":"+keyring.IndexItem, header+"\n"+string(list))
			if n, err := d.Cleanup(t.Context()); n != 0 || err != nil {
				t.Errorf("Cleanup: %d, %v; want 0", n, err)
			}
			if names, err := d.Names(t.Context()); !slices.Equal(names, []string{"default"}) || err != nil {
				t.Errorf("Names: %q, %v; want the session", names, err)
			}
		})
	}
}

func TestServicesAreApart(t *testing.T) {
	p := newPlace(t)
	q := *p
	q.config.Service = "evertoken-other"
	mustSet(t, p.direct(t), "default", record("a"))
	if n, err := q.direct(t).Count(t.Context()); n != 0 || err != nil {
		t.Errorf("another service has %d sessions, %v", n, err)
	}
	mustSet(t, q.direct(t), "default", record("b"))
	if got := mustGet(t, p.direct(t), "default").Tokens.AccessToken; got != record("a").Tokens.AccessToken {
		t.Errorf("another service replaced the session")
	}
}

func TestNoTwoNamesShareAnItem(t *testing.T) {
	names := []string{
		"default", "Default", "DEFAULT", "default ", "default/b/1", "a:b", "a", "a/b", "a%b", "%", "é", "e\u0301",
		strings.Repeat("n", 64), strings.Repeat("n", 65), strings.Repeat("n", 512), "sessions", "sealing-key", "nothing",
		"../x", "a\nb", "'a'", "-w", "session/default",
	}
	items := map[string]string{keyring.KeyItem: "the key", keyring.IndexItem: "the list"}
	for _, name := range names {
		item := keyring.SessionItem(name)
		folded := strings.ToLower(item) // Windows
		if other, ok := items[folded]; ok {
			t.Errorf("%q and %q share the item %q", name, other, item)
		}
		items[folded] = name
		// The target of a Windows credential is service:item, and a macOS command line
		// has the item in it.
		if strings.ContainsAny(item, ": '\"\\\n") || len(item) > 100 {
			t.Errorf("%q has the item %q", name, item)
		}
	}
}

func TestSplitCutsBetweenCharactersAndLosesNothing(t *testing.T) {
	for _, letters := range []string{"a", "é", "日", "🙂", "a🙂é"} {
		for size := range 40 {
			value := strings.Repeat(letters, size*11)
			chunks := keyring.Split(value, 200)
			if strings.Join(chunks, "") != value {
				t.Fatalf("%d times %q does not come together again", size*11, letters)
			}
			for i, c := range chunks {
				if !isUTF8(c) || len(c) > 200 || i > 0 && c == "" {
					t.Fatalf("%d times %q: chunk %d is %q", size*11, letters, i, c)
				}
			}
		}
	}
}

func isUTF8(s string) bool { return strings.ToValidUTF8(s, "") == s }

func TestCleanupReportsWhatTheKeyringRefuses(t *testing.T) {
	p := newPlace(t)
	d := p.direct(t)
	mustSet(t, d, "default", &tokenstore.Record{Tokens: &oauth.TokenPair{AccessToken: "a", ExpiresAt: time.Unix(1, 0)}})
	p.fake.Disturb(func(op, item string) error {
		if op == "remove" {
			return errCrash
		}
		return nil
	})
	if n, err := d.Cleanup(t.Context()); n != 0 || !errors.Is(err, errCrash) {
		t.Errorf("Cleanup: %d, %v; want the keyring's error", n, err)
	}
	lease, err := d.Lock(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	_ = lease.Unlock()
}

// Each type of this package is here that a program can hold a secret in, and what a keyring
// says of its items, which may be the items.
func TestLaw8_StoresPrintNoSecret(t *testing.T) {
	b := new(taint.Book)
	b.Secret("token", secret)
	p := newPlace(t)
	d, s := p.direct(t), p.open(t)
	mustSet(t, d, "default", record("a"))
	mustSet(t, s, "default", record("a"))
	b.Secret("key", p.fake.Items()[service+":"+keyring.KeyItem])
	b.Print("stores", d, s)
	for name, item := range p.fake.Items() {
		p.fake.Put(name, item[:len(item)/2]) // cut
	}
	for _, store := range []tokenstore.Store{d, s, p.direct(t)} {
		rec, err := store.Get(t.Context(), "default")
		b.Print("a cut record", rec)
		b.PrintError("a cut record", err)
		_, err = store.Set(t.Context(), "default", record("b"))
		b.PrintError("a cut record", err)
	}
	b.Check(t, 2, 6)
	b.CheckTypes(t, "../../api/tokenstore_keyring.txt", map[string]string{
		"keyring.Config": "names and limits",
	})
}
