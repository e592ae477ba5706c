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

// embedded is a field of a snippet that api/*.txt does not list: they have no embedded structs.
const embedded = "refresh.PoolConfig.Config"

// snippets are the Go code that pages show.
var snippets = regexp.MustCompile("(?s)```go\n(.*?)```")

// What a page shows must have the names and the fields that the packages export, or those who copy it get
// what does not compile.
func TestSnippetsOfPagesNameWhatThePackagesExport(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	golden, shown, checked := goldenFiles(t), 0, 0
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range snippets.FindAllSubmatch(text, -1) {
			shown++
			bad, names := unknownNames(t, golden, string(found[1]))
			checked += names
			for _, name := range bad {
				t.Errorf("%s shows %s, which is not in api/*.txt", page, name)
			}
		}
	}
	if shown < 10 || checked < 30 {
		t.Errorf("%d snippets with %d names were found; want 10 and 30 at least", shown, checked)
	}
	for snippet, want := range map[string]string{
		"refresh.NewPool(refresh.PoolConfig{Config: refresh.Config{Limits: refresh.Limits{}}})": "refresh.Config.Limits",
		"oauth.Discovered(ctx)": "oauth.Discovered",
	} {
		if bad, _ := unknownNames(t, golden, snippet); len(bad) != 1 || bad[0] != want {
			t.Errorf("%s: got %q, want %q", snippet, bad, want)
		}
	}
}

// goldenFiles returns the lines of api/*.txt by the name of their package.
func goldenFiles(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("../../api/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	golden := make(map[string]string)
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		path := strings.Split(strings.TrimSuffix(filepath.Base(name), ".txt"), "_")
		golden[path[len(path)-1]] = "\n" + string(text)
	}
	return golden
}

// unknownNames returns which names of our packages a snippet has that they do not export, and how many
// it has at all. A field of a struct is told with the names before it.
func unknownNames(t *testing.T, golden map[string]string, snippet string) (bad []string, names int) {
	t.Helper()
	text := strings.NewReplacer("{ … }", "{}", "…\n", "\n").Replace(snippet)
	if !strings.HasPrefix(text, "func ") {
		text = "func _() {\n" + text + "\n}"
	}
	file, err := parser.ParseFile(token.NewFileSet(), "", "package p\n"+text, 0)
	if err != nil {
		t.Fatalf("%v in\n%s", err, snippet)
	}
	check := func(pkg, pattern, name string) {
		names++
		if !regexp.MustCompile(`\n` + pattern).MatchString(golden[pkg]) {
			bad = append(bad, pkg+"."+name)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if pkg, name := selected(n); golden[pkg] != "" {
				check(pkg, `(const|var|type|func) `+name+`\b`, name)
			}
		case *ast.CompositeLit:
			pkg, name := selected(n.Type)
			if alias := regexp.MustCompile(`\ntype ` + name + ` = (\w+)\.(\w+)\n`).FindStringSubmatch(golden[pkg]); alias != nil {
				pkg, name = alias[1], alias[2]
			}
			for _, element := range n.Elts {
				pair, is := element.(*ast.KeyValueExpr)
				if field, named := keyOf(pair, is); named && golden[pkg] != "" && pkg+"."+name+"."+field != embedded {
					check(pkg, `type `+name+` struct, `+field+` `, name+"."+field)
				}
			}
		}
		return true
	})
	return bad, names
}

// selected returns the two names of pkg.Name, or "".
func selected(x ast.Expr) (pkg, name string) {
	if s, is := x.(*ast.SelectorExpr); is {
		if id, is := s.X.(*ast.Ident); is {
			return id.Name, s.Sel.Name
		}
	}
	return "", ""
}

// keyOf returns the field that a part of a literal names, if it does.
func keyOf(pair *ast.KeyValueExpr, is bool) (string, bool) {
	if !is {
		return "", false
	}
	id, is := pair.Key.(*ast.Ident)
	if !is {
		return "", false
	}
	return id.Name, true
}
