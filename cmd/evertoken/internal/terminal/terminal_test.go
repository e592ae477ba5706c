package terminal

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestScreenGivesTheTerminalBackAsItWas(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "terminal"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := takeOver(f, Look{})
	s.Draw(func(l Look) string { return "a picture\n" })
	s.Draw(func(l Look) string { return "a picture\n" }) // nothing new: nothing written
	s.Close()
	out, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	const want = "\x1b[?1049h\x1b[?25l" + "\x1b[Ha picture\x1b[K\x1b[J" + "\x1b[?25h\x1b[?1049l"
	if string(out) != want {
		t.Errorf("written: %q; want %q", out, want)
	}
}

func TestOnlyTerminalsAreDrawnOn(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, ok := Open(f, os.Getenv); ok {
		t.Error("a file was taken for a terminal")
	}
	if _, ok := Open(new(strings.Builder), os.Getenv); ok {
		t.Error("a buffer was taken for a terminal")
	}
}

func TestUnicodeFollowsTheLocale(t *testing.T) {
	for _, c := range []struct {
		goos string
		env  map[string]string
		want bool
	}{
		{"linux", map[string]string{}, false},
		{"linux", map[string]string{"LANG": "C"}, false},
		{"linux", map[string]string{"LANG": "en_GB.UTF-8"}, true},
		{"linux", map[string]string{"LANG": "en_GB.utf8", "LC_ALL": "POSIX"}, false},
		{"linux", map[string]string{"LANG": "C", "LC_CTYPE": "C.utf8"}, true},
		{"darwin", map[string]string{}, true},
		{"windows", map[string]string{}, true},
	} {
		if got := speaksUnicode(c.goos, func(k string) string { return c.env[k] }); got != c.want {
			t.Errorf("%s %v: %v; want %v", c.goos, c.env, got, c.want)
		}
	}
}
