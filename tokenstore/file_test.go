package tokenstore_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/storetest"
)

func TestFileKeepsThePromisesOfAStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) tokenstore.Store { return openFile(t, t.TempDir()) },
		storetest.Reopen(func(t *testing.T, s tokenstore.Store) tokenstore.Store {
			return openFile(t, s.(*tokenstore.File).Dir())
		}))
}

func TestFilesHaveReadableNamesAndArePrivate(t *testing.T) {
	f := openFile(t, filepath.Join(t.TempDir(), "new", "dir"))
	for _, name := range []string{"default", "alice@corp.example", "work/Bob"} {
		mustSet(t, f, name, &tokenstore.Record{Tokens: newPair("a")})
	}
	lease, err := f.Lock(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lease.Unlock() }()
	want := []string{
		"alice@corp.example.json", "alice@corp.example.json.write",
		"default.json", "default.json.lock", "default.json.write",
		"work%2f%42ob.json", "work%2f%42ob.json.write",
	}
	var got []string
	for _, path := range glob(t, f.Dir(), "*") {
		got = append(got, filepath.Base(path))
		wantMode(t, path, 0o600)
	}
	if !slices.Equal(got, want) {
		t.Errorf("files %q; want %q", got, want)
	}
	wantMode(t, f.Dir(), 0o700)
	wantMode(t, filepath.Dir(f.Dir()), 0o700)
}

func TestLooseModesAreTightened(t *testing.T) {
	f := openFile(t, t.TempDir())
	path := filepath.Join(f.Dir(), "default.json")
	writeFile(t, path, `{"access_token":"a"}`, 0o644)
	rec := mustGet(t, f, "default")
	wantMode(t, path, 0o600)

	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	mustSet(t, f, "default", rec)
	wantMode(t, path, 0o600)
}

func TestDirectoryThatOthersMayWriteToIsRefused(t *testing.T) {
	skipOnWindows(t, "modes say nothing there")
	for _, mode := range []fs.FileMode{0o777, 0o720, 0o702, 0o777 | fs.ModeSticky} {
		dir := t.TempDir()
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := tokenstore.NewFile(dir); err == nil || !strings.Contains(err.Error(), "chmod go-w") {
			t.Errorf("NewFile of a directory with mode %v: %v; want an error that says what to do", mode, err)
		}
		if _, err := tokenstore.NewFile(filepath.Join(dir, "mine")); err != nil {
			t.Errorf("NewFile of a subdirectory: %v", err)
		}
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	openFile(t, dir)
	wantMode(t, dir, 0o755)
}

func TestNewFileRefusesWhatIsNoDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	writeFile(t, file, "", 0o600)
	for _, dir := range []string{"", file, filepath.Join(file, "sub")} {
		if f, err := tokenstore.NewFile(dir); err == nil {
			t.Errorf("NewFile(%q) returned %v", dir, f)
		}
	}
}

func TestLinkedDirectoryIsOneStoreUnderBothNames(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	symlink(t, dir, link)
	a, b := openFile(t, dir), openFile(t, link)
	if a.Dir() != b.Dir() {
		t.Errorf("directories %q and %q; want one", a.Dir(), b.Dir())
	}
}

func TestRelativeDirectoryStaysWhereItWas(t *testing.T) {
	t.Chdir(t.TempDir())
	f := openFile(t, "sessions")
	mustSet(t, f, "default", &tokenstore.Record{Tokens: newPair("a")})
	t.Chdir(t.TempDir())
	mustGet(t, f, "default")
}

func TestSymbolicLinkIsRefusedAndItsTargetLeftAlone(t *testing.T) {
	f := openFile(t, t.TempDir())
	target := filepath.Join(t.TempDir(), "target.json")
	writeFile(t, target, `{"access_token":"a"}`, 0o600)
	symlink(t, target, filepath.Join(f.Dir(), "default.json"))
	_, getErr := f.Get(t.Context(), "default")
	_, setErr := f.Set(t.Context(), "default", &tokenstore.Record{Tokens: newPair("b")})
	for _, err := range []error{getErr, setErr, f.Delete(t.Context(), "default", 1)} {
		if err == nil || !strings.Contains(err.Error(), "is a symbolic link: put the file itself there") {
			t.Errorf("error %v; want one that says what to do", err)
		}
	}
	if got := readFile(t, target); got != `{"access_token":"a"}` {
		t.Errorf("the target is now %q", got)
	}
}

