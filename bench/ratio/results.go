package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
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

// print writes the table.
func (r *results) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := []string{"benchmark", "unit", "runs", ours}
	for _, c := range r.contenders {
		line = append(line, c, "ratio")
	}
	if _, err := fmt.Fprintln(w, strings.Join(line, "\t")); err != nil {
		return err
	}
	for _, at := range r.rows {
		own := r.values[at][ours]
		line = append(line[:0], at.benchmark, at.unit, strconv.Itoa(len(own)), number(median(own)))
		for _, c := range r.contenders {
			line = append(line, compared(own, r.values[at][c])...)
		}
		if _, err := fmt.Fprintln(w, strings.Join(line, "\t")); err != nil {
			return err
		}
	}
	return w.Flush()
}

// compared returns their median and the ratio of ours to it, or dashes.
func compared(own, their []float64) []string {
	if len(their) == 0 {
		return []string{"-", "-"}
	}
	mine, other := median(own), median(their)
	switch {
	case mine == other:
		return []string{number(other), "1.00"}
	case other == 0:
		return []string{number(other), "-"} // there is no number of times nothing
	case mine > 0 && mine/other < 0.005:
		return []string{number(other), "<0.01"}
	}
	return []string{number(other), fmt.Sprintf("%.2f", mine/other)}
}

// median returns the middle value, or the mean of the two in the middle.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// number prints a value with three digits that matter.
func number(v float64) string {
	if v >= 100 || v == float64(int64(v)) {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
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
