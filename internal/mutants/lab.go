package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A lab has the test binaries with all mutants, and knows which tests reach which.
type lab struct {
	root    string
	dir     string // where the binaries are
	servers bool   // run the tests with the tag "real"

	mu      sync.Mutex // guards what follows
	took    map[test]time.Duration
	reached map[int][]test // by mutant
}

// A test is a top-level test of a package.
type test struct{ pkg, name string }

// A verdict is what came of a mutant: the test that noticed it, or "".
type verdict struct {
	*mutant
	tried  bool // by all tests that reach it
	killer string
	tests  int // that were run
}

// build writes the sources of the packages in which the chosen mutants are; those of
// the others stay as they are.
func build(s *species, chosen []*mutant, servers bool) (*lab, error) {
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return nil, err
	}
	l := &lab{root: s.root, dir: dir, servers: servers, took: map[test]time.Duration{}, reached: map[int][]test{}}
	mutated := map[string]bool{}
	for _, m := range chosen {
		mutated[filepath.Join(s.root, filepath.FromSlash(path.Dir(m.file)))] = true
	}
	replace := map[string]string{}
	for file, source := range s.sources {
		if !mutated[filepath.Dir(file)] {
			continue
		}
		name := filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		if err := os.WriteFile(name, []byte(source), 0o600); err != nil {
			return nil, err
		}
		replace[file] = name
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *lab) close() { _ = os.RemoveAll(l.dir) }

// binary is the test binary of a package, compiled when it is needed first. The go
// command makes none for a package without tests.
func (l *lab) binary(pkg string) (string, error) {
	name := filepath.Join(l.dir, strings.ReplaceAll(pkg, "/", "_")+".test")
	if _, err := os.Stat(name); err == nil {
		return name, nil
	}
	args := []string{"test", "-c", "-vet=off", "-overlay", filepath.Join(l.dir, "overlay.json"), "-o", name}
	switch server := realTests[pkg]; {
	case server == "" || !l.servers:
	case installed(server):
		args = append(args, "-tags", "real")
	default:
		fmt.Fprintf(os.Stderr, "there is no %s: %s is tested without it\n", server, pkg)
	}
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Stderr = filepath.Join(l.root, filepath.FromSlash(pkg)), os.Stderr // which may be a module of its own
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("compile the tests of %s: %w", pkg, err)
	}
	return name, nil
}

// realTests are the packages that have tests with the tag "real", and the server that
// these start.
var realTests = map[string]string{
	"tokenstore/redisstore":          "redis-server",
	"tokenstore/sqlstore/drivertest": "postgres",
}

// installed reports whether a server is there; Debian keeps PostgreSQL's out of PATH.
func installed(server string) bool {
	if _, err := exec.LookPath(server); err == nil {
		return true
	}
	there, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + server)
	return err == nil && len(there) > 0
}

// command runs tests of a package, in its directory as go test would.
func (l *lab) command(pkg, pattern string, timeout time.Duration, env ...string) (output []byte, err error) {
	binary, err := l.binary(pkg)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(binary, "-test.run", pattern, "-test.failfast", "-test.timeout", timeout.String())
	cmd.Dir = filepath.Join(l.root, filepath.FromSlash(pkg))
	cmd.Env = append(os.Environ(), env...)
	cmd.WaitDelay = time.Second
	return cmd.CombinedOutput()
}

// exactly is the pattern of some tests.
func exactly(names ...string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = regexp.QuoteMeta(name)
	}
	return "^(" + strings.Join(quoted, "|") + ")$"
}

// judge tries mutants, first by the tests of their own packages, and those that live by
// the tests of the packages that use these.
func (l *lab) judge(chosen []*mutant, o options, begun time.Time, noticed *results) ([]*verdict, error) {
	verdicts := make([]*verdict, len(chosen))
	for i, m := range chosen {
		verdicts[i] = &verdict{mutant: m}
	}
	stages := []func(place) []string{func(p place) []string { return []string{p.dir} }, func(p place) []string { return p.users }}
	if o.own {
		stages = stages[:1]
	}
	for _, packages := range stages {
		var alive []*verdict
		for _, v := range verdicts {
			if v.killer == "" {
				v.tried, alive = false, append(alive, v)
			}
		}
		if err := l.reach(testsOf(alive, packages), o); err != nil {
			return nil, err
		}
		if err := l.tryAll(alive, o, begun, noticed); err != nil {
			return nil, err
		}
	}
	return verdicts, nil
}

// testsOf returns the packages whose tests answer for the mutants.
func testsOf(alive []*verdict, of func(place) []string) (packages []string) {
	for _, p := range places {
		if slices.ContainsFunc(alive, func(v *verdict) bool { return path.Dir(v.file) == p.dir }) {
			packages = append(packages, of(p)...)
		}
	}
	slices.Sort(packages)
	return slices.Compact(packages)
}

