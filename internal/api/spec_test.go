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

var (
	// namedTest is a test as the pages name it: package and function.
	namedTest = regexp.MustCompile("^`([a-z0-9/]+): ([A-Z][A-Za-z0-9_]*)`$")
	// namedSwitch is a field of an oauthtest struct as docs/servers.md names it.
	namedSwitch = regexp.MustCompile("`(Config|Quirks|Fault|RegisteredClient)\\.([A-Za-z0-9]+)`")
)

func TestSpecificationPageNamesTestsThatExist(t *testing.T) {
	namesTests(t, tableOf(t, "spec.md"))
}

func TestServersPageNamesTestsAndSwitchesThatExist(t *testing.T) {
	rows := tableOf(t, "servers.md")
	namesTests(t, rows)
	api, err := os.ReadFile(filepath.Join("..", "..", "api", "oauth_oauthtest.txt"))
	if err != nil {
		t.Fatal(err)
	}
	page := ""
	for _, cells := range rows {
		for _, name := range namedSwitch.FindAllStringSubmatch(cells[1], -1) {
			if !strings.Contains(string(api), "type "+name[1]+" struct, "+name[2]+" ") {
				t.Errorf("%s: package oauthtest has no %s.%s", cells[0], name[1], name[2])
			}
		}
		page += cells[1]
	}
	// A quirk that is on no row is one that nobody has shown to be survived.
	for _, quirk := range regexp.MustCompile(`type Quirks struct, (\w+)`).FindAllStringSubmatch(string(api), -1) {
		if !strings.Contains(page, "`Quirks."+quirk[1]+"`") {
			t.Errorf("no row has the switch Quirks.%s", quirk[1])
		}
	}
}

// tableOf returns the rows of the table on a page in docs, without its head.
func tableOf(t *testing.T, page string) [][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for _, line := range strings.Split(string(text), "\n") {
		if !strings.HasPrefix(line, "| ") {
			continue
		}
		cells := strings.Split(strings.TrimSuffix(strings.TrimPrefix(line, "| "), " |"), " | ")
		if len(cells) != 4 {
			t.Fatalf("a row has %d cells, want 4: %s", len(cells), line)
		}
		rows = append(rows, cells)
	}
	if len(rows) < 2 {
		t.Fatal("the page has no rows")
	}
	return rows[1:]
}

// namesTests fails the test unless the last cell of each row names tests, and
// these exist.
func namesTests(t *testing.T, rows [][]string) {
	t.Helper()
	known := map[string]map[string]bool{}
	for _, cells := range rows {
		for _, test := range strings.Split(cells[3], ", ") {
			name := namedTest.FindStringSubmatch(test)
			if name == nil {
				t.Errorf("%s: %q does not name a test as `package: TestName`", cells[0], test)
				continue
			}
			if known[name[1]] == nil {
				known[name[1]] = testsIn(t, filepath.Join("..", "..", name[1]))
			}
			if !known[name[1]][name[2]] {
				t.Errorf("%s: package %s has no test %s", cells[0], name[1], name[2])
			}
		}
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
