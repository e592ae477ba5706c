package api_test

import (
	"bytes"
	"flag"
	"go/ast"
	"go/doc"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write api/*.txt instead of comparing")

// public lists the packages whose exported names are a promise.
var public = []string{
	"connect", "mcp", "oauth", "oauth/challenge", "oauth/dialect", "oauth/oauthtest", "oauth/oidc", "oauth/preset", "oauth/register", "oauth/workload", "refresh",
	"tokenstore", "tokenstore/keyring", "tokenstore/redisstore", "tokenstore/refreshtoken", "tokenstore/refreshtoken/database",
	"tokenstore/refreshtoken/ginjwt", "tokenstore/sqlstore", "tokenstore/storetest",
}

func TestExportedNamesAreTheOnesInTheGoldenFiles(t *testing.T) {
	root := filepath.Join("..", "..")
	for _, pkg := range public {
		t.Run(pkg, func(t *testing.T) {
			got := exported(t, filepath.Join(root, pkg))
			golden := filepath.Join(root, "api", strings.ReplaceAll(pkg, "/", "_")+".txt")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("exported names of %s changed; look at the difference and run `make api UPDATE=1`:\n%s", pkg, diff(want, got))
			}
		})
	}
}

// exported lists the declarations of a package's exported names, one a line,
// sorted.
func exported(t *testing.T, dir string) []byte {
	t.Helper()
	files := token.NewFileSet()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var parsed []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, "_windows.go") {
			continue
		}
		f, err := parser.ParseFile(files, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, f)
	}
	pkg, err := doc.NewFromFiles(files, parsed, dir)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	add := func(node any) { lines = append(lines, declaration(t, files, node)...) }
	values := append(append([]*doc.Value(nil), pkg.Consts...), pkg.Vars...)
	funcs := append([]*doc.Func(nil), pkg.Funcs...)
	for _, typ := range pkg.Types {
		add(typ.Decl)
		values = append(append(values, typ.Consts...), typ.Vars...)
		funcs = append(append(funcs, typ.Funcs...), typ.Methods...)
	}
	for _, v := range values {
		for _, name := range v.Names {
			if ast.IsExported(name) {
				lines = append(lines, v.Decl.Tok.String()+" "+name)
			}
		}
	}
	for _, f := range funcs {
		add(f.Decl)
	}
	sort.Strings(lines)
	return []byte(strings.Join(lines, "\n") + "\n")
}

var blanks = regexp.MustCompile(`\s+`)

// declaration prints a type with one line per exported field or method, and a
// function without its body.
func declaration(t *testing.T, files *token.FileSet, node any) []string {
	t.Helper()
	if f, ok := node.(*ast.FuncDecl); ok {
		f.Body = nil
		return []string{render(t, files, f)}
	}
	var lines []string
	for _, spec := range node.(*ast.GenDecl).Specs {
		typ := spec.(*ast.TypeSpec)
		var fields *ast.FieldList
		kind := ""
		switch x := typ.Type.(type) {
		case *ast.StructType:
			fields, kind = x.Fields, "struct"
		case *ast.InterfaceType:
			fields, kind = x.Methods, "interface"
		default:
			lines = append(lines, "type "+render(t, files, typ))
			continue
		}
		lines = append(lines, "type "+typ.Name.Name+" "+kind)
		for _, field := range fields.List {
			for _, name := range field.Names {
				if name.IsExported() {
					lines = append(lines, "type "+typ.Name.Name+" "+kind+", "+name.Name+" "+render(t, files, field.Type))
				}
			}
		}
	}
	return lines
}

func render(t *testing.T, files *token.FileSet, node any) string {
	t.Helper()
	var b bytes.Buffer
	if err := format.Node(&b, files, node); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(blanks.ReplaceAllString(b.String(), " "))
}

// diff lists the lines that only one side has.
func diff(want, got []byte) string {
	had := map[string]bool{}
	for _, line := range strings.Split(string(want), "\n") {
		had[line] = true
	}
	var b strings.Builder
	for _, line := range strings.Split(string(got), "\n") {
		if !had[line] {
			b.WriteString("+ " + line + "\n")
		}
		delete(had, line)
	}
	for line := range had {
		b.WriteString("- " + line + "\n")
	}
	return b.String()
}
