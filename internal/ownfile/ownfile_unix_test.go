//go:build unix

package ownfile_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/evertoken/evertoken/internal/ownfile"
)

// plants are what may lie in place of a file. Each returns what must be unchanged
// afterwards, or an empty name.
var plants = map[string]func(t *testing.T, path string) (witness string){
	"a named pipe": func(t *testing.T, path string) string { must(t, syscall.Mkfifo(path, 0o600)); return "" },
	"a directory":  func(t *testing.T, path string) string { must(t, os.Mkdir(path, 0o700)); return "" },
	"a socket": func(t *testing.T, path string) string {
		t.Chdir(filepath.Dir(path)) // addresses of sockets are short
		l, err := net.Listen("unix", filepath.Base(path))
		must(t, err)
		t.Cleanup(func() { _ = l.Close() })
		return ""
	},
	"a link to a file": func(t *testing.T, path string) string {
		target := filepath.Join(t.TempDir(), "target")
		must(t, os.WriteFile(target, []byte("theirs"), 0o644))
		must(t, os.Symlink(target, path))
		return target
	},
	"a link to a pipe": func(t *testing.T, path string) string {
		target := filepath.Join(t.TempDir(), "pipe")
		must(t, syscall.Mkfifo(target, 0o600))
		must(t, os.Symlink(target, path))
		return ""
	},
	"a link to a device": func(t *testing.T, path string) string { must(t, os.Symlink("/dev/zero", path)); return "" },
	"a link to itself":   func(t *testing.T, path string) string { must(t, os.Symlink(path, path)); return "" },
	"a link to nothing": func(t *testing.T, path string) string {
		target := filepath.Join(t.TempDir(), "nothing")
		must(t, os.Symlink(target, path))
		t.Cleanup(func() {
			if _, err := os.Lstat(target); err == nil {
				t.Error("a file was made where the link leads")
			}
		})
		return ""
	},
}

func TestF97_OnlyRegularFilesAreOpened(t *testing.T) {
	opens := map[string]func(path string) error{
		"Open":         func(path string) error { _, _, err := ownfile.Open(path); return err },
		"Read":         func(path string) error { _, err := ownfile.Read(path, 10); return err },
		"ReadPrivate":  func(path string) error { _, err := ownfile.ReadPrivate(path); return err },
		"ReadUnshared": func(path string) error { _, err := ownfile.ReadUnshared(path); return err },
		// What is put there between the look and the opening.
		"OpenAnyway": func(path string) error { _, _, err := ownfile.OpenAnyway(path, os.O_RDONLY); return err },
		"AppendAnyway": func(path string) error {
			_, _, err := ownfile.OpenAnyway(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE)
			return err
		},
		"Append":      func(path string) error { _, _, err := ownfile.Append(path); return err },
		"PrepareLock": func(path string) error { return ownfile.PrepareLock(path, "other") },
	}
	for what, plant := range plants {
		for name, open := range opens {
			t.Run(name+" of "+what, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "file")
				target := plant(t, path)
				err := open(path)
				own, ok := errors.AsType[*ownfile.Error](err)
				if !ok || !strings.HasPrefix(own.Error(), path+" is ") || own.Advice == "" {
					t.Errorf("error %v; want one that says what it is and what to do", err)
				}
				wantUntouched(t, target)
			})
		}
		t.Run("Create over "+what, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			target := plant(t, path)
			if _, err := ownfile.Create(path); !errors.Is(err, fs.ErrExist) {
				t.Errorf("error %v; want that it is there already", err)
			}
			wantUntouched(t, target)
		})
	}
}

// Between the look and the opening something else may be put there. Opening by the flags
// alone neither waits nor follows.
func TestF97_LockFlagsNeitherWaitNorFollow(t *testing.T) {
	for what, plant := range plants {
		t.Run(what, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			target := plant(t, path)
			f, err := os.OpenFile(path, ownfile.LockFlags(), 0o600)
			if err == nil {
				defer f.Close()
				info, statErr := f.Stat()
				must(t, statErr)
				err = ownfile.CheckLock(path, "other", info)
			}
			if err == nil {
				t.Error("it was opened")
			}
			wantUntouched(t, target)
		})
	}
}

