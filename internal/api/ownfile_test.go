package api_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// opensFiles lists what opens, makes or truncates a file by its path, whatever lies there.
// Such calls are for internal/ownfile.
var opensFiles = map[string]string{
	"os.Open": "ownfile.Open", "os.OpenFile": "ownfile.Open, Append or Create", "os.ReadFile": "ownfile.Read",
	"os.Create": "ownfile.Create", "os.WriteFile": "ownfile.Create", "os.Truncate": "ownfile.Create",
	"os.Chmod": "ownfile.ReadPrivate", "os.Chown": "nothing", "os.Link": "nothing", "os.CopyFS": "nothing",
	"os.OpenInRoot": "ownfile.Open", "ioutil.ReadFile": "ownfile.Read", "ioutil.WriteFile": "ownfile.Create",
	"syscall.Open": "ownfile.Open", "unix.Open": "ownfile.Open",
}

// shipped lists the directories whose code runs in programs of users.
var shipped = []string{"cmd", "oauth", "refresh", "tokenstore", "internal"}

// development lists the packages below internal that only our own work needs.
var development = map[string]bool{
	"internal/ownfile":  true, // it is what opens files
	"internal/licences": true, "internal/rules": true, "internal/mutants": true, "internal/rooms": true, "internal/sim": true, "internal/taint": true, "internal/testdir": true, "internal/wine": true, "internal/setup": true,
}

func TestFilesAreOpenedByOwnfileAlone(t *testing.T) {
	root := filepath.Join("..", "..")
	for _, top := range shipped {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			name, err := filepath.Rel(root, path)
			switch {
			case err != nil:
				return err
			case entry.IsDir() && (entry.Name() == "testdata" || development[filepath.ToSlash(name)]):
				return filepath.SkipDir
			case !entry.IsDir() && strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go"):
				checkOpens(t, path, name)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func checkOpens(t *testing.T, path, name string) {
	t.Helper()
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		use, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		of, ok := use.X.(*ast.Ident)
		if !ok {
			return true
		}
		called := of.Name + "." + use.Sel.Name
		if instead, ok := opensFiles[called]; ok {
			t.Errorf("%s:%d: %s follows links and waits at pipes: use %s", name, files.Position(use.Pos()).Line, called, instead)
		}
		if called == "flock.New" && !callsLockFlags(f) {
			t.Errorf("%s:%d: flock.New follows links: give it ownfile.LockFlags", name, files.Position(use.Pos()).Line)
		}
		return true
	})
}

func callsLockFlags(f *ast.File) (calls bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		use, ok := n.(*ast.SelectorExpr)
		calls = calls || ok && use.Sel.Name == "LockFlags"
		return true
	})
	return calls
}
