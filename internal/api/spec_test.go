package api_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	// namedTest is a test as the pages name it: package and function.
	namedTest = regexp.MustCompile("^`([a-z0-9/]+): ([A-Z][A-Za-z0-9_]*)`$")
	// namedFunction is a function or a method as docs/laws.md names it.
	namedFunction = regexp.MustCompile("^`([a-z0-9/]+): ([A-Za-z0-9]+(?:\\.[A-Za-z0-9]+)?)`$")
	// namedSwitch is a field of an oauthtest struct as docs/servers.md names it.
	namedSwitch = regexp.MustCompile("`(Config|Quirks|Fault|RegisteredClient)\\.([A-Za-z0-9]+)`")
)

func TestSpecificationPageNamesTestsThatExist(t *testing.T) {
	namesTests(t, tableOf(t, "spec.md", 4))
}

func TestVerdictsPageNamesTestsThatExist(t *testing.T) {
	namesTests(t, tableOf(t, "verdicts.md", 6))
}

// TestThreatModelHasEveryPair checks docs/threat-model.md: actor, asset, what stands in the
// way, and the tests. What is not defended says why.
func TestThreatModelHasEveryPair(t *testing.T) {
	threats, _, _ := strings.Cut(pageOf(t, "threat-model.md"), "\n## ")
	actors, assets, _ := strings.Cut(threats, "\nAssets:\n")
	assets, _, _ = strings.Cut(assets, "\n|")
	missing := map[string]bool{}
	for _, actor := range inBold.FindAllStringSubmatch(actors, -1) {
		for _, asset := range inBold.FindAllStringSubmatch(assets, -1) {
			missing[actor[1]+" and "+asset[1]] = true
		}
	}
	if len(missing) < 60 {
		t.Errorf("the page has %d pairs of actors and assets; want 60 at least", len(missing))
	}
	for _, cells := range rowsOf(t, threats, 4) {
		pair := cells[0] + " and " + cells[1]
		if !missing[pair] {
			t.Errorf("%s: the pair has another row, or is none of the page's actors and assets", pair)
		}
		delete(missing, pair)
		if strings.Contains(cells[2], "Not defended.") || strings.HasSuffix(cells[2], "Not defended") {
			t.Errorf("%s: why is it not defended?", pair)
		}
		switch {
		case cells[3] == notYet, cells[3] == "–" && strings.HasPrefix(cells[2], "Does not apply"):
		default:
			namesTests(t, [][]string{cells})
		}
	}
	for pair := range missing {
		t.Errorf("%s: the pair has no row", pair)
	}
}

