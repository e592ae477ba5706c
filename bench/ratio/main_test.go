package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var update = flag.Bool("update", false, "write testdata/table.txt instead of comparing")

// measuredIn returns the results of a test program's output.
func measuredIn(t *testing.T, output string) *results {
	t.Helper()
	r := new(runner)
	if r.read(output) {
		t.Fatal("the output says that something went wrong")
	}
	return &r.results
}

func TestTableIsTheGoldenOne(t *testing.T) {
	output, err := os.ReadFile(filepath.Join("testdata", "bench.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	if err := measuredIn(t, string(output)).print(&got); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "table.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s\n(go test ./ratio -update writes it)", got.String(), want)
	}
}

func TestMedianIgnoresOutliers(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{7}, 7},
		{[]float64{900, 50, 60}, 60},
		{[]float64{900, 50, 60, 70}, 65},
	} {
		if got := median(c.values); got != c.want {
			t.Errorf("median(%v) = %v; want %v", c.values, got, c.want)
		}
	}
}

// Ours was slow when the machine was, and so was theirs: the ratio does not change.
func TestRatioComparesWithinARound(t *testing.T) {
	r := measuredIn(t, `
BenchmarkToken/evertoken 1 50 ns/op
BenchmarkToken/x-oauth2 1 100 ns/op
BenchmarkToken/evertoken 1 500 ns/op
BenchmarkToken/x-oauth2 1 1000 ns/op
BenchmarkToken/evertoken 1 450 ns/op
BenchmarkToken/x-oauth2 1 110 ns/op
`)
	if got, known := r.ratio(row{"Token", perCall}, xoauth2); got != 0.5 || !known {
		t.Errorf("ratio %v, %v; want 0.5", got, known)
	}
}

func TestGoalsAreJudged(t *testing.T) {
	r := measuredIn(t, `
BenchmarkToken/evertoken 1 75 ns/op 0 allocs/op
BenchmarkToken/x-oauth2 1 100 ns/op 0 allocs/op
BenchmarkToken/floor 1 30 ns/op 0 allocs/op
BenchmarkOutage/evertoken 1 6 requests 0 errors
`)
	table := goalsTable(r)
	for _, want := range []string{
		"| valid token, one goroutine | 0.75 × x-oauth2 ns/op (goal 1.15), **2.50 × floor ns/op (goal 2.4)**, 0 allocs/op (goal 0) | 2 of 3 |\n",
		"| server answers 503 for 2 s, token lives | 0 errors (goal 0), **6 requests (goal 5)** | 1 of 2 |\n",
		"| 10,000 goroutines, no token | **? requests (goal 1)**, **? errors (goal 0)** | 0 of 2 |\n",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("no line %s in\n%s", want, table)
		}
	}
}

func TestCheckedInResultsHaveAllGoalsAndAreThePages(t *testing.T) {
	kept, err := readSaved(filepath.Join("..", resultsFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range works {
		for _, g := range w.goals {
			if o := g.against(kept); !o.known && g.benchmark != unfinished {
				t.Errorf("nothing is known of %s, %s", g.benchmark, g.unit)
			}
		}
	}
	text, err := os.ReadFile(filepath.Join("..", page))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), tableBegins+goalsTable(kept)+tableEnds) {
		t.Error("docs/performance.md does not show the results that are checked in: make bench writes both")
	}
}

// unfinished may be over its limit, and is then without a result.
const unfinished = "Million"

func TestSavedResultsAreReadBack(t *testing.T) {
	output, err := os.ReadFile(filepath.Join("testdata", "bench.txt"))
	if err != nil {
		t.Fatal(err)
	}
	r, path := measuredIn(t, string(output)), filepath.Join(t.TempDir(), "results.json")
	if err := r.save([]string{"cpu: some"}).write(path); err != nil {
		t.Fatal(err)
	}
	kept, err := readSaved(path)
	if err != nil {
		t.Fatal(err)
	}
	if goalsTable(kept) != goalsTable(r) {
		t.Error("what was saved is not what was measured")
	}
	if worse := check(r, kept); len(worse) > 0 {
		t.Errorf("worse than itself: %v", worse)
	}
}

const good = `
BenchmarkToken/evertoken 1 50 ns/op 0 allocs/op
BenchmarkToken/floor 1 40 ns/op 0 allocs/op
BenchmarkToken/x-oauth2 1 100 ns/op 0 allocs/op
BenchmarkOutage/evertoken 1 2 requests 0 errors
BenchmarkOutage/x-oauth2 1 500 requests 500 errors
`

func TestCheckFindsWhatIsWorse(t *testing.T) {
	before := measuredIn(t, good).save(nil)
	for _, c := range []struct {
		name, instead, with string
		want                []string
	}{
		{"the same", "", "", nil},
		{"a slower machine", "50 ns/op", "60 ns/op", nil},
		{"a fifth slower", "40 ns/op", "33 ns/op", nil},
		{"slower than x-oauth2 was", "100 ns/op", "70 ns/op", []string{"Token"}},
		{"slower than the floor was", "40 ns/op", "30 ns/op", []string{"Token"}},
		{"faster", "50 ns/op", "5 ns/op", nil},
		{"an allocation", "50 ns/op 0 allocs", "50 ns/op 1 allocs", []string{"Token"}},
		{"more requests than the goal", "2 requests", "6 requests", []string{"Outage"}},
		{"more requests within the goal", "2 requests", "4 requests", nil},
		{"an error", "2 requests 0 errors", "2 requests 1 errors", []string{"Outage"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			after := strings.Replace(good, c.instead, c.with, 1)
			if got := benchmarksOf(check(measuredIn(t, after), before)); !slices.Equal(got, c.want) {
				t.Errorf("worse: %v; want %v", got, c.want)
			}
		})
	}
}

