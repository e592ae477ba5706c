package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const example = `package example

import "time"

func f(a, b int, at, end time.Time) (ok bool) {
	if a < b && !ok || at.Before(end) {
		a = max(a, b)
		defer println()
	}
	switch {
	case a >= 2:
		a++
	}
	return true
}
`

// check type-checks sources of a package.
func check(t *testing.T, sources ...string) *checked {
	t.Helper()
	c := &checked{set: token.NewFileSet(), info: &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}}
	for i, source := range sources {
		f, err := parser.ParseFile(c.set, fmt.Sprint(i, ".go"), source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatalf("%v\n%s", err, source)
		}
		c.syntax = append(c.syntax, f)
	}
	if _, err := (&types.Config{Importer: importer.Default()}).Check("example", c.set, c.syntax, c.info); err != nil {
		t.Fatalf("%v\n%s", err, sources)
	}
	return c
}

func TestTheMistakesThatAreMadeCompileTogether(t *testing.T) {
	c := check(t, example)
	s := new(species)
	e := &editor{species: s, file: "f.go", set: c.set, source: example, info: c.info, edits: map[ast.Node][]edit{}}
	mutated := e.mutated(c.syntax[0])
	var got []string
	for _, m := range s.mutants {
		got = append(got, oneLine(m.before)+" => "+oneLine(m.after))
	}
	slices.Sort(got)
	want := []string{
		"!ok => ok",
		"a < b && !ok => a < b || !ok",
		"a < b && !ok || at.Before(end) => a < b && !ok && at.Before(end)",
		"a < b => !(a < b)",
		"a < b => a <= b",
		"a = max(a, b) => ",
		"a >= 2 => !(a >= 2)",
		"a >= 2 => a > 2",
		"a++ => ",
		"at.Before(end) => !at.Before(end)",
		"at.Before(end) => at.After(end)",
		"defer println() => ",
		"max(a, b) => min(a, b)",
		"true => false",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	check(t, mutated, fmt.Sprintf(choice, "example"))
	if strings.Count(mutated, "\n") != strings.Count(example, "\n") {
		t.Errorf("lines have moved:\n%s", mutated)
	}
}

func TestEachEquivalentMutantHasAReason(t *testing.T) {
	for content, ok := range map[string]bool{
		"# nothing\n":           true,
		"f.go f: a => b\n  x\n": true,
		"f.go f: a => b\nf.go f: b => c\n  x\n  y\nf.go f: c => d\n  z\n": true,
		"f.go f: a => b\n":                      false,
		"  x\n":                                 false,
		"f.go f: a => b\n  x\nf.go f: b => c\n": false,
		"f.go f: a => b\n  x\nf.go f: a => b\n  y\n": false,
	} {
		root := t.TempDir()
		path := filepath.Join(root, filepath.FromSlash(equivalentFile))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readEquivalent(root); (err == nil) != ok {
			t.Errorf("%q: %v; want it accepted: %v", content, err, ok)
		}
	}
}

func TestWhatWasNoticedIsNotTriedAgainUnlessItsFunctionChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results")
	read := func() *results {
		t.Helper()
		r, err := readResults(path)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	noticed := &mutant{file: "f.go", function: "f", version: "1", before: "a", after: "b"}
	lives := &mutant{file: "f.go", function: "f", version: "1", before: "a", after: "c"}
	changed := &mutant{file: "f.go", function: "f", version: "2", before: "a", after: "b"}
	r := read()
	for m, killer := range map[*mutant]string{noticed: "p: TestF", lives: ""} {
		if err := r.add(&verdict{mutant: m, tried: true, killer: killer}); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString(lives.entry() + "\t") // the run was killed
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	left, n := read().without([]*mutant{noticed, lives, changed})
	if !slices.Equal(left, []*mutant{lives, changed}) || n != 1 {
		t.Errorf("%d are known, and to try are %v", n, left)
	}
}
