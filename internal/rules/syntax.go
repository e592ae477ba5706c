package main

import (
	"go/ast"
	"go/token"
	"strconv"
)

// imported returns the path that n imports, or "".
func imported(n ast.Node) string {
	if spec, ok := n.(*ast.ImportSpec); ok {
		path, _ := strconv.Unquote(spec.Path.Value)
		return path
	}
	return ""
}

// selected returns "x.Name" if n is that, with x a name, or "".
func selected(n ast.Node) string {
	use, ok := n.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if of, ok := use.X.(*ast.Ident); ok {
		return of.Name + "." + use.Sel.Name
	}
	return ""
}

// named returns the name that n is: of a field that is set in a literal or chosen, or "".
func named(n ast.Node) string {
	switch x := n.(type) {
	case *ast.SelectorExpr:
		return x.Sel.Name
	case *ast.KeyValueExpr:
		return lastName(x.Key)
	}
	return ""
}

// lastName returns the name of a variable, or that of the field which is chosen last.
func lastName(e ast.Expr) string {
	switch x := e.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.SelectorExpr:
		return x.Sel.Name
	}
	return ""
}

// calledName returns what a call calls: "panic", or the last two names of "x.y.Name".
func calledName(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return lastName(f.X) + "." + f.Sel.Name
	}
	return ""
}

// text returns the value of a string or number that stands in the code.
func text(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok {
		return "", false
	}
	if lit.Kind != token.STRING {
		return lit.Value, true
	}
	value, err := strconv.Unquote(lit.Value)
	return value, err == nil
}

// hasKey reports whether a literal of a struct sets a field.
func hasKey(lit *ast.CompositeLit, key string) bool {
	for _, e := range lit.Elts {
		if pair, ok := e.(*ast.KeyValueExpr); ok && lastName(pair.Key) == key {
			return true
		}
	}
	return false
}
