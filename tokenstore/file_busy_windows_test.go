package tokenstore_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/internal/testdir"
	"github.com/evertoken/evertoken/tokenstore"
	"golang.org/x/sys/windows"
)

// Virus scanners and indexers open every new file, some for themselves alone.
// Time in a bubble goes on only while the store waits to try again.
func TestFilesThatOthersHaveOpenAreWaitedFor(t *testing.T) {
	damage := func(t *testing.T, f *tokenstore.File) {
		writeFile(t, filepath.Join(f.Dir(), "default.json"), "damaged", 0o600)
	}
	moveAside := func(t *testing.T, f *tokenstore.File) {
		damage(t, f)
		if err := get(t, f, 0); !errors.Is(err, tokenstore.ErrDamaged) {
			t.Fatal(err)
		}
	}
	damageAgain := func(t *testing.T, f *tokenstore.File) {
		moveAside(t, f)
		damage(t, f)
	}
	intact := func(*testing.T, *tokenstore.File) {}

	for what, test := range map[string]struct {
		state func(t *testing.T, f *tokenstore.File)
		held  string // the end of the name of the file that is open
		act   func(t *testing.T, f *tokenstore.File, version uint64) error
		want  error
	}{
		"get":                    {intact, ".json", get, nil},
		"save":                   {intact, ".json", save, nil},
		"delete":                 {intact, ".json", remove, nil},
		"save under write lock":  {intact, ".json.write", save, nil},
		"lock":                   {intact, ".json.lock", lock, nil},
		"get what is damaged":    {damage, ".json", get, tokenstore.ErrDamaged},
		"get what was moved":     {moveAside, ".json.moved", get, tokenstore.ErrDamaged},
		"get what is so again":   {damageAgain, ".json.moved", get, tokenstore.ErrDamaged},
		"save what was moved":    {moveAside, ".json.moved", saveAnew, nil},
		"save what is so again":  {damageAgain, ".json.moved", saveAnew, nil},
		"delete what was moved":  {moveAside, ".json.moved", remove, tokenstore.ErrNotFound},
		"delete what is damaged": {damage, ".json", remove, tokenstore.ErrDamaged},
	} {
		for how, share := range map[string]uint32{"alone": 0, "for reading": windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE} {
			t.Run(what+" "+how, func(t *testing.T) {
				f := openFile(t, testdir.New(t))
				version := mustSet(t, f, "default", &tokenstore.Record{Tokens: newPair("a")})
				if err := lock(t, f, version); err != nil {
					t.Fatal(err)
				}
				test.state(t, f)
				synctest.Test(t, func(t *testing.T) {
					release := hold(t, filepath.Join(f.Dir(), "default"+test.held), share)
					done := make(chan error, 1)
					go func() { done <- test.act(t, f, version) }()
					time.Sleep(time.Second)
					release()
					err := <-done
					if !errors.Is(err, test.want) {
						t.Errorf("%v; want %v", err, test.want)
					}
					wantNote(t, f, err)
				})
			})
		}
	}
}

func TestFileThatStaysOpenIsAnErrorThatSaysSo(t *testing.T) {
	f := openFile(t, testdir.New(t))
	version := mustSet(t, f, "default", &tokenstore.Record{Tokens: newPair("a")})
	synctest.Test(t, func(t *testing.T) {
		release := hold(t, filepath.Join(f.Dir(), "default.json"), windows.FILE_SHARE_READ)
		defer release()
		start := time.Now()
		err := save(t, f, version)
		if err == nil || !strings.Contains(err.Error(), "another program may have the file open") {
			t.Errorf("Set: %v; want an error that says what to do", err)
		}
		if waited := time.Since(start); waited < 2*time.Second || waited > 3*time.Second {
			t.Errorf("Set gave up after %v; want about two seconds", waited)
		}
	})
	if got := mustGet(t, f, "default").Version; got != version {
		t.Errorf("version %d is stored; want %d", got, version)
	}
	if left := glob(t, f.Dir(), "*.tmp-*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func get(t *testing.T, f *tokenstore.File, _ uint64) error {
	_, err := f.Get(t.Context(), "default")
	return err
}

func save(t *testing.T, f *tokenstore.File, version uint64) error {
	_, err := f.Set(t.Context(), "default", &tokenstore.Record{Tokens: newPair("b"), Version: version})
	return err
}

func saveAnew(t *testing.T, f *tokenstore.File, _ uint64) error { return save(t, f, 0) }

func remove(t *testing.T, f *tokenstore.File, version uint64) error {
	return f.Delete(t.Context(), "default", version)
}

func lock(t *testing.T, f *tokenstore.File, _ uint64) error {
	lease, err := f.Lock(t.Context(), "default")
	if err != nil {
		return err
	}
	return errors.Join(lease.Err(), lease.Unlock())
}

// wantNote requires that after err there is a note on a damaged record if, and
// only if, err is about one; and that both name the same file.
func wantNote(t *testing.T, f *tokenstore.File, err error) {
	t.Helper()
	notes := glob(t, f.Dir(), "*.moved")
	if !errors.Is(err, tokenstore.ErrDamaged) {
		if len(notes) > 0 {
			t.Errorf("there is still a note on a damaged record")
		}
		return
	}
	if len(notes) != 1 {
		t.Fatalf("%d notes on a damaged record; want one", len(notes))
	}
	if aside := strings.TrimSpace(readFile(t, notes[0])); !strings.HasSuffix(err.Error(), "moved to "+aside) {
		t.Errorf("the note names %q, and the error is %q", aside, err)
	}
}

// hold opens a file as other programs do, sharing it as told, until release.
func hold(t *testing.T, path string, share uint32) (release func()) {
	t.Helper()
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		t.Fatal(err)
	}
	h, err := windows.CreateFile(name, windows.GENERIC_READ, share, nil, windows.OPEN_EXISTING, windows.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := windows.CloseHandle(h); err != nil {
			t.Error(err)
		}
	}
}
