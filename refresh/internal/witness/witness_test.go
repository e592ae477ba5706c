package witness_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/evertoken/evertoken/refresh/internal/witness"
	"github.com/evertoken/evertoken/tokenstore"
)

func token(i int) string { return tokenstore.Fingerprint(fmt.Sprint("token ", i)) }

func TestABookKnowsWhatWasNotedLately(t *testing.T) {
	for name, b := range map[string]*witness.Book{"memory": {}, "directories": witness.Open(t.TempDir(), filepath.Join(t.TempDir(), "new"))} {
		t.Run(name, func(t *testing.T) {
			const n = 10_000
			for i := range n {
				b.Note("default", token(i))
			}
			for i := n - 1000; i < n; i++ {
				if !b.Spent("default", token(i)) {
					t.Fatalf("token %d of %d is not known", i, n)
				}
			}
			if b.Spent("default", token(0)) {
				t.Error("a book grows for ever")
			}
			if b.Spent("default", token(n)) || b.Spent("default", "") || b.Spent("default", token(1)[:16]) {
				t.Error("what was never noted is known")
			}
		})
	}
}

func TestNobodyAndNothingToWriteTo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*witness.Book{"nil": nil, "below a file": witness.Open(filepath.Join(file, "dir"))} {
		b.Note("default", token(1))
		if b.Spent("default", token(1)) {
			t.Errorf("%s: it is known", name)
		}
	}
}

// Processes write at once, and a copy of the Book's other directory is enough.
func TestBooksShareADirectory(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			b := witness.Open(one, two)
			for j := range 50 {
				b.Note("default", token(i*50+j))
			}
		})
	}
	all.Wait()
	if err := os.RemoveAll(one); err != nil {
		t.Fatal(err)
	}
	b := witness.Open(one, two)
	for i := range 400 {
		if !b.Spent("default", token(i)) {
			t.Fatalf("token %d is not known", i)
		}
	}
}

func TestFilesAreTheUsersOwnAndSmall(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spent")
	b := witness.Open(dir)
	for i := range 20_000 {
		b.Note(fmt.Sprint("session ", i%3), token(i))
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Fatalf("%d files, %v; want 3", len(entries), err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > 132<<10 || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has %d bytes, mode %v", e.Name(), info.Size(), info.Mode())
		}
	}
	if info, err := os.Stat(dir); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v, %v; want 0700", info.Mode(), err)
	}
}

// Tests of programs use the same token over and over, in a new directory each time.
func TestABookForOneStoreKnowsNothingOfAnother(t *testing.T) {
	dir := t.TempDir()
	one, other := witness.Open(dir).For("/home/a/sessions"), witness.Open(dir).For("/tmp/1/sessions")
	one.Note("default", token(1))
	if other.Spent("default", token(1)) || witness.Open(dir).Spent("default", token(1)) {
		t.Error("what was spent in one store is taken for spent in another")
	}
	if !witness.Open(dir).For("/home/a/sessions").Spent("default", token(1)) {
		t.Error("what was spent in a store is not known to the next process")
	}
}