// TestThreatModelNamesEachFuzzTarget checks the second table of docs/threat-model.md: parser,
// whose bytes reach it, and the target that tries it.
func TestThreatModelNamesEachFuzzTarget(t *testing.T) {
	_, table, _ := strings.Cut(pageOf(t, "threat-model.md"), "\n## What strangers can send")
	rows, named := rowsOf(t, table, 3), map[string]bool{}
	namesTests(t, rows)
	for _, cells := range rows {
		named[cells[2]] = true
	}
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		pkg, err := filepath.Rel(root, path)
		for test := range testsIn(t, path) {
			if target := "`" + filepath.ToSlash(pkg) + ": " + test + "`"; strings.HasPrefix(test, "Fuzz") && !named[target] {
				t.Errorf("%s: no row has this target", target)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// inBold is how the page names actors and assets, each on a line of a list.
var inBold = regexp.MustCompile(`(?m)^- \*\*([^*]+)\*\*: `)

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

// TestEachReportHasATestOfItsName checks the table of reports on docs/mcp.md: each line is one
// report, and has a test that carries its repository and number. It also finds tests that carry
// a report without a line.
func TestEachReportHasATestOfItsName(t *testing.T) {
	_, text, found := strings.Cut(pageOf(t, "mcp.md"), "\n## What was reported of others\n")
	if !found {
		t.Fatal("the page has no part about reports")
	}
	text, _, _ = strings.Cut(text, "\n## ")
	rows, named := rowsOf(t, text, 4), map[string]bool{}
	namesTests(t, rows)
	for _, cells := range rows {
		report := aReport.FindStringSubmatch(cells[0])
		if report == nil {
			t.Errorf("%q is not a report as owner/repository#number", cells[0])
			continue
		}
		has := false
		for _, test := range reportTest.FindAllStringSubmatch(cells[3], -1) {
			named[test[1]] = true
			has = has || carriesReport(test[1], report[1], report[2], report[3])
		}
		if !has {
			t.Errorf("%s: no test carries its name, as in TestReport_repository_number", cells[0])
		}
	}
	for _, test := range testsEverywhere(t) {
		if strings.HasPrefix(test, "TestReport_") && !named[test] {
			t.Errorf("%s: the page has no line for the report", test)
		}
	}
}

var (
	aReport    = regexp.MustCompile(`^([A-Za-z0-9-]+)/([A-Za-z0-9._-]+)#([0-9]+)$`)
	reportTest = regexp.MustCompile(`: (TestReport_[A-Za-z0-9_]+)`)
)

// carriesReport reports whether a test is named for a report: TestReport, the repository, with
// or without its owner, and the number.
func carriesReport(test, owner, repository, number string) bool {
	words := strings.NewReplacer("-", "_", ".", "_").Replace(repository)
	return test == "TestReport_"+words+"_"+number ||
		test == "TestReport_"+strings.ReplaceAll(owner, "-", "_")+"_"+words+"_"+number
}

// TestLawsPageNamesCodeAndTests checks docs/laws.md: law, rule, the functions that keep it,
// and the tests.
func TestLawsPageNamesCodeAndTests(t *testing.T) {
	rows, laws, known := tableOf(t, "laws.md", 4), map[string]bool{}, map[string]map[string]bool{}
	namesTests(t, rows)
	for _, cells := range rows {
		laws[cells[0]] = true
		for code := range strings.SplitSeq(cells[2], ", ") {
			name := namedFunction.FindStringSubmatch(code)
			if name == nil {
				t.Errorf("%s: %q does not name a function as `package: Name` or `package: Type.Name`", cells[0], code)
				continue
			}
			if known[name[1]] == nil {
				known[name[1]] = functionsIn(t, filepath.Join("..", "..", name[1]), false)
			}
			if !known[name[1]][name[2]] {
				t.Errorf("%s: package %s has no function %s", cells[0], name[1], name[2])
			}
		}
	}
	for n := 1; n <= 10; n++ {
		if !laws[fmt.Sprint("Law", n)] {
			t.Errorf("Law%d has no row", n)
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
	for _, test := range testsEverywhere(t) {
		for scenario := range strings.SplitSeq(carriedBy.FindString(test), "_") {
			if scenario = strings.TrimPrefix(scenario, "Test"); scenario != "" {
				found[scenario] = test
			}
		}
	}
	return found
}

// testsEverywhere returns the names of all tests, in whatever module.
func testsEverywhere(t *testing.T) []string {
	t.Helper()
	var tests []string
	err := filepath.WalkDir(filepath.Join("..", ".."), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		tests = slices.AppendSeq(tests, maps.Keys(testsIn(t, path)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tests
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
	return rowsOf(t, pageOf(t, page), width)
}

// pageOf returns the text of a page in docs.
func pageOf(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// rowsOf is tableOf for a part of a page.
func rowsOf(t *testing.T, text string, width int) [][]string {
	t.Helper()
	var rows [][]string
	for line := range strings.SplitSeq(text, "\n") {
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
	tests := functionsIn(t, dir, true)
	for name := range tests {
		if !strings.HasPrefix(name, "Test") && !strings.HasPrefix(name, "Fuzz") {
			delete(tests, name)
		}
	}
	return tests
}

// functionsIn returns the names of the functions in a directory, for whatever system
// they are, and those of methods behind that of their type: those of its tests, or the
// others.
func functionsIn(t *testing.T, dir string, ofTests bool) map[string]bool {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	functions := map[string]bool{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") != ofTests {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range f.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok {
				functions[receiver(fn)+fn.Name.Name] = true
			}
		}
	}
	return functions
}

// receiver returns the name of a method's type and a dot, or nothing.
func receiver(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return ""
	}
	of := fn.Recv.List[0].Type
	if pointer, ok := of.(*ast.StarExpr); ok {
		of = pointer.X
	}
	if generic, ok := of.(*ast.IndexExpr); ok {
		of = generic.X
	}
	name, ok := of.(*ast.Ident)
	if !ok {
		return "?."
	}
	return name.Name + "."
}
