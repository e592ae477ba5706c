package main

import "slices"

// A graph says which files use names of which others.
type graph map[string]map[string]bool

// add notes that a file uses a name of another. What a file uses of its own is left
// out.
func (g graph) add(file, other string) {
	if file == other {
		return
	}
	if g[file] == nil {
		g[file] = map[string]bool{}
	}
	g[file][other] = true
}

// loops divides the files into those that use each other, in however many steps: the
// strongly connected components of the graph, by Tarjan's algorithm. A file in no
// loop is alone in one. Each is sorted.
func (g graph) loops(files []string) [][]string {
	t := tarjan{graph: g, index: map[string]int{}, low: map[string]int{}, open: map[string]bool{}}
	for _, file := range files {
		if t.index[file] == 0 {
			t.visit(file)
		}
	}
	return t.loops
}

type tarjan struct {
	graph graph
	index map[string]int  // in which order the files were visited, from one
	low   map[string]int  // the least index that can be reached
	open  map[string]bool // on the stack: visited, and in no loop yet
	stack []string
	loops [][]string
}

func (t *tarjan) visit(file string) {
	t.index[file] = len(t.index) + 1
	t.low[file] = t.index[file]
	t.stack = append(t.stack, file)
	t.open[file] = true
	for other := range t.graph[file] {
		switch {
		case t.index[other] == 0:
			t.visit(other)
			t.low[file] = min(t.low[file], t.low[other])
		case t.open[other]:
			t.low[file] = min(t.low[file], t.index[other])
		}
	}
	if t.low[file] < t.index[file] {
		return // it belongs to a loop that began before it
	}
	at := slices.Index(t.stack, file)
	loop := slices.Sorted(slices.Values(t.stack[at:]))
	t.stack = t.stack[:at]
	for _, member := range loop {
		delete(t.open, member)
	}
	t.loops = append(t.loops, loop)
}