func TestF97_HugeFileIsNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	must(t, err)
	must(t, f.Truncate(8<<30)) // without a block on the disk
	must(t, f.Close())
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := ownfile.ReadPrivate(path); !errors.Is(err, ownfile.ErrTooLarge) {
		t.Errorf("error %v; want ErrTooLarge", err)
	}
	if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > 4<<20 {
		t.Errorf("reading took %d bytes", after.TotalAlloc-before.TotalAlloc)
	}
}

func TestFileIsReadUpToItsLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for size, whole := range map[int]bool{0: true, 1: true, 99: true, 100: true, 101: false, 5000: false} {
		must(t, os.WriteFile(path, []byte(strings.Repeat("x", size)), 0o600))
		data, err := ownfile.Read(path, 100)
		if whole && (err != nil || len(data) != size) || !whole && !errors.Is(err, ownfile.ErrTooLarge) {
			t.Errorf("%d bytes, limit 100: read %d, %v", size, len(data), err)
		}
	}
	// What the system says is empty need not be.
	if data, err := ownfile.ReadLinked("/proc/self/status", ownfile.Limit); err == nil && !strings.Contains(string(data), "VmPeak") {
		t.Errorf("a file of unknown size was read in part: %d bytes", len(data))
	}
}

func TestHardLinkIsNotAppendedTo(t *testing.T) {
	dir := t.TempDir()
	theirs, ours := filepath.Join(dir, "theirs"), filepath.Join(dir, "ours")
	must(t, os.WriteFile(theirs, []byte("theirs"), 0o600))
	must(t, os.Link(theirs, ours))
	if _, _, err := ownfile.Append(ours); err == nil || !strings.Contains(err.Error(), "hard link") {
		t.Errorf("error %v; want one that names the link", err)
	}
	wantUntouched(t, theirs)
}

func TestWhatIsMadeIsForThisUserAlone(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0)) // or the system would take away what is asked for
	for name, open := range map[string]func(path string) (*os.File, error){
		"Create": ownfile.Create,
		"Append": func(path string) (*os.File, error) { f, _, err := ownfile.Append(path); return f, err },
	} {
		f, err := open(filepath.Join(t.TempDir(), "file"))
		must(t, err)
		info, err := f.Stat()
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v; want 0600", name, info.Mode(), err)
		}
		must(t, f.Close())
	}
}

func TestLooseModesAreTightenedOnTheFileThatWasOpened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(path, []byte("x"), 0o600))
	must(t, os.Chmod(path, 0o666))
	if _, err := ownfile.ReadPrivate(path); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// Who may open a lock file can hold its lock.
func TestLockThatOthersMayOpenIsClosedToThem(t *testing.T) {
	for _, mode := range []fs.FileMode{0o644, 0o640, 0o660, 0o666, 0o604, 0o755} {
		path := filepath.Join(t.TempDir(), "lock")
		must(t, os.WriteFile(path, nil, 0o600))
		must(t, os.Chmod(path, mode))
		must(t, ownfile.PrepareLock(path, "other"))
		if got := modeOf(t, path); got != 0o600 {
			t.Errorf("mode %04o became %04o; want 0600", mode, got)
		}
	}
	missing := filepath.Join(t.TempDir(), "lock")
	must(t, ownfile.PrepareLock(missing, "other"))
	if _, err := os.Lstat(missing); err == nil {
		t.Error("a lock was made by looking at it")
	}
}

