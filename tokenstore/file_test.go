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

	"github.com/evertoken/evertoken/internal/testdir"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/storetest"
)

func TestFileKeepsThePromisesOfAStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) tokenstore.Store { return openFile(t, testdir.New(t)) },
		storetest.Reopen(func(t *testing.T, s tokenstore.Store) tokenstore.Store {
			return openFile(t, s.(*tokenstore.File).Dir())
		}))
}

func TestFilesHaveReadableNamesAndArePrivate(t *testing.T) {
	f := openFile(t, filepath.Join(testdir.New(t), "new", "dir"))
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

func TestNewFileRefusesWhatIsNoDirectory(t *testing.T) {
	file := filepath.Join(testdir.New(t), "file")
	writeFile(t, file, "", 0o600)
	for _, dir := range []string{"", file, filepath.Join(file, "sub")} {
		if f, err := tokenstore.NewFile(dir); err == nil {
			t.Errorf("NewFile(%q) returned %v", dir, f)
		}
	}
}

func TestRelativeDirectoryStaysWhereItWas(t *testing.T) {
	t.Chdir(testdir.New(t))
	f := openFile(t, "sessions")
	mustSet(t, f, "default", &tokenstore.Record{Tokens: newPair("a")})
	t.Chdir(testdir.New(t))
	mustGet(t, f, "default")
}

func TestDirectoryInPlaceOfASessionIsRefused(t *testing.T) {
	f := openFile(t, testdir.New(t))
	if err := os.Mkdir(filepath.Join(f.Dir(), "default.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := f.Get(t.Context(), "default")
	if err == nil || errors.Is(err, tokenstore.ErrDamaged) || !strings.Contains(err.Error(), "is not a file (move it away)") {
		t.Errorf("Get: %v; want an error that says what to do, and not ErrDamaged", err)
	}
	if names, err := f.Names(t.Context()); len(names) != 0 || err != nil {
		t.Errorf("Names: %q, %v", names, err)
	}
}

func TestNamesLeavesOtherPeoplesFilesOut(t *testing.T) {
	f := openFile(t, testdir.New(t))
	files := []string{
		"README", "Upper.json", "a b.json", "%zz.json", "%61.json", ".hidden.json", ".json",
		"%-0000.json", "default.json.bak", strings.Repeat("n", 97) + ".json",
	}
	if runtime.GOOS != "windows" { // where that is a device
		files = append(files, "con.json")
	}
	for _, file := range files {
		writeFile(t, filepath.Join(f.Dir(), file), `{"access_token":"a","session_name":"x"}`, 0o600)
	}
	mustSet(t, f, "default", &tokenstore.Record{Tokens: newPair("a")})
	if names, err := f.Names(t.Context()); !slices.Equal(names, []string{"default"}) || err != nil {
		t.Errorf("Names: %q, %v; want [default]", names, err)
	}
}

func TestSetOfNoRecordFails(t *testing.T) {
	for name, s := range map[string]tokenstore.Store{"File": openFile(t, testdir.New(t)), "Memory": new(tokenstore.Memory)} {
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

func openFile(t *testing.T, dir string) *tokenstore.File {
	t.Helper()
	f, err := tokenstore.NewFile(dir)
	if err != nil {
		t.Fatal(err)
	}
	return f
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
