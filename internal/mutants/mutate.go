package main

import (
	"crypto/sha256"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// A mutant is one mistake at one place.
type mutant struct {
	id            int
	file          string // relative to the root of the module, with slashes
	line          int
	function      string
	before, after string // the piece of source that is mistaken
	version       string // of the function: changes with its text
	nth           int    // of those in the function that look the same, from one
}

// where is what -only is matched against.
func (m *mutant) where() string { return fmt.Sprintf("%s:%d %s", m.file, m.line, m.function) }

// key names the mutant in equivalent.txt: lines move, functions seldom do.
func (m *mutant) key() string {
	key := oneLine(fmt.Sprintf("%s %s: %s => %s", m.file, m.function, m.before, m.after)) // without a space behind it
	if m.nth > 1 {
		key += fmt.Sprintf(" #%d", m.nth)
	}
	return key
}

func (m *mutant) String() string {
	key := m.key()
	return fmt.Sprintf("%s:%d\n  %s\n  - %s\n  + %s", m.file, m.line, key, strings.ReplaceAll(m.before, "\n", "\n  - "), strings.ReplaceAll(m.after, "\n", "\n  + "))
}

func oneLine(source string) string { return strings.Join(strings.Fields(source), " ") }

// A species is all mutants of some packages, and the sources in which they are.
type species struct {
	root    string
	places  []place
	mutants []*mutant
	sources map[string]string // what the go command is to read, by absolute path
}

// mutate finds the mutants of the packages.
func mutate(root string, places []place) (*species, error) {
	s := &species{root: root, places: places, sources: map[string]string{}}
	for _, p := range places {
		files, err := load(root, p.dir)
		if err != nil {
			return nil, err
		}
		dir := filepath.Join(root, filepath.FromSlash(p.dir))
		for _, f := range files.syntax {
			path := files.set.Position(f.Pos()).Filename
			if p.files != nil && !p.files.MatchString(filepath.Base(path)) {
				continue
			}
			source, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			e := &editor{species: s, file: filepath.ToSlash(filepath.Join(p.dir, filepath.Base(path))),
				set: files.set, source: string(source), info: files.info, edits: map[ast.Node][]edit{}}
			s.sources[path] = e.mutated(f)
		}
		s.sources[filepath.Join(dir, "mutants_overlay.go")] = fmt.Sprintf(choice, files.name)
	}
	seen := map[string]int{}
	for _, m := range s.mutants {
		seen[m.key()]++
		m.nth = seen[m.key()]
	}
	return s, nil
}

// choice is added to each package. With MUTANTS_REACHED the mutants that are reached are
// written to a file, each once, and none is alive.
const choice = `package %s

import (
	"os"
	"strconv"
	"sync"
)

var (
	mutantAlive, _    = strconv.Atoi(os.Getenv("MUTANT"))
	mutantsReachedLog = os.Getenv("MUTANTS_REACHED")
	mutantsReached    sync.Map
)

func mutant(id int) bool {
	if mutantsReachedLog != "" {
		if _, reached := mutantsReached.LoadOrStore(id, true); !reached {
			if f, err := os.OpenFile(mutantsReachedLog, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
				_, _ = f.WriteString(strconv.Itoa(id) + "\n")
				_ = f.Close()
			}
		}
	}
	return id == mutantAlive
}

func mutantOr[T any](alive bool, mistaken, right T) T {
	if alive {
		return mistaken
	}
	return right
}

var _, _ = mutant, mutantOr[int]
`

// An edit turns the text of a node, with the edits of what is within, into another.
type edit func(text string) string

// An editor writes mutants into one file.
type editor struct {
	*species
	file     string
	set      *token.FileSet
	source   string
	info     *types.Info
	function string
	version  string // of the function
	edits    map[ast.Node][]edit
}

// mutated returns the source with all mutants in it.
func (e *editor) mutated(f *ast.File) string {
	for _, decl := range f.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		e.function = fn.Name.Name
		e.version = fmt.Sprintf("%x", sha256.Sum256([]byte(e.original(fn))))[:16]
		if fn.Recv != nil {
			recv := e.original(fn.Recv.List[0].Type)
			e.function = strings.TrimLeft(recv, "*") + "." + e.function
		}
		ast.Inspect(fn.Body, func(n ast.Node) bool { e.visit(n); return true })
	}
	return e.source[:e.offset(f.Pos())] + e.text(f) + e.source[e.offset(f.End()):]
}