// reach runs each test of some packages once, by itself and without a mutant, and notes
// how long it takes and which mutants it reaches. A test that fails so is left out.
func (l *lab) reach(packages []string, o options) error {
	l.reached = map[int][]test{}
	var all []test
	for _, pkg := range packages {
		names, err := l.list(pkg)
		if err != nil {
			return err
		}
		for _, name := range names {
			if o.skip == nil || !o.skip.MatchString(name) {
				all = append(all, test{pkg, name})
			}
		}
	}
	inParallel(o.workers, len(all), func(i int) {
		if err := l.record(all[i], i); err != nil {
			fmt.Fprintln(os.Stderr, "left out:", err) // such as one that counts allocations
		}
	})
	for _, tests := range l.reached {
		slices.SortFunc(tests, func(a, b test) int { return int(l.took[a] - l.took[b]) })
	}
	return nil
}

// list returns the names of the tests of a package.
func (l *lab) list(pkg string) (names []string, err error) {
	binary, err := l.binary(pkg)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(binary); err != nil {
		return nil, nil // it has no tests
	}
	cmd := exec.Command(binary, "-test.list", ".")
	cmd.Dir = filepath.Join(l.root, filepath.FromSlash(pkg))
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list the tests of %s: %w", pkg, err)
	}
	for name := range strings.Lines(string(out)) {
		if name = strings.TrimSpace(name); strings.HasPrefix(name, "Test") || strings.HasPrefix(name, "Example") {
			names = append(names, name)
		}
	}
	return names, nil
}

func (l *lab) record(t test, n int) error {
	log := filepath.Join(l.dir, fmt.Sprintf("reached-%d", n))
	begun := time.Now()
	if out, err := l.command(t.pkg, exactly(t.name), 10*time.Minute, "MUTANTS_REACHED="+log); err != nil {
		return fmt.Errorf("%s: %s fails without a mutant: %w: %s", t.pkg, t.name, err, bytes.TrimSpace(out))
	}
	took := time.Since(begun)
	data, err := os.ReadFile(log)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	_ = os.Remove(log)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took[t] = took
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		if id, err := strconv.Atoi(lines.Text()); err == nil && !slices.Contains(l.reached[id], t) {
			l.reached[id] = append(l.reached[id], t)
		}
	}
	return nil
}

// tryAll tries mutants until all are tried or the time is over.
func (l *lab) tryAll(alive []*verdict, o options, begun time.Time, noticed *results) error {
	var failed atomic.Pointer[error]
	inParallel(o.workers, len(alive), func(i int) {
		if o.limit > 0 && time.Since(begun) > o.limit || failed.Load() != nil {
			return
		}
		v := alive[i]
		l.try(v, o)
		if err := noticed.add(v); err != nil {
			failed.Store(&err)
		}
		if o.verbose {
			fmt.Fprintf(os.Stderr, "%s: %s\n", v.where(), v.killer)
		}
	})
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// try runs the tests that reach a mutant, the fastest first, until one fails.
func (l *lab) try(v *verdict, o options) {
	v.tried = true
	for _, tests := range l.batches(l.reached[v.id], o.near) {
		v.tests += len(tests)
		names, limit := make([]string, len(tests)), 10*time.Second
		for i, t := range tests {
			names[i] = t.name
			limit += 10 * l.took[t]
		}
		out, err := l.command(tests[0].pkg, exactly(names...), limit, fmt.Sprintf("MUTANT=%d", v.id))
		if err != nil {
			v.killer = tests[0].pkg + ": " + killer(out)
			return
		}
	}
}

// batches divides tests into those that run in one process: of one package, first those
// that together take a second, and then twice as long each time, up to a limit in all.
func (l *lab) batches(tests []test, limit time.Duration) (batches [][]test) {
	byPackage := map[string][]test{}
	var packages []string
	sum := time.Duration(0)
	for _, t := range tests {
		if sum += l.took[t]; sum > limit && sum > l.took[t] {
			break
		}
		if byPackage[t.pkg] == nil {
			packages = append(packages, t.pkg)
		}
		byPackage[t.pkg] = append(byPackage[t.pkg], t)
	}
	for _, pkg := range packages {
		size, sum, from := time.Second, time.Duration(0), 0
		for i, t := range byPackage[pkg] {
			if sum += l.took[t]; sum > size || i == len(byPackage[pkg])-1 {
				batches = append(batches, byPackage[pkg][from:i+1])
				from, sum, size = i+1, 0, 2*size
			}
		}
	}
	return batches
}

var failedTest = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// killer says what has noticed a mutant.
func killer(output []byte) string {
	if found := failedTest.FindSubmatch(output); found != nil {
		return string(found[1])
	}
	for _, sign := range []string{"test timed out", "panic:", "fatal error:"} {
		if bytes.Contains(output, []byte(sign)) {
			return strings.TrimSuffix(sign, ":")
		}
	}
	return "exit"
}

// inParallel calls do for each of n numbers, some at a time.
func inParallel(workers, n int, do func(i int)) {
	numbers := make(chan int)
	var all sync.WaitGroup
	for range max(workers, 1) {
		all.Go(func() {
			for i := range numbers {
				do(i)
			}
		})
	}
	for i := range n {
		numbers <- i
	}
	close(numbers)
	all.Wait()
}
