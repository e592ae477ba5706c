package main

import (
	"fmt"
	"slices"
)

// worsening is how much worse a ratio may be than the one that is checked in. On a
// machine with other work, medians of six short rounds differ by a tenth.
const worsening = 1.25

// negligible is how much of the other library's cost says nothing either way: five
// requests where others make thousands, a nanosecond where others take ninety.
const negligible = 0.02

// A regression is a ratio that is worse than it was, or a count that is no longer
// what it must be.
type regression struct {
	benchmark string
	text      string
}

// check compares results with those that are checked in: the ratios that have a
// goal, those to x-oauth2 of all that is measured, and the counts that have
// reached their goals. What was not measured this time is not compared.
func check(r *results, before *saved) []regression {
	var list []regression
	for _, w := range works {
		for _, g := range w.goals {
			if g.count() {
				list = append(list, checkCount(r, before, g)...)
			} else if g.than != xoauth2 {
				list = append(list, checkRatio(r, before, row{g.benchmark, g.unit}, g.than)...)
			}
		}
	}
	for _, at := range r.rows {
		list = append(list, checkRatio(r, before, at, xoauth2)...)
	}
	return list
}

func checkRatio(r *results, before *saved, at row, than string) []regression {
	was, known := before.ratio(at, than)
	if !known || len(r.values[at][than]) == 0 {
		return nil
	}
	is, known := r.ratio(at, than)
	if known && (is <= max(was*worsening, was+negligible)) {
		return nil
	}
	return []regression{{at.benchmark, fmt.Sprintf("%s: %s is %.2f × %s; it was %.2f", at.benchmark, at.unit, is, than, was)}}
}

func checkCount(r *results, before *saved, g goal) []regression {
	was, is := g.against(before), g.against(r)
	if !was.reached || !is.known || is.reached {
		return nil
	}
	return []regression{{g.benchmark, fmt.Sprintf("%s: %s; it was %s", g.benchmark, is, number(was.value))}}
}

// benchmarksOf returns the benchmarks that have regressed.
func benchmarksOf(list []regression) []string {
	var names []string
	for _, r := range list {
		if !slices.Contains(names, r.benchmark) {
			names = append(names, r.benchmark)
		}
	}
	return names
}