func TestDirectoryInPlaceOfASessionIsRefused(t *testing.T) {
	f := openFile(t, t.TempDir())
	if err := os.Mkdir(filepath.Join(f.Dir(), "default.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := f.Get(t.Context(), "default")
	if err == nil || errors.Is(err, tokenstore.ErrDamaged) || !strings.Contains(err.Error(), "is not a file: move it away") {
		t.Errorf("Get: %v; want an error that says what to do, and not ErrDamaged", err)
	}
	if names, err := f.Names(t.Context()); len(names) != 0 || err != nil {
		t.Errorf("Names: %q, %v", names, err)
	}
}

func TestNamesLeavesOtherPeoplesFilesOut(t *testing.T) {
	f := openFile(t, t.TempDir())
	for _, file := range []string{
		"README", "Upper.json", "a b.json", "%zz.json", "%61.json", ".hidden.json", ".json", "con.json",
		"%-0000.json", "default.json.bak", strings.Repeat("n", 97) + ".json",
	} {
		writeFile(t, filepath.Join(f.Dir(), file), `{"access_token":"a","session_name":"x"}`, 0o600)
	}
	mustSet(t, f, "default", &tokenstore.Record{Tokens: newPair("a")})
	if names, err := f.Names(t.Context()); !slices.Equal(names, []string{"default"}) || err != nil {
		t.Errorf("Names: %q, %v; want [default]", names, err)
	}
}

func TestRemovedDirectoryIsMadeAgain(t *testing.T) {
	skipOnWindows(t, "lock files that are open cannot be removed there")
	f := openFile(t, filepath.Join(t.TempDir(), "sessions"))
	mustSet(t, f, "default", &tokenstore.Record{Tokens: newPair("a")})
	lease, err := f.Lock(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(f.Dir()); err != nil {
		t.Fatal(err)
	}
	if err := lease.Err(); !errors.Is(err, tokenstore.ErrLeaseLost) {
		t.Errorf("Err of a lease whose file is gone: %v; want ErrLeaseLost", err)
	}
	if names, err := f.Names(t.Context()); len(names) != 0 || err != nil {
		t.Errorf("Names: %q, %v", names, err)
	}
	mustSet(t, f, "default", &tokenstore.Record{Tokens: newPair("b")})
	wantMode(t, f.Dir(), 0o700)
}

// Two programs, one of which removed and made the lock file again, must not
// both believe that they hold the lock.
func TestLeaseIsLostWhenItsFileIsReplaced(t *testing.T) {
	skipOnWindows(t, "lock files that are open cannot be removed there")
	a := openFile(t, t.TempDir())
	b := openFile(t, a.Dir())
	first, err := a.Lock(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(a.Dir(), "default.json.lock")); err != nil {
		t.Fatal(err)
	}
	second, err := b.Lock(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Err(); !errors.Is(err, tokenstore.ErrLeaseLost) {
		t.Errorf("Err of the first lease: %v; want ErrLeaseLost", err)
	}
	if err := errors.Join(first.Unlock(), second.Err(), second.Unlock()); err != nil {
		t.Error(err)
	}
}

func TestSetOfNoRecordFails(t *testing.T) {
	for name, s := range map[string]tokenstore.Store{"File": openFile(t, t.TempDir()), "Memory": new(tokenstore.Memory)} {
		if _, err := s.Set(t.Context(), "default", nil); err == nil {
			t.Errorf("%s: Set(nil) succeeded", name)
		}
		for what, rec := range unwritable() {
			if _, err := s.Set(t.Context(), "default", rec); err == nil || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: Set of %s: %v; want an error without content", name, what, err)
			}
		}
		if _, err := s.Get(t.Context(), "default"); !errors.Is(err, tokenstore.ErrNotFound) {
			t.Errorf("%s: a record that Set refused exists: %v", name, err)
		}
	}
}

func TestDefaultDirStaysOnTheMachine(t *testing.T) {
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		t.Skip("tests the rules of other Unix systems")
	}
	for _, test := range []struct{ home, state, want string }{
		{"/home/alice", "", "/home/alice/.local/state/evertoken"},
		{"/home/alice", "/var/state", "/var/state/evertoken"},
		{"/home/alice", "relative", "/home/alice/.local/state/evertoken"},
		{"", "", ""},
	} {
		t.Setenv("HOME", test.home)
		t.Setenv("XDG_STATE_HOME", test.state)
		got, err := tokenstore.DefaultDir()
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("with HOME=%q XDG_STATE_HOME=%q: %q, %v; want %q", test.home, test.state, got, err, test.want)
		}
	}
}

func openFile(t *testing.T, dir string) *tokenstore.File {
	t.Helper()
	f, err := tokenstore.NewFile(dir)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func wantMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != want && runtime.GOOS != "windows" {
		t.Errorf("%s has mode %04o; want %04o", filepath.Base(path), got, want)
	}
}

func writeFile(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	err := os.WriteFile(path, []byte(content), mode)
	if err == nil {
		err = os.Chmod(path, mode) // the umask may have taken from it
	}
	if err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func symlink(t *testing.T, target, link string) {
	t.Helper()
	if err := os.Symlink(target, link); err != nil {
		t.Skipf("this system makes no symbolic links: %v", err)
	}
}

func skipOnWindows(t *testing.T, reason string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip(reason)
	}
}

// unwritable returns records that could not be read back.
func unwritable() map[string]*tokenstore.Record {
	empty, bad, extra := newPair("x"), newPair("x"), newPair("x")
	empty.AccessToken, empty.RefreshToken = "", ""
	bad.AccessToken = "secret\xff"
	extra.Extra = map[string]json.RawMessage{"x": json.RawMessage(`secret`)}
	return map[string]*tokenstore.Record{
		"a pair without tokens":                {Tokens: empty},
		"a token that is not UTF-8":            {Tokens: bad},
		"an extra field that is not JSON":      {Tokens: extra},
		"an unknown field that is not JSON":    {Tokens: newPair("x"), Unknown: map[string]json.RawMessage{"x": json.RawMessage(`{secret`)}},
		"an unknown field that is cut in half": {Tokens: newPair("x"), Unknown: map[string]json.RawMessage{"x": json.RawMessage(`{"a":"secret`)}},
	}
}
