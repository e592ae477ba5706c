package tokenstore_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/evertoken/evertoken/tokenstore"
)

// mount mounts for the time of a test, or skips it.
func mount(t *testing.T, source, target, kind string, flags uintptr, data string) {
	t.Helper()
	if err := syscall.Mount(source, target, kind, flags, data); err != nil {
		t.Skipf("mounting takes root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(target, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// Places as containers and broken disks make them, each with a record in it.
var places = map[string]struct {
	spoil  func(t *testing.T, dir, record string)
	errno  syscall.Errno
	passes bool
}{
	"the directory is read-only": {func(t *testing.T, dir, _ string) {
		mount(t, dir, dir, "", syscall.MS_BIND, "")
		if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
	}, syscall.EROFS, false},
	"the record is a mount": {func(t *testing.T, _, record string) {
		elsewhere := filepath.Join(t.TempDir(), "record")
		if err := os.WriteFile(elsewhere, []byte(readFile(t, record)), 0o600); err != nil {
			t.Fatal(err)
		}
		mount(t, elsewhere, record, "", syscall.MS_BIND, "")
	}, syscall.EBUSY, false},
	"the disk is full": {func(t *testing.T, dir, record string) {
		data := readFile(t, record)
		mount(t, "tmpfs", dir, "tmpfs", 0, "size=16k,mode=0700")
		writeFile(t, record, data, 0o600)
		_ = os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 64<<10), 0o600) // as much as there is room for
	}, syscall.ENOSPC, true},
}

func TestF73_CheckFindsWhatSavingWouldFailWith(t *testing.T) {
	for name, c := range places {
		t.Run(name, func(t *testing.T) {
			f := openFile(t, t.TempDir())
			mustSet(t, f, "default", &tokenstore.Record{Tokens: newPair("a")})
			for _, suffix := range []string{".lock", ".write"} {
				writeFile(t, filepath.Join(f.Dir(), "default.json"+suffix), "", 0o600)
			}
			rec := mustGet(t, f, "default")
			c.spoil(t, f.Dir(), filepath.Join(f.Dir(), "default.json"))
			_, setErr := f.Set(t.Context(), "default", rec)
			for call, err := range map[string]error{"Set": setErr, "Check": f.Check(t.Context(), "default")} {
				var place *tokenstore.PlaceError
				if !errors.Is(err, c.errno) || !errors.As(err, &place) || place.Passes != c.passes {
					t.Errorf("%s: %v; want a PlaceError with %v that passes: %v", call, err, c.errno, c.passes)
				}
			}
			if got := mustGet(t, f, "default").Tokens; got.AccessToken != rec.Tokens.AccessToken {
				t.Errorf("the record holds %v; want what was saved", got)
			}
		})
	}
}
