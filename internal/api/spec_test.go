package api_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
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
	namesTests(t, tableOf(t, "spec.md", 4))
}

func TestVerdictsPageNamesTestsThatExist(t *testing.T) {
	namesTests(t, tableOf(t, "verdicts.md", 6))
}

// TestFailuresPageHasEveryScenarioAndItsTests also finds the scenarios and laws that
// tests carry in their names, as in TestF12_F19_… and TestLaw4_…
func TestFailuresPageHasEveryScenarioAndItsTests(t *testing.T) {
	lines := map[string]string{}
	for _, cells := range tableOf(t, "failures.md", 4) {
		if lines[cells[0]] != "" {
			t.Errorf("%s has two lines", cells[0])
		}
		lines[cells[0]] = cells[3]
		if cells[3] != notYet {
			namesTests(t, [][]string{cells})
		}
	}
	for n := 1; n <= 99; n++ {
		if number := fmt.Sprint("F", n); lines[number] == "" {
			t.Errorf("%s has no line", number)
		}
	}
	for n := 1; n <= 10; n++ {
		if number := fmt.Sprint("Law", n); lines[number] == "" {
			t.Errorf("%s has no line", number)
		}
	}
	for scenario, test := range scenariosInTests(t) {
		if tests := lines[scenario]; tests == "" || tests == notYet {
			t.Errorf("%s: the page does not say that %s is covered", test, scenario)
		}
	}
}

// notYet is in place of the tests of a scenario that has none.
const notYet = "not yet"

// scenariosInTests returns the scenarios and laws that names of tests carry, in whatever module,
// each with such a test.
func scenariosInTests(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(filepath.Join("..", ".."), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		for test := range testsIn(t, path) {
			for scenario := range strings.SplitSeq(carriedBy.FindString(test), "_") {
				if scenario = strings.TrimPrefix(scenario, "Test"); scenario != "" {
					found[scenario] = test
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// carriedBy is the part of a test's name that says which scenarios or laws it carries.
var carriedBy = regexp.MustCompile(`^Test((F[0-9]+b?|Law[0-9]+)_)+`)

func TestServersPageNamesTestsAndSwitchesThatExist(t *testing.T) {
	rows := tableOf(t, "servers.md", 4)
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

// tableOf returns the rows of the tables on a page in docs, without their heads. Each
// row has that many cells.
func tableOf(t *testing.T, page string, width int) [][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for line := range strings.SplitSeq(string(text), "\n") {
		if strings.HasPrefix(line, "|---") { // what was above is a head
			rows = rows[:len(rows)-1]
		}
		if !strings.HasPrefix(line, "| ") {
			continue
		}
		cells := strings.Split(strings.TrimSuffix(strings.TrimPrefix(line, "| "), " |"), " | ")
		if len(cells) != width {
			t.Fatalf("a row has %d cells, want %d: %s", len(cells), width, line)
		}
		rows = append(rows, cells)
	}
	if len(rows) == 0 {
		t.Fatal("the page has no rows")
	}
	return rows
}

// namesTests fails the test unless the last cell of each row names tests, and
// these exist.
func namesTests(t *testing.T, rows [][]string) {
	t.Helper()
	known := map[string]map[string]bool{}
	for _, cells := range rows {
		for test := range strings.SplitSeq(cells[len(cells)-1], ", ") {
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
