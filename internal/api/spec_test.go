package api_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// namedTest is a test as docs/spec.md names it: package and function.
var namedTest = regexp.MustCompile("^`([a-z0-9/]+): ([A-Z][A-Za-z0-9_]*)`$")

func TestSpecificationPageNamesTestsThatExist(t *testing.T) {
	root := filepath.Join("..", "..")
	page, err := os.ReadFile(filepath.Join(root, "docs", "spec.md"))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]map[string]bool{}
	rows := 0
	for _, line := range strings.Split(string(page), "\n") {
		cells := strings.Split(line, " | ")
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| spec, section |") {
			continue
		}
		rows++
		if len(cells) != 4 {
			t.Errorf("a row has %d cells, want 4: %s", len(cells), line)
			continue
		}
		for _, test := range strings.Split(strings.TrimSuffix(cells[3], " |"), ", ") {
			name := namedTest.FindStringSubmatch(test)
			if name == nil {
				t.Errorf("%s: %q does not name a test as `package: TestName`", cells[0], test)
				continue
			}
			if known[name[1]] == nil {
				known[name[1]] = testsIn(t, filepath.Join(root, name[1]))
			}
			if !known[name[1]][name[2]] {
				t.Errorf("%s: package %s has no test %s", cells[0], name[1], name[2])
			}
		}
	}
	if rows == 0 {
		t.Error("the page has no rows")
	}
}

// testsIn returns the names of the tests and fuzz targets in a directory, for
// whatever system they are.
func testsIn(t *testing.T, dir string) map[string]bool {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	for _, name := range names {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range f.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if ok && fn.Recv == nil && (strings.HasPrefix(fn.Name.Name, "Test") || strings.HasPrefix(fn.Name.Name, "Fuzz")) {
				tests[fn.Name.Name] = true
			}
		}
	}
	return tests
}
