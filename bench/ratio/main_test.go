package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/table.txt instead of comparing")

func TestTableIsTheGoldenOne(t *testing.T) {
	in, err := os.Open(filepath.Join("testdata", "bench.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var got strings.Builder
	if err := run(in, &got); err != nil {
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

func TestFailedOrMissingBenchmarksAreAnError(t *testing.T) {
	const good = "BenchmarkToken/evertoken-2 100 50.0 ns/op\n"
	for name, in := range map[string]string{
		"nothing":               "",
		"nothing to compare":    "BenchmarkToken-2 100 50.0 ns/op\nPASS\n",
		"none of ours":          "BenchmarkToken/x-oauth2-2 100 50.0 ns/op\nPASS\n",
		"a failed benchmark":    good + "--- FAIL: BenchmarkToken/x-oauth2\n    token_test.go:1: no token\n",
		"a failed package":      good + "FAIL\tgithub.com/evertoken/evertoken/bench\t0.1s\n",
		"a panic":               good + "panic: no token\n",
		"a crash":               good + "fatal error: all goroutines are asleep - deadlock!\n",
		"a compilation failure": good + "# github.com/evertoken/evertoken/bench\ntoken_test.go:1:1: expected package\n",
	} {
		var out strings.Builder
		if err := run(strings.NewReader(in), &out); err == nil {
			t.Errorf("%s: no error, but the table\n%s", name, out.String())
		}
	}
	if err := run(strings.NewReader(good), new(strings.Builder)); err != nil {
		t.Errorf("a benchmark without a competitor: %v", err)
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
