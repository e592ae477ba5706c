package witness_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/evertoken/evertoken/refresh/internal/witness"
)

// pair returns what is noted of a login's pair after n renewals.
func pair(n int, before ...int) witness.Pair {
	p := witness.Pair{Token: token(n), Version: uint64(10 * n)}
	for _, n := range before {
		p.Before = append(p.Before, token(n))
	}
	return p
}

func TestF75_WhichPairOfALoginIsOld(t *testing.T) {
	dir := t.TempDir()
	witness.Open(dir).For("/a").Replace("login", pair(7, 1, 2, 3, 4, 5, 6))
	marked := pair(6, 4, 5)
	marked.Version = 1000
	markedLong := pair(2)
	markedLong.Version = 1000
	unknown := pair(5)
	unknown.Version = 0
	earlier := pair(2)
	earlier.Version = 0
	slow := pair(8, 6, 7) // of a process whose clock is behind
	slow.Version = 1
	for name, tt := range map[string]struct {
		p    witness.Pair
		want bool
	}{
		"the newest":                               {pair(7, 6), false},
		"a newer one":                              {pair(8, 7), false},
		"a newer one with a lower version":         {slow, false},
		"one before":                               {pair(6), true},
		"one of long ago":                          {pair(1), true},
		"one before that was marked since":         {marked, true},
		"one of long ago that was marked since":    {markedLong, false}, // see Book.Spent
		"one before whose version says nothing":    {unknown, true},
		"one of long ago whose version is no help": {earlier, false},
	} {
		if got := witness.Open(dir).For("/b").Old("login", tt.p); got != tt.want {
			t.Errorf("%s: old %t; want %t", name, got, tt.want)
		}
	}
	if b := witness.Open(dir); b.Old("another", pair(1)) || (*witness.Book)(nil).Old("login", pair(1)) || new(witness.Book).Old("login", pair(1)) {
		t.Error("it is old for a login of which nothing is known")
	}
}

// What another process has saved takes the place of what is older, and of nothing newer.
func TestF75_AnOlderPairDoesNotTakeTheNewestsPlace(t *testing.T) {
	for name, tt := range map[string]struct {
		add  witness.Pair
		want bool // that pair(5), which was noted, is old then
	}{
		"an older one":                          {pair(4, 3), false},
		"the same":                              {pair(5, 4), false},
		"a newer one":                           {pair(6, 5), true},
		"one of another branch":                 {pair(6, 4), true},
		"a newer one by a clock that is behind": {witness.Pair{Token: token(6), Version: 1, Before: []string{token(4), token(5)}}, true},
	} {
		b := witness.Open(t.TempDir())
		b.Replace("login", pair(5, 4))
		b.Add("login", tt.add)
		if got := b.Old("login", witness.Pair{Token: token(5), Version: 50}); got != tt.want {
			t.Errorf("%s: old %t; want %t", name, got, tt.want)
		}
		if !b.Old("login", pair(4)) {
			t.Errorf("%s: the one before is not old any more", name)
		}
	}
}

// The renewals of other sessions do not make a machine forget one, and a login has one line
// in the end, however often it was renewed.
func TestF75_ABusyMachineDoesNotForget(t *testing.T) {
	dir := t.TempDir()
	b := witness.Open(dir)
	b.Replace("quiet", pair(2, 1))
	for i := range 1200 {
		b.Replace(fmt.Sprint("busy ", i%2), pair(i+1, i))
	}
	if !b.Old("quiet", pair(1)) || b.Old("quiet", pair(2)) {
		t.Error("the newest pair is not known any more")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Size() > 65<<10 {
			t.Errorf("%s has %d bytes, %v", e.Name(), info.Size(), err)
		}
	}
}

// Lines that others have spoiled are left out, and none can be put in by what a record has.
func TestWhatIsNoNoteIsNotRead(t *testing.T) {
	dir := t.TempDir()
	b := witness.Open(dir)
	p := pair(2)
	p.Before = []string{"no fingerprint", "x\n" + token(9), ""}
	b.Replace("login", p)
	files, _ := filepath.Glob(filepath.Join(dir, "newest-*"))
	if len(files) != 1 {
		t.Fatalf("files %q", files)
	}
	data, err := os.ReadFile(files[0])
	if err != nil || !b.Old("login", pair(1)) {
		t.Fatalf("%q, %v; the newest pair is not known", data, err)
	}
	for name, spoiled := range map[string]string{
		"cut": string(data[:len(data)-1]), "no numbers": string(data[:33]) + "x y " + token(2) + "\n", "short": string(data[:33]) + "\n", "empty": "",
	} {
		if err := os.WriteFile(files[0], []byte(spoiled), 0o600); err != nil {
			t.Fatal(err)
		}
		if b.Old("login", pair(1)) {
			t.Errorf("%s: it counts", name)
		}
	}
}

// All who write where a Book is see each other's notes. A copy of the directory is another
// place, and what cannot be written sees nothing.
func TestWhoSeesAll(t *testing.T) {
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	of := func(dirs ...string) *witness.Book { return witness.Open(dirs...).For("/sessions") }
	b, id := of(dir), of(dir).ID()
	if id == "" || b.ID() != id || of(filepath.Join(file, "below"), dir).ID() != id {
		t.Errorf("names %q and %q of one directory", id, b.ID())
	}
	if !b.SeesAll([]string{id}) {
		t.Error("it does not see what all write here")
	}
	for name, sees := range map[string]bool{
		"nobody is known":      b.SeesAll(nil),
		"another writes, too":  b.SeesAll([]string{id, "another"}),
		"another writes alone": b.SeesAll([]string{"another"}),
		"of no store":          witness.Open(dir).SeesAll([]string{id}),
		"another directory":    of(t.TempDir()).SeesAll([]string{id}),
		"nothing to write to":  of(filepath.Join(file, "below")).SeesAll([]string{of(filepath.Join(file, "below")).ID()}),
		"in memory":            of().SeesAll([]string{of().ID()}),
		"nil":                  (*witness.Book)(nil).SeesAll([]string{(*witness.Book)(nil).ID()}),
	} {
		if sees {
			t.Errorf("%s: it sees all", name)
		}
	}
	copied := t.TempDir()
	if err := os.CopyFS(filepath.Join(copied, "spent"), os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && of(filepath.Join(copied, "spent")).ID() == id {
		t.Error("a copy has the name of the directory")
	}
}

// A directory that does not take a note any more is not said to have all.
func TestWhatCouldNotBeNotedIsNotSeen(t *testing.T) {
	dir := t.TempDir()
	b := witness.Open(dir).For("/sessions")
	id := b.ID()
	b.Replace("login", pair(1))
	files, _ := filepath.Glob(filepath.Join(dir, "newest-*"))
	if len(files) != 1 || os.Remove(files[0]) != nil || os.Mkdir(files[0], 0o700) != nil {
		t.Fatalf("files %q", files)
	}
	if !b.SeesAll([]string{id}) {
		t.Fatal("it does not see what all write here")
	}
	b.Replace("login", pair(2))
	if b.SeesAll([]string{id}) || b.ID() == id {
		t.Error("it sees all although a note could not be written")
	}
}
