// Command ratio runs the benchmarks and prints how evertoken compares with the
// other libraries: for each benchmark and unit the median of all rounds of each
// contender, and the ratio of ours to theirs, which is below 1 where ours is
// better. Then it says which goals are reached.
//
//	go run ./ratio          # what make bench does: measure, write results.json and the table in docs/performance.md
//	go run ./ratio -check   # what make bench-check does: fail if a ratio is worse than in results.json
//
// The rounds take turns: on a machine that does other work too, many short runs in
// turn compare better than the runs of one contender at a stretch. A ratio is the
// median of the rounds' ratios.
//
// It runs in the directory of package bench.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

const (
	resultsFile = "results.json"
	page        = "../docs/performance.md"
)

func main() {
	quick := flag.Bool("check", false, "compare with "+resultsFile+" instead of writing it")
	flag.Parse()
	if err := run(*quick, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "ratio:", err)
		os.Exit(1)
	}
}

func run(quick bool, out io.Writer) error {
	program, clean, err := buildTests()
	if err != nil {
		return err
	}
	defer clean()
	r := &runner{exec: program, log: os.Stderr}
	if quick {
		return runCheck(r, out)
	}
	return runBench(r, out)
}

// runBench measures everything, and prints and keeps it.
func runBench(r *runner, out io.Writer) error {
	if err := r.run(plan, func(s step) int { return s.rounds }); err != nil {
		return err
	}
	table := goalsTable(&r.results)
	for _, line := range r.machine {
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	if err := r.results.print(out); err != nil {
		return err
	}
	if _, err := fmt.Fprint(out, "\n", table); err != nil {
		return err
	}
	if err := r.results.save(r.machine).write(resultsFile); err != nil {
		return err
	}
	return updatePage(page, table)
}

// attempts is how often a benchmark may be measured until it is as good as it was.
const attempts = 3

// runCheck measures what is quick, and fails if it is worse than what is checked
// in. What is worse is measured again, anew, since a busy machine makes it worse
// by chance.
func runCheck(r *runner, out io.Writer) error {
	before, err := readSaved(resultsFile)
	if err != nil {
		return err
	}
	steps := plan
	for attempt := 1; ; attempt++ {
		if err := r.run(steps, func(s step) int { return s.quick }); err != nil {
			return err
		}
		worse := check(&r.results, before)
		if len(worse) == 0 {
			_, err := fmt.Fprintln(out, "no ratio is worse than in", resultsFile)
			return err
		}
		var text strings.Builder
		for _, w := range worse {
			fmt.Fprintf(&text, "\n%s", w.text)
		}
		if attempt == attempts {
			return errors.New("worse than in " + resultsFile + ":" + text.String())
		}
		if _, err := fmt.Fprintf(out, "measuring again:%s\n", text.String()); err != nil {
			return err
		}
		steps = only(plan, benchmarksOf(worse))
		for _, b := range benchmarksOf(worse) {
			r.results.forget(b)
		}
	}
}
