package tokenstore

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestEncodeName(t *testing.T) {
	for name, want := range map[string]string{
		"default":            "default",
		"alice@corp.example": "alice@corp.example",
		"my-cli_2":           "my-cli_2",
		"az09@_-.z":          "az09@_-.z",
		"Alice":              "%41lice",
		"é":                  "%c3%a9",
		"a/b":                "a%2fb",
		`a\b`:                "a%5cb",
		"..":                 "%2e.",
		".hidden":            "%2ehidden",
		"con":                "%63on",
		"com1.json":          "%63om1.json",
		"lpt0":               "%6cpt0",
		"console":            "console",
		"com10":              "com10",
		"com9":               "%63om9",
		"trailing ":          "trailing%20",
		"%41":                "%2541",
		"-":                  "-",
		"https://as.example": "https%3a%2f%2fas.example",
		"":                   "",

		strings.Repeat("n", 96): strings.Repeat("n", 96),
		strings.Repeat("n", 97): "%-311e018afd55956d7f51162f4c4b8c4c77762e740b6cdce0a361bfbf5c17bdb9",
	} {
		if got := encodeName(name); got != want {
			t.Errorf("encodeName(%q) = %q; want %q", name, got, want)
		}
	}
}

func TestOnlyOurFileNamesAreDecoded(t *testing.T) {
	for base, want := range map[string]bool{"a": true, "%41lice": true, "%c3%a9": true, "A": false, "a%4": false, "a%": false, "%zz": false, "%61": false, "": false, "con": false} {
		if name, ours := decodeName(base); ours != want || !ours && name != "" && CheckName(name) != nil {
			t.Errorf("%q is ours: %t, as %q; want %t", base, ours, name, want)
		}
	}
}

func TestWhichFilesAreTemporary(t *testing.T) {
	hashed := encodeName(strings.Repeat("n", 97))
	for file, want := range map[string]string{
		"a.json.tmp-1":            "a.json",
		"a.json.tmp-0123456789":   "a.json",
		hashed + ".json.tmp-1":    hashed + ".json",
		"a.json.tmp-1.json.tmp-2": "a.json.tmp-1.json",
		"a.json":                  "",
		"a.json.tmp-":             "",
		"a.json.tmp-1x":           "",
		".json.tmp-1":             "",
		"A.json.tmp-1":            "",
		"a.json.tmp-1.json":       "",
		"a.txt":                   "",
		"":                        "",
	} {
		if record, ours := tempOf(file); ours != (want != "") || ours && record != want {
			t.Errorf("%q is temporary for %q: %t; want %q", file, record, ours, want)
		}
	}
}

func FuzzFileNameIsOnePathElementAndTellsTheName(f *testing.F) {
	for _, name := range []string{
		"default", "..", ".", "../x", "a/b", `a\b`, "CON", "con.x", "nul", "Alice", "é", "e\u0301", "%41", "%-", "a.json",
		"a.json.tmp-1", "x.", "x ", "a:b", strings.Repeat("x", 96), strings.Repeat("x", 97), strings.Repeat("/", 512), "\x01",
	} {
		f.Add(name, "default")
	}
	f.Fuzz(func(t *testing.T, name, other string) {
		if CheckName(name) != nil {
			return
		}
		base := encodeName(name)
		file := base + recordSuffix
		if filepath.Base(file) != file || strings.ContainsAny(file, `/\:*?"<>| `) || strings.HasPrefix(file, ".") {
			t.Fatalf("%q becomes %q, which is not one path element everywhere", name, file)
		}
		if len(base) > maxBase {
			t.Fatalf("%q becomes a base of %d bytes", name, len(base))
		}
		if base != strings.ToLower(base) || isDevice(base) {
			t.Fatalf("%q becomes %q, which is another file on some systems", name, base)
		}
		if decoded, ok := decodeName(base); isHashed(base) == ok || (ok && decoded != name) {
			t.Fatalf("%q becomes %q, which says %q, %v", name, base, decoded, ok)
		}
		if CheckName(other) == nil && other != name && encodeName(other) == base {
			t.Fatalf("%q and %q are one file", name, other)
		}
	})
}

func FuzzOnlyOurFileNamesAreDecoded(f *testing.F) {
	for _, base := range []string{"default", "%41", "%4", "%", "%zz", "%2f", "Upper", "%61", "con", "%63on", "a b", "%00", "%ff", "%-12", "%+1"} {
		f.Add(base)
	}
	f.Fuzz(func(t *testing.T, base string) {
		name, ok := decodeName(base)
		if ok && (CheckName(name) != nil || encodeName(name) != base) {
			t.Errorf("%q was decoded to %q", base, name)
		}
	})
}
