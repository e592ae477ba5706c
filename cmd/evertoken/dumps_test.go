package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"testing"
)

// No process tells whether another one is dumpable, to root least of all, so this reads the
// program: before anything else it forbids dumps.
func TestCommandForbidsDumpsBeforeAnythingElse(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "main.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, decl := range file.Decls {
		f, is := decl.(*ast.FuncDecl)
		if !is || f.Name.Name != "main" {
			continue
		}
		if first, is := f.Body.List[0].(*ast.ExprStmt); is {
			if call, is := first.X.(*ast.CallExpr); is {
				if name, is := call.Fun.(*ast.Ident); is && name.Name == "forbidDumps" {
					return
				}
			}
		}
	}
	t.Error("main does not begin with forbidDumps()")
}