// A goal that was not reached before is not a reason to fail.
func TestCheckLeavesUnreachedCountsAlone(t *testing.T) {
	bad := strings.Replace(good, "2 requests", "9 requests", 1)
	if worse := check(measuredIn(t, bad), measuredIn(t, bad).save(nil)); len(worse) > 0 {
		t.Errorf("worse: %v", worse)
	}
}

func TestNoGoalOfACountIsATimeThatWeTake(t *testing.T) {
	for _, w := range works {
		for _, g := range w.goals {
			if g.count() && strings.HasPrefix(g.unit, "ns/") {
				t.Errorf("%s: %s is bounded in itself; machines differ", g.benchmark, g.unit)
			}
		}
	}
}

// checking runs runCheck with a test program that gives one output after another.
func checking(t *testing.T, outputs ...string) (commands [][]string, err error) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := measuredIn(t, good).save(nil).write(resultsFile); err != nil {
		t.Fatal(err)
	}
	r := &runner{log: io.Discard, exec: func(_ context.Context, args []string) (string, error) {
		commands = append(commands, args)
		return outputs[min(len(commands), len(outputs))-1], nil
	}}
	return commands, runCheck(r, io.Discard)
}

func TestCheckMeasuresAgainWhatIsWorse(t *testing.T) {
	var first []string // the rounds of the first attempt, all bad
	for _, s := range plan {
		for range s.quick {
			first = append(first, strings.Replace(good, "50 ns/op", "90 ns/op", 1))
		}
	}
	commands, err := checking(t, append(first, good)...)
	if err != nil {
		t.Errorf("good the second time: %v", err)
	}
	for _, args := range commands[len(first):] {
		if !slices.Contains(args, "^Benchmark(Token)$") {
			t.Errorf("measured again: %v; want Token alone", args)
		}
	}
	commands, err = checking(t, first[0])
	if err == nil || !strings.Contains(err.Error(), "Token: ns/op is 0.90 × x-oauth2; it was 0.50") {
		t.Errorf("bad three times: %v", err)
	}
	if want := len(first) + 2*plan[0].quick; len(commands) != want {
		t.Errorf("%d commands; want %d", len(commands), want)
	}
}

func TestFailedOrMissingBenchmarksAreAnError(t *testing.T) {
	const fine = "BenchmarkToken/evertoken-2 100 50.0 ns/op\n"
	steps := []step{{benchmarks: []string{"Token"}, time: "1x", rounds: 1}}
	run := func(output string, err error) error {
		r := &runner{log: io.Discard, exec: func(context.Context, []string) (string, error) { return output, err }}
		return r.run(steps, func(s step) int { return s.rounds })
	}
	for name, output := range map[string]string{
		"nothing":            "",
		"nothing to compare": "BenchmarkToken-2 100 50.0 ns/op\nPASS\n",
		"none of ours":       "BenchmarkToken/x-oauth2-2 100 50.0 ns/op\nPASS\n",
		"a failed benchmark": fine + "--- FAIL: BenchmarkToken/x-oauth2\n    token_test.go:1: no token\n",
		"a failed program":   fine + "FAIL\n",
		"a panic":            fine + "panic: no token\n",
		"a crash":            fine + "fatal error: all goroutines are asleep - deadlock!\n",
	} {
		if err := run(output, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := run(fine, os.ErrNotExist); err == nil {
		t.Error("a program that cannot be run: no error")
	}
	if err := run(fine, nil); err != nil {
		t.Errorf("a benchmark without a competitor: %v", err)
	}
}

func TestStepsTakeTurns(t *testing.T) {
	var got []string
	r := &runner{log: io.Discard, exec: func(_ context.Context, args []string) (string, error) {
		got = append(got, args[3])
		return good, nil
	}}
	steps := []step{{benchmarks: []string{"A"}, rounds: 3}, {benchmarks: []string{"B", "C"}, rounds: 2}, {benchmarks: []string{"D"}}}
	if err := r.run(steps, func(s step) int { return s.rounds }); err != nil {
		t.Fatal(err)
	}
	a, b := "^Benchmark(A)$", "^Benchmark(B|C)$"
	if want := []string{a, b, a, b, a}; !slices.Equal(got, want) {
		t.Errorf("ran %v; want %v", got, want)
	}
}

func TestAStepMayHaveALimitOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &runner{log: io.Discard, exec: func(ctx context.Context, args []string) (string, error) {
			if args[1] == "^TestLong$" {
				<-ctx.Done()
				return "", fmt.Errorf("killed")
			}
			return good, nil
		}}
		count := func(step) int { return 1 }
		long, short := step{test: "TestLong", limit: time.Minute}, step{benchmarks: []string{"Token"}}
		if err := r.run([]step{long, short}, count); err != nil {
			t.Errorf("with a limit: %v; want no result, and no error", err)
		}
		long.limit = 0
		if err := r.run([]step{long, short}, count); err == nil {
			t.Error("without one: no error")
		}
	})
}

func TestOnlyTheTableOfAPageChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(path, []byte("before\n"+tableBegins+"old\n"+tableEnds+"after\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := updatePage(path, "new\n"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := "before\n" + tableBegins + "new\n" + tableEnds + "after\n"; string(got) != want {
		t.Errorf("got %q; want %q", got, want)
	}
	for _, text := range []string{"", tableBegins, tableEnds} {
		if _, err := withTable(text, "new\n"); err == nil {
			t.Errorf("%q has a place for the table", text)
		}
	}
}
