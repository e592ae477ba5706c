// Command rules looks for mistakes in code that runs in programs of users, which compilers
// and general checkers let pass: each rule is about how secrets get out or strangers get in.
//
//	go run ./internal/rules     from the root of the repository
//
// It reads the syntax of each file and no types, so that it takes a second. Where a rule must
// be broken, the file stands in the rule's exceptions, with the reason. Tests may do
// anything, but for characters that make code read otherwise than it is compiled.
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	found, err := look(".")
	if err != nil {
		fmt.Fprintln(os.Stderr, "rules:", err)
		os.Exit(1)
	}
	for _, f := range found {
		fmt.Println(f)
	}
	if found != nil {
		os.Exit(1)
	}
}

// A finding is where a rule is broken.
type finding struct {
	file string
	line int
	rule string
	says string
}

func (f finding) String() string {
	return fmt.Sprintf("%s:%d: %s (%s)", f.file, f.line, f.says, f.rule)
}

// shipped lists the directories whose code runs in programs of users.
var shipped = []string{"cmd", "connect", "mcp", "oauth", "refresh", "tokenstore", "internal"}

// development lists the directories below them that only our own work needs.
var development = []string{
	"internal/api", "internal/licences", "internal/mutants", "internal/rooms", "internal/rules", "internal/setup", "internal/sim",
	"internal/costmeter", "internal/taint", "internal/recorded", "internal/testdir", "internal/teststore", "internal/wine", "internal/workers", "internal/keyringsession",
	"tokenstore/sqlstore/drivertest",
}

// isShipped reports whether a file, by its path with slashes, is in programs of users.
func isShipped(name string) bool {
	if strings.HasSuffix(name, "_test.go") {
		return false
	}
	for _, dir := range development {
		if strings.HasPrefix(name, dir+"/") {
			return false
		}
	}
	for _, dir := range shipped {
		if strings.HasPrefix(name, dir+"/") {
			return true
		}
	}
	return false
}

// look returns what breaks a rule below root.
func look(root string) (found []finding, err error) {
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		name := entry.Name()
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "testdata" || name == "bin"):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		more, err := lookAt(filepath.ToSlash(rel), text)
		found = append(found, more...)
		return err
	})
	return found, err
}

// lookAt returns what breaks a rule in one file.
func lookAt(name string, text []byte) ([]finding, error) {
	found := hidden(name, text)
	if !isShipped(name) {
		return found, nil
	}
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, name, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	for _, r := range rules {
		if _, excepted := r.except[name]; excepted {
			continue
		}
		report := func(n ast.Node, says string) {
			found = append(found, finding{name, files.Position(n.Pos()).Line, r.name, says})
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if n != nil {
				r.look(n, report)
			}
			return true
		})
	}
	return found, nil
}
