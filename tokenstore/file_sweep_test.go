package tokenstore_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/evertoken/evertoken/internal/testdir"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/gofrs/flock"
)

func TestTemporaryFilesOfKilledWritersAreSwept(t *testing.T) {
	for what, sweep := range map[string]func(f *tokenstore.File){
		"NewFile": func(f *tokenstore.File) { openFile(t, f.Dir()) },
		"Cleanup": func(f *tokenstore.File) {
			if _, err := f.Cleanup(t.Context()); err != nil {
				t.Error(err)
			}
		},
	} {
		f := openFile(t, testdir.New(t))
		long := longName()
		mustSet(t, f, "default", &tokenstore.Record{Tokens: newPair("a")})
		mustSet(t, f, long, &tokenstore.Record{Tokens: newPair("a")})
		for _, record := range glob(t, f.Dir(), "*.json") {
			writeFile(t, record+".tmp-123456", "half", 0o600)
		}
		sweep(f)
		if left := glob(t, f.Dir(), "*.tmp-*"); len(left) > 0 {
			t.Errorf("after %s there are still %q", what, left)
		}
		mustGet(t, f, "default")
		mustGet(t, f, long)
	}
}

func TestTemporaryFileOfALiveWriterIsNotSwept(t *testing.T) {
	f := openFile(t, testdir.New(t))
	mustSet(t, f, "default", &tokenstore.Record{Tokens: newPair("a")})
	temp := filepath.Join(f.Dir(), "default.json.tmp-123456")
	writeFile(t, temp, "half", 0o600)
	writer := flock.New(filepath.Join(f.Dir(), "default.json.write"))
	if ok, err := writer.TryLock(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	openFile(t, f.Dir())
	if _, err := os.Stat(temp); err != nil {
		t.Errorf("a live writer was robbed: %v", err)
	}
	if err := writer.Unlock(); err != nil {
		t.Fatal(err)
	}
	openFile(t, f.Dir())
	if _, err := os.Stat(temp); err == nil {
		t.Errorf("the temporary file of a writer that is gone is still there")
	}
}

func TestSweepLeavesOtherPeoplesFilesAlone(t *testing.T) {
	f := openFile(t, testdir.New(t))
	mustSet(t, f, "a.json.tmp-1", &tokenstore.Record{Tokens: newPair("a")}) // a session may be called that
	others := []string{
		"config.json.tmp-123",  // nobody ever saved a session called "config"
		"default.tmp-123",      // not a record's
		"a.json.tmp-1.json.ok", // not a temporary file
		"a.json.tmp-1.json.tmp-", "a.json.tmp-1.json.tmp-12x",
		"Upper.json.tmp-1", "Upper.json.write", // no name of ours
		".json.tmp-1",
	}
	for _, file := range others {
		writeFile(t, filepath.Join(f.Dir(), file), "theirs", 0o600)
	}
	openFile(t, f.Dir())
	for _, file := range others {
		if _, err := os.Stat(filepath.Join(f.Dir(), file)); err != nil {
			t.Errorf("swept: %v", err)
		}
	}
	mustGet(t, f, "a.json.tmp-1")
}
