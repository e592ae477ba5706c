package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// modulesBelow returns the directories below root, and root, that have a go.mod. It
// leaves out those of dependencies and caches. root is absolute.
func modulesBelow(root string) ([]string, error) {
	var modules []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "node_modules" || entry.Name() == "testdata"):
			return filepath.SkipDir
		case entry.Name() == "go.mod":
			modules = append(modules, filepath.Dir(path))
		}
		return nil
	})
	return modules, err
}

// A listed package is what `go list` tells of it.
type listed struct {
	Dir, ImportPath, Export string
	GoFiles                 []string // those that the present system compiles
	DepOnly                 bool
	Error                   *struct{ Err string }

	exports map[string]string // where the compiled form of each dependency is
}

// load lists the packages of the module in dir. It has the go command compile what
// they import, since types can only be checked against that.
func load(dir string) ([]listed, error) {
	cmd := exec.Command("go", "list", "-e", "-export", "-deps", "-json=Dir,ImportPath,Export,GoFiles,DepOnly,Error", "./...")
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list in %s: %w\n%s", dir, err, stderr.String())
	}
	var packages []listed
	exports := map[string]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		p := listed{exports: exports}
		err := d.Decode(&p)
		switch {
		case errors.Is(err, io.EOF):
			return packages, nil
		case err != nil:
			return nil, err
		}
		exports[p.ImportPath] = p.Export
		if p.DepOnly || len(p.GoFiles) == 0 {
			continue
		}
		if p.Error != nil {
			return nil, fmt.Errorf("%s: %s", p.ImportPath, p.Error.Err)
		}
		packages = append(packages, p)
	}
}

// check returns which files of the package use names that which others declare.
func (p listed) check() (graph, error) {
	set := token.NewFileSet()
	var files []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(set, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	imports := importer.ForCompiler(set, "gc", func(path string) (io.ReadCloser, error) {
		if p.exports[path] == "" {
			return nil, fmt.Errorf("%s has not been compiled", path)
		}
		return os.Open(p.exports[path])
	})
	return usesOf(p.ImportPath, set, files, imports)
}

// usesOf checks the types of a package's files, and returns which use which.
func usesOf(path string, set *token.FileSet, files []*ast.File, imports types.Importer) (graph, error) {
	info := types.Info{Uses: map[*ast.Ident]types.Object{}}
	cfg := types.Config{Importer: imports}
	pkg, err := cfg.Check(path, set, files, &info)
	if err != nil {
		return nil, err
	}
	nameOf := func(pos token.Pos) string { return filepath.Base(set.Position(pos).Filename) }
	uses := graph{}
	for id, obj := range info.Uses {
		// What another file declares is never a local name: it is a name of the package,
		// or a method or field of one.
		if obj.Pkg() == pkg && obj.Pos().IsValid() {
			uses.add(nameOf(id.Pos()), nameOf(obj.Pos()))
		}
	}
	return uses, nil
}
