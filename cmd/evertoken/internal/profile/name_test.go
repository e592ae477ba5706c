package profile

import (
	"regexp"
	"strings"
	"testing"
)

func TestProfileNamesAreFileNames(t *testing.T) {
	narrow := regexp.MustCompile(`^[a-z0-9][a-z0-9._@-]{0,63}$`)
	for _, name := range []string{
		"", "a", "0", "default", "alice@corp-1.example_x", "é", "a\xff", "a\n", "a b", "A", "aB", "../default", "a/b", `a\b`,
		".a", "_a", "@a", "-a", "a.", "a-", strings.Repeat("a", 64), strings.Repeat("a", 65),
	} {
		if got, want := CheckName(name) == nil, narrow.MatchString(name); got != want {
			t.Errorf("profile name %q: allowed %v; want %v", name, got, want)
		}
	}
}

func TestTheMostSimilarNameComesFirst(t *testing.T) {
	names := []string{"alice@corp", "default", "home", "wok", "work"}
	for typed, want := range map[string]string{
		"wrok": "work", "wor": "work", "werk": "work", "deflaut": "default", "alice": "alice@corp", "hom": "home", "work": "work", "wk": "wok",
	} {
		if got := Nearest(typed, names); got[0] != want || len(got) != len(names) {
			t.Errorf("%q: got %q, want %q first", typed, got, want)
		}
	}
	if names[0] != "alice@corp" {
		t.Error("Nearest has changed its argument")
	}
}
