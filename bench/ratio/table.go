package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// print writes everything that was measured: medians, and in brackets what ours
// is as a multiple of theirs.
func (r *results) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := append([]string{"benchmark", "unit", "rounds", ours}, r.contenders...)
	if _, err := fmt.Fprintln(w, strings.Join(line, "\t")); err != nil {
		return err
	}
	for _, at := range r.rows {
		own := r.values[at][ours]
		line = append(line[:0], at.benchmark, at.unit, strconv.Itoa(len(own)), number(median(own)))
		for _, c := range r.contenders {
			line = append(line, r.cell(at, c))
		}
		if _, err := fmt.Fprintln(w, strings.Join(line, "\t")); err != nil {
			return err
		}
	}
	return w.Flush()
}

// cell is a contender's median and the ratio of ours to it, or a dash.
func (r *results) cell(at row, contender string) string {
	value, known := r.median(at, contender)
	if !known {
		return "-"
	}
	ratio, known := r.ratio(at, contender)
	switch {
	case !known:
		return number(value) + " [-]"
	case ratio > 0 && ratio < 0.005:
		return number(value) + " [<0.01]"
	}
	return fmt.Sprintf("%s [%.2f]", number(value), ratio)
}

// number prints a value with three digits that matter.
func number(v float64) string {
	if v >= 100 || v == float64(int64(v)) {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}
