package main

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// mostFilesInALoop is how many files of a package may use each other's names.
const mostFilesInALoop = 8

func TestNoPackageIsALoopOfManyFiles(t *testing.T) {
	packages, err := measure(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packages {
		if loop := p.largestLoop(); len(loop) > mostFilesInALoop {
			t.Errorf("%s: %d files use each other's names in a loop, at most %d may: %s", p.dir, len(loop), mostFilesInALoop, strings.Join(loop, " "))
		}
	}
}

func TestOneRefreshRunsThroughNoMoreFiles(t *testing.T) {
	files, err := filesOfOneRefresh(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) > mostFilesPerRefresh {
		t.Errorf("one refresh runs through %d files, and %d were the limit:\n%s", len(files), mostFilesPerRefresh, strings.Join(files, "\n"))
	}
}

func TestUsesOfMethodsAndFieldsCount(t *testing.T) {
	for name, tt := range map[string]struct {
		sources []string // of a.go, b.go, …, without the package clause
		want    graph
	}{
		"function":           {[]string{`func A() { B() }`, `func B() {}`}, graph{"a.go": {"b.go": true}}},
		"type":               {[]string{`var A B`, `type B int`}, graph{"a.go": {"b.go": true}}},
		"nothing":            {[]string{`func A() { b := 1; _ = b }`, `func B() { a := 1; _ = a }`}, graph{}},
		"method":             {[]string{`type A struct{}; func f() { A{}.m() }`, `func (A) m() {}`}, graph{"a.go": {"b.go": true}, "b.go": {"a.go": true}}},
		"field":              {[]string{`func A() int { return v().n }`, `type B struct{ n int }`, `func v() B { return B{} }`}, graph{"a.go": {"b.go": true, "c.go": true}, "c.go": {"b.go": true}}},
		"named in a literal": {[]string{`var _ = B{n: 1}`, `type B struct{ n int }`}, graph{"a.go": {"b.go": true}}},
		"promoted method":    {[]string{`func A(c C) { c.m() }`, `type B struct{}; func (B) m() {}`, `type C struct{ B }`}, graph{"a.go": {"b.go": true, "c.go": true}, "c.go": {"b.go": true}}},
		"generic method":     {[]string{`func A() { var b B[int]; b.m() }`, `type B[T any] struct{}`, `func (B[T]) m() {}`}, graph{"a.go": {"b.go": true, "c.go": true}, "c.go": {"b.go": true}}},
		"through a standard type": {
			[]string{`import "sync/atomic"; var p atomic.Pointer[B]`, `type B struct{ n int }`, `func C() int { return p.Load().n }`},
			graph{"a.go": {"b.go": true}, "c.go": {"a.go": true, "b.go": true}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			set := token.NewFileSet()
			var files []*ast.File
			for i, source := range tt.sources {
				f, err := parser.ParseFile(set, string(rune('a'+i))+".go", "package p\n"+source, 0)
				if err != nil {
					t.Fatal(err)
				}
				files = append(files, f)
			}
			got, err := usesOf("p", set, files, importer.ForCompiler(set, "source", nil))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestLoopsAreFoundInAnyNumberOfSteps(t *testing.T) {
	g := graph{}
	for _, use := range []string{"ab", "bc", "ca", "cd", "de", "ed", "ef", "gf", "ag"} {
		g.add(use[:1], use[1:])
	}
	g.add("a", "a")
	for range 20 { // maps have another order each time
		got := g.loops(strings.Split("abcdefg", ""))
		slices.SortFunc(got, slices.Compare)
		if want := [][]string{{"a", "b", "c"}, {"d", "e"}, {"f"}, {"g"}}; !reflect.DeepEqual(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
	if g["a"]["a"] {
		t.Error("a file uses itself")
	}
}

func TestProfilesAreRead(t *testing.T) {
	got, err := readProfile([]byte("mode: count\np/a.go:1.2,3.4 2 7\np/b.go:1.2,3.4 1 0\np/a.go:1.2,3.4 2 1\n"))
	if want := map[string]int{"p/a.go:1.2,3.4": 8, "p/b.go:1.2,3.4": 0}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for _, damaged := range []string{"mode: count\np/a.go:1.2,3.4 2\n", "mode: count\np/a.go:1.2,3.4 2 x\n"} {
		if _, err := readProfile([]byte(damaged)); err == nil {
			t.Errorf("%q was read", damaged)
		}
	}
}