func (e *editor) offset(pos token.Pos) int { return e.set.Position(pos).Offset }

// original is the source of a node.
func (e *editor) original(n ast.Node) string { return e.source[e.offset(n.Pos()):e.offset(n.End())] }

// text is the source of a node with all mutants within it, but not those of it itself.
func (e *editor) text(n ast.Node) string {
	var within []ast.Node
	ast.Inspect(n, func(c ast.Node) bool {
		if c == nil || c == n || len(e.edits[c]) == 0 {
			return true
		}
		within = append(within, c)
		return false
	})
	sort.Slice(within, func(i, j int) bool { return within[i].Pos() < within[j].Pos() })
	var b strings.Builder
	at := e.offset(n.Pos())
	for _, c := range within {
		b.WriteString(e.source[at:e.offset(c.Pos())])
		b.WriteString(e.full(c))
		at = e.offset(c.End())
	}
	b.WriteString(e.source[at:e.offset(n.End())])
	return b.String()
}

// full is the source of a node with its mutants and those within it.
func (e *editor) full(n ast.Node) string {
	text := e.text(n)
	for _, edit := range e.edits[n] {
		text = edit(text)
	}
	return text
}

// add notes a mutant, and how the source becomes one that can be either.
func (e *editor) add(n ast.Node, after string, either func(id int, text string) string) {
	m := &mutant{id: len(e.mutants) + 1, file: e.file, line: e.set.Position(n.Pos()).Line, function: e.function, version: e.version, before: e.original(n), after: after}
	e.mutants = append(e.mutants, m)
	e.edits[n] = append(e.edits[n], func(text string) string { return either(m.id, text) })
}

// visit adds the mutants of a node.
func (e *editor) visit(n ast.Node) {
	switch n := n.(type) {
	case *ast.IfStmt:
		e.negate(n.Cond)
	case *ast.ForStmt:
		if n.Cond != nil {
			e.negate(n.Cond)
		}
	case *ast.SwitchStmt:
		if n.Tag == nil {
			for _, clause := range n.Body.List {
				for _, cond := range clause.(*ast.CaseClause).List {
					e.negate(cond)
				}
			}
		}
	case *ast.ReturnStmt:
		for _, result := range n.Results {
			if e.isBool(result) {
				e.negate(result)
			}
		}
	case *ast.BinaryExpr:
		e.binary(n)
	case *ast.CallExpr:
		e.call(n)
	case *ast.BlockStmt:
		e.deleteFrom(n.List)
	case *ast.CaseClause:
		e.deleteFrom(n.Body)
	case *ast.CommClause:
		e.deleteFrom(n.Body)
	}
}

func (e *editor) isBool(n ast.Expr) bool {
	t := e.info.TypeOf(n)
	if t == nil {
		return false
	}
	basic, ok := t.Underlying().(*types.Basic)
	return ok && basic.Info()&types.IsBoolean != 0
}

// negate negates a condition, or each of those that it consists of.
func (e *editor) negate(n ast.Expr) {
	switch inner := n.(type) {
	case *ast.ParenExpr:
		e.negate(inner.X)
		return
	case *ast.BinaryExpr:
		if inner.Op == token.LAND || inner.Op == token.LOR {
			e.negate(inner.X)
			e.negate(inner.Y)
			return
		}
	}
	e.add(n, negated(n, e.original(n)), func(id int, text string) string { return fmt.Sprintf("(mutant(%d) != (%s))", id, text) })
}