// A file with a second name may be one of another program: its mode is left alone. The lock
// that a caller may hold by another name is refused.
func TestFileWithASecondNameIsNotClosed(t *testing.T) {
	for _, mode := range []fs.FileMode{0o600, 0o644} {
		dir := t.TempDir()
		theirs, ours := filepath.Join(dir, "theirs"), filepath.Join(dir, "ours")
		must(t, os.WriteFile(theirs, []byte("theirs"), 0o600))
		must(t, os.Chmod(theirs, mode))
		must(t, os.Link(theirs, ours))
		info, err := os.Lstat(ours)
		must(t, err)
		must(t, ownfile.PrepareLock(ours, filepath.Join(dir, "other")))
		must(t, ownfile.CheckLock(ours, filepath.Join(dir, "other"), info))
		for what, err := range map[string]error{"PrepareLock": ownfile.PrepareLock(ours, theirs), "CheckLock": ownfile.CheckLock(ours, theirs, info)} {
			if own, ok := errors.AsType[*ownfile.Error](err); !ok || !strings.Contains(own.What, "hard link") || own.Advice == "" {
				t.Errorf("%s: %v; want an Error that names the link, and what to do", what, err)
			}
		}
		if data, err := ownfile.ReadPrivate(ours); err != nil || string(data) != "theirs" {
			t.Errorf("ReadPrivate: %q, %v", data, err)
		}
		if got := modeOf(t, theirs); got != mode {
			t.Errorf("mode %04o became %04o", mode, got)
		}
	}
}

func modeOf(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	return info.Mode().Perm()
}

func TestSecretThatOthersMayReadIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	link := path + "-link"
	must(t, os.Symlink(path, link))
	for mode, want := range map[fs.FileMode]bool{
		0o600: true, 0o400: true, 0o700: true, 0o640: false, 0o604: false, 0o620: false, 0o602: false, 0o644: false, 0o660: false, 0o666: false, 0o601: false,
	} {
		must(t, os.WriteFile(path, []byte("s3cr3t"), 0o600))
		must(t, os.Chmod(path, mode))
		for name, read := range map[string]func(string) ([]byte, error){path: ownfile.ReadSecret, link: ownfile.ReadSecret} {
			data, err := read(name)
			if ok := err == nil && string(data) == "s3cr3t"; ok != want {
				t.Errorf("mode %04o: %q, %v; want it read: %v", mode, data, err, want)
			}
			if own, ok := errors.AsType[*ownfile.Error](err); !want && (!ok || !strings.Contains(own.Advice, "chmod 600 "+name)) {
				t.Errorf("mode %04o: %v; want the command that mends it", mode, err)
			}
		}
		must(t, os.Remove(path))
	}
}

func TestDirectoriesAboveAreCheckedAsSSHDoes(t *testing.T) {
	const ours, theirs, shared = 0, 4711, 4712 // shared: ours, with another group
	for what, tt := range map[string]struct {
		mode  fs.FileMode
		owner int
		want  string // part of the error; empty: there is none
	}{
		"private":                    {0o700, ours, ""},
		"readable":                   {0o755, ours, ""},
		"writable by all":            {0o777, ours, "chmod go-w"},
		"writable by others only":    {0o702, ours, "chmod go-w"},
		"writable by another group":  {0o770, shared, "chmod go-w"},
		"sticky":                     {0o777 | fs.ModeSticky, ours, ""},
		"sticky and of another user": {0o777 | fs.ModeSticky, theirs, "another user"},
		"of another user":            {0o755, theirs, "another user"},
	} {
		if tt.owner != ours && os.Geteuid() != 0 {
			continue // only root gives files away
		}
		top := filepath.Join(t.TempDir(), "top")
		deep := filepath.Join(top, "a", "b")
		must(t, os.MkdirAll(deep, 0o700))
		must(t, os.Chmod(top, tt.mode))
		switch tt.owner {
		case theirs:
			must(t, os.Chown(top, theirs, theirs))
		case shared:
			must(t, os.Chown(top, os.Geteuid(), shared))
		}
		link := filepath.Join(t.TempDir(), "link")
		must(t, os.Symlink(deep, link))
		for _, dir := range []string{filepath.Join(deep, "store"), filepath.Join(deep, "not", "there"), filepath.Join(link, "store")} {
			err := ownfile.CheckParents(dir)
			own, ok := errors.AsType[*ownfile.Error](err)
			if tt.want == "" && err != nil || tt.want != "" && (!ok || !strings.Contains(own.What+own.Advice, tt.want)) {
				t.Errorf("%s, %s: %v; want %q", what, dir, err, tt.want)
			}
		}
	}
}

func TestLinkOfAnotherUserOnTheWayIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		return // only root gives files away
	}
	real, link := t.TempDir(), filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(real, link))
	must(t, os.Lchown(link, 4711, 4711))
	for _, dir := range []string{link, filepath.Join(link, "store")} {
		if err := ownfile.CheckParents(dir); err == nil || !strings.Contains(err.Error(), "another user") {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

func wantUntouched(t *testing.T, target string) {
	t.Helper()
	if target == "" {
		return
	}
	data, err := os.ReadFile(target)
	if err != nil || string(data) != "theirs" {
		t.Errorf("what the link leads to is now %q, %v", data, err)
	}
	if info, err := os.Stat(target); err != nil || info.Mode().Perm()&0o600 != 0o600 {
		t.Errorf("its mode is now %v, %v", info.Mode(), err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Volumes of containers may belong to any user, and be open to all.
func TestStrictModesCanBeTakenBack(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("xyz"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{dir: 0o777, secret: 0o644} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for value, refused := range map[string]bool{"": true, "yes": true, "no": false} {
		t.Setenv(ownfile.StrictModes, value)
		_, err := ownfile.ReadSecret(secret)
		for what, err := range map[string]error{
			"the directory": ownfile.CheckPlace(dir), "one below": ownfile.CheckParents(filepath.Join(dir, "below")), "the secret": err,
		} {
			if (err != nil) != refused {
				t.Errorf("%s=%s: %s: error %v; want one: %v", ownfile.StrictModes, value, what, err, refused)
			}
			if err != nil && !strings.Contains(err.(*ownfile.Error).Advice, ownfile.StrictModes+"=no") {
				t.Errorf("%s: the advice is %q", what, err.(*ownfile.Error).Advice)
			}
		}
	}
}

// The file of a secret may be a link to a file, and to nothing else.
func TestF97_SecretIsReadFromAFileAlone(t *testing.T) {
	reads := map[string]func(path string) ([]byte, error){
		"ReadSecret": ownfile.ReadSecret,
		"ReadLinked": func(path string) ([]byte, error) { return ownfile.ReadLinked(path, 10) },
	}
	for what, plant := range plants {
		if what == "a link to a file" {
			continue
		}
		for name, read := range reads {
			t.Run(name+" of "+what, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "file")
				plant(t, path)
				if data, err := read(path); err == nil {
					t.Errorf("%d bytes were read", len(data))
				}
			})
		}
	}
}

// Whoever owns a file can change what is in it, and its mode.
func TestSecretOfAnotherUserIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		return // only root gives files away
	}
	path := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(path, []byte("s3cr3t"), 0o600))
	must(t, os.Chown(path, 4711, 4711))
	for name, read := range map[string]func(string) ([]byte, error){"ReadSecret": ownfile.ReadSecret, "ReadUnshared": ownfile.ReadUnshared} {
		data, err := read(path)
		if own, ok := errors.AsType[*ownfile.Error](err); !ok || len(data) > 0 || !strings.Contains(own.What, "another user") || own.Advice == "" {
			t.Errorf("%s: %q, %v; want that it belongs to another user", name, data, err)
		}
	}
}

// A file of ours with a secret in it is not a link, and not for others.
func TestUnsharedFileThatOthersMayReadIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for mode, want := range map[fs.FileMode]bool{0o600: true, 0o400: true, 0o640: false, 0o604: false, 0o620: false, 0o602: false, 0o644: false, 0o666: false} {
		must(t, os.WriteFile(path, []byte("s3cr3t"), 0o600))
		must(t, os.Chmod(path, mode))
		data, err := ownfile.ReadUnshared(path)
		if ok := err == nil && string(data) == "s3cr3t"; ok != want {
			t.Errorf("mode %04o: %q, %v; want it read: %v", mode, data, err, want)
		}
		must(t, os.Remove(path))
	}
}
