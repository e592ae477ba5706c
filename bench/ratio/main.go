// Command ratio reads the output of "go test -bench" and prints how evertoken
// compares with the other libraries: for each benchmark and unit the median of
// all runs of each contender, and the ratio of ours to theirs.
//
//	go test -run '^$' -bench . -benchmem -count 6 | go run ./ratio
//
// Several outputs may follow one another: on a machine that does other work too,
// many short runs in turn compare better than the runs of one contender at a
// stretch.
//
// A ratio below 1 is in our favour, for every unit in use here. It exits with
// status 1 if the tests behind the output failed, which a pipe would hide, or if
// there is nothing to compare.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "ratio:", err)
		os.Exit(1)
	}
}

// run prints the comparison of what it reads.
func run(in io.Reader, out io.Writer) error {
	var (
		r        results
		machine  []string
		failures []string
	)
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "cpu: "):
			if !slices.Contains(machine, line) {
				machine = append(machine, line)
			}
		case failed(line):
			failures = append(failures, line)
		default:
			r.add(line)
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if len(failures) > 0 {
		return fmt.Errorf("the benchmarks failed:\n%s", strings.Join(failures, "\n"))
	}
	if len(r.rows) == 0 {
		return errors.New("no benchmark in the input has a sub-benchmark named " + ours)
	}
	for _, line := range machine {
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return r.print(out)
}

// failed reports whether a line of go test says that something went wrong.
func failed(line string) bool {
	for _, mark := range [...]string{"FAIL", "--- FAIL", "panic:", "fatal error:", "# "} {
		if strings.HasPrefix(strings.TrimLeft(line, " "), mark) {
			return true
		}
	}
	return false
}