// negated is how a person would write the negation.
func negated(n ast.Expr, text string) string {
	switch n := n.(type) {
	case *ast.UnaryExpr:
		if n.Op == token.NOT {
			return strings.TrimPrefix(text, "!")
		}
	case *ast.Ident:
		switch n.Name {
		case "true":
			return "false"
		case "false":
			return "true"
		}
		return "!" + text
	case *ast.CallExpr, *ast.SelectorExpr:
		return "!" + text
	}
	return "!(" + text + ")"
}

// binary exchanges && and ||, and shifts comparisons by one.
func (e *editor) binary(n *ast.BinaryExpr) {
	with := func(op token.Token) string { return e.original(n.X) + " " + op.String() + " " + e.original(n.Y) }
	switch n.Op {
	case token.LAND, token.LOR:
		other := token.LAND + token.LOR - n.Op
		e.add(n, with(other), func(id int, _ string) string {
			// By De Morgan's law, so that the text of neither side is needed twice.
			return fmt.Sprintf("((((%s) != mutant(%d)) %s ((%s) != mutant(%d))) != mutant(%d))", e.full(n.X), id, n.Op, e.full(n.Y), id, id)
		})
	case token.LSS, token.GTR: // a < b becomes a <= b
		op := token.LEQ
		if n.Op == token.GTR {
			op = token.GEQ
		}
		e.add(n, with(op), func(id int, text string) string {
			return fmt.Sprintf("(%s || mutant(%d) && %s == %s)", text, id, e.original(n.X), e.original(n.Y))
		})
	case token.LEQ, token.GEQ: // a <= b becomes a < b
		op := token.LSS
		if n.Op == token.GEQ {
			op = token.GTR
		}
		e.add(n, with(op), func(id int, text string) string {
			return fmt.Sprintf("(%s && !(mutant(%d) && %s == %s))", text, id, e.original(n.X), e.original(n.Y))
		})
	}
}

// opposites are calls that take the earlier or the later, the smaller or the greater.
var opposites = map[string]string{
	"Before": "After", "After": "Before", "And": "Or", "Or": "And",
	"Later": "Earlier", "Earlier": "Later", "min": "max", "max": "min",
}

// call exchanges opposites.
func (e *editor) call(n *ast.CallExpr) {
	name, ok := n.Fun.(*ast.Ident)
	if s, isMethod := n.Fun.(*ast.SelectorExpr); isMethod {
		name, ok = s.Sel, true
		if name.Name == "And" || name.Name == "Or" || name.Name == "Before" || name.Name == "After" {
			named, isNamed := e.info.TypeOf(s.X).(*types.Named)
			if !isNamed || (named.Obj().Name() != "Time" && named.Obj().Name() != "Instant") ||
				named.Obj().Name() == "Instant" && name.Name == "After" { // which has no Before
				return
			}
		}
	}
	if !ok || opposites[name.Name] == "" {
		return
	}
	if tv := e.info.Types[n]; tv.Value != nil {
		return // a constant
	}
	if len(n.Args) < 2 && (name.Name == "min" || name.Name == "max") {
		return
	}
	at := e.offset(name.Pos()) - e.offset(n.Pos())
	other := func(text string) string { return text[:at] + opposites[name.Name] + text[at+len(name.Name):] }
	e.add(n, other(e.original(n)), func(id int, text string) string {
		return fmt.Sprintf("mutantOr(mutant(%d), %s, %s)", id, other(e.original(n)), text)
	})
}

// deleteFrom deletes the statements of a block that can be missed.
func (e *editor) deleteFrom(list []ast.Stmt) {
	for _, stmt := range list {
		switch s := stmt.(type) {
		case *ast.ExprStmt:
			if call, ok := s.X.(*ast.CallExpr); ok {
				if id, ok := call.Fun.(*ast.Ident); ok && id.Name == "panic" {
					continue // the compiler counts on it
				}
				if strings.Contains(e.original(call.Fun), "Logger.") {
					continue // what a log says is not a promise
				}
			}
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE {
				continue
			}
		case *ast.IncDecStmt, *ast.DeferStmt, *ast.GoStmt, *ast.SendStmt:
		default:
			continue
		}
		e.add(stmt, "", func(id int, text string) string { return fmt.Sprintf("if !mutant(%d) { %s }", id, text) })
	}
}
