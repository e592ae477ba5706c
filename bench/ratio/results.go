package main

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// ours is the contender that the others are compared with.
const ours = "evertoken"

// results are the values measured, by row and contender, in order of appearance.
type results struct {
	rows       []row
	contenders []string // without ours
	values     map[row]map[string][]float64
}

// A row is one line of the table.
type row struct{ benchmark, unit string }

// add takes in a line such as
//
//	BenchmarkToken/evertoken-2   	1000	 52.1 ns/op	 0 B/op	 0 allocs/op
//
// and ignores every other line.
func (r *results) add(line string) {
	fields := strings.Fields(line)
	if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
		return
	}
	benchmark, contender, found := cutLast(strings.TrimPrefix(fields[0], "Benchmark"), "/")
	if !found {
		return
	}
	contender = withoutProcs(contender)
	if contender != ours && !slices.Contains(r.contenders, contender) {
		r.contenders = append(r.contenders, contender)
	}
	for i := 2; i+1 < len(fields); i += 2 {
		value, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return
		}
		r.put(row{benchmark, fields[i+1]}, contender, value)
	}
}

func (r *results) put(at row, contender string, value float64) {
	if r.values == nil {
		r.values = make(map[row]map[string][]float64)
	}
	if r.values[at] == nil {
		r.values[at] = make(map[string][]float64)
	}
	if contender == ours && len(r.values[at][ours]) == 0 {
		r.rows = append(r.rows, at)
	}
	r.values[at][contender] = append(r.values[at][contender], value)
}

// forget drops what was measured of a benchmark, to measure it anew.
func (r *results) forget(benchmark string) {
	for at := range r.values {
		if at.benchmark == benchmark {
			delete(r.values, at)
		}
	}
	r.rows = slices.DeleteFunc(r.rows, func(at row) bool { return at.benchmark == benchmark })
}

// median returns a contender's median, or false if there is none.
func (r *results) median(at row, contender string) (float64, bool) {
	values := r.values[at][contender]
	if len(values) == 0 {
		return 0, false
	}
	return median(values), true
}

// ratio returns the median of the rounds' ratios of ours to a contender's value,
// or false if there is none. The two of a round were measured within a second or
// so; a machine that is busy for a while is so for both.
func (r *results) ratio(at row, contender string) (float64, bool) {
	own, their := r.values[at][ours], r.values[at][contender]
	n := min(len(own), len(their))
	if n == 0 {
		return 0, false
	}
	ratios := make([]float64, n)
	for i := range n {
		switch {
		case own[i] == their[i]:
			ratios[i] = 1
		case their[i] == 0:
			ratios[i] = math.Inf(1) // the ratio of a cost to none
		default:
			ratios[i] = own[i] / their[i]
		}
	}
	m := median(ratios)
	return m, !math.IsInf(m, 0)
}

// median returns the middle value, or the mean of the two in the middle.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// withoutProcs takes off the number of processors that go test adds to a name
// unless it is 1.
func withoutProcs(name string) string {
	before, after, found := cutLast(name, "-")
	if _, err := strconv.ParseUint(after, 10, 32); found && err == nil {
		return before
	}
	return name
}

// cutLast is strings.Cut around the last sep.
func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
