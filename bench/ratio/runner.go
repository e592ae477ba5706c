package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A runner runs steps and collects their results.
type runner struct {
	exec    func(ctx context.Context, args []string) (output string, err error)
	log     io.Writer // what is being done
	results results
	machine []string // lines that describe it
}

// run runs the steps in turn, each for as many rounds as said.
func (r *runner) run(steps []step, rounds func(step) int) error {
	most := 0
	for _, s := range steps {
		most = max(most, rounds(s))
	}
	for round := range most {
		for _, s := range steps {
			if round >= rounds(s) {
				continue
			}
			if err := r.once(s, round+1, rounds(s)); err != nil {
				return err
			}
		}
	}
	if len(r.results.rows) == 0 {
		return errors.New("nothing was measured of " + ours)
	}
	return nil
}

// once runs a step. One with a limit of its own may fail to keep it: then it
// returns neither a result nor an error.
func (r *runner) once(s step, round, of int) error {
	limit := s.limit
	if limit == 0 {
		limit = stepLimit
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	begun := time.Now()
	output, err := r.exec(ctx, s.args())
	name := strings.Join(s.benchmarks, " ") + s.test
	_, _ = fmt.Fprintf(r.log, "%4.0f s  round %d of %d: %s\n", time.Since(begun).Seconds(), round, of, name)
	if ctx.Err() != nil && s.limit > 0 {
		_, _ = fmt.Fprintf(r.log, "%s was not over after %v\n", name, s.limit)
		return nil
	}
	if r.read(output) && err == nil {
		err = errors.New("a test failed")
	}
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, output)
	}
	return nil
}

// read takes in what a step has printed. It reports whether something went wrong.
func (r *runner) read(output string) (wrong bool) {
	lines := bufio.NewScanner(strings.NewReader(output))
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "cpu: "), strings.HasPrefix(line, "goos: "), strings.HasPrefix(line, "goarch: "):
			if !slices.Contains(r.machine, line) {
				r.machine = append(r.machine, line)
			}
		case failed(line):
			wrong = true
		default:
			r.results.add(line)
		}
	}
	return wrong
}

// failed reports whether a line of a test program says that something went wrong.
func failed(line string) bool {
	for _, mark := range [...]string{"FAIL", "--- FAIL", "panic:", "fatal error:"} {
		if strings.HasPrefix(strings.TrimLeft(line, " "), mark) {
			return true
		}
	}
	return false
}

// buildTests builds the tests of package bench as a program.
func buildTests() (run func(context.Context, []string) (string, error), clean func(), err error) {
	dir, err := os.MkdirTemp("", "bench-*")
	if err != nil {
		return nil, nil, err
	}
	clean = func() { _ = os.RemoveAll(dir) }
	path := filepath.Join(dir, "bench.test")
	build := exec.Command("go", "test", "-c", "-o", path, ".")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		clean()
		return nil, nil, fmt.Errorf("building the benchmarks: %w", err)
	}
	return func(ctx context.Context, args []string) (string, error) {
		args = append(args, "-programs", dir)
		output, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
		return string(output), err
	}, clean, nil
}
