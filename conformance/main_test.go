package conformance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// TestMain makes the test binary a web browser, too: see [handover].
func TestMain(m *testing.M) {
	if addr := os.Getenv(handoverVariable); addr != "" {
		os.Exit(handOver(addr, os.Args[1:]))
	}
	code := m.Run()
	for _, end := range ends {
		end()
	}
	os.Exit(code)
}

// What all tests share, because it takes seconds to make, is ended after the last
// of them by these functions.
var (
	endsMu sync.Mutex // guards ends while tests run
	ends   []func()
)

func atEnd(end func()) {
	endsMu.Lock()
	defer endsMu.Unlock()
	ends = append(ends, end)
}

// missing ends a test for which a real part is missing.
func missing(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("EVERTOKEN_REQUIRE_REAL") == "1" || os.Getenv("CI") == "true" {
		t.Fatalf("%s; run ./setup.sh", reason)
	}
	t.Skipf("%s; run ./setup.sh (EVERTOKEN_REQUIRE_REAL=1 makes this a failure)", reason)
}

// minNode is the oldest major version of Node.js that runs the npm packages.
const minNode = 20

// nodePath returns a Node.js that can run an npm package, which must be installed
// below dir.
func nodePath(t *testing.T, dir, pkg string) string {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		missing(t, "there is no Node.js")
	}
	out, err := exec.CommandContext(t.Context(), path, "--version").Output()
	version := strings.TrimSpace(string(out))
	major, _, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	if n, _ := strconv.Atoi(major); err != nil || n < minNode {
		missing(t, fmt.Sprintf("Node.js is %q and must be %d or newer", version, minNode))
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", filepath.FromSlash(pkg), "package.json")); err != nil {
		missing(t, pkg+" is not installed")
	}
	return path
}

// command returns the path of the evertoken command. All tests share one build.
var command = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "evertoken-conformance-")
	if err != nil {
		return "", err
	}
	atEnd(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "evertoken")
	args := []string{"build", "-o", path}
	if raceEnabled {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, ".")...)
	build.Dir = filepath.Join("..", "cmd", "evertoken")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// program returns a function that returns the path of the server in a directory
// that is a module of its own. All tests share one build.
func program(name string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		dir, err := os.MkdirTemp("", "evertoken-"+name+"-")
		if err != nil {
			return "", err
		}
		atEnd(func() { _ = os.RemoveAll(dir) })
		path := filepath.Join(dir, name)
		build := exec.Command("go", "build", "-o", path, ".")
		build.Dir = name
		if out, err := build.CombinedOutput(); err != nil {
			return "", fmt.Errorf("go build: %w\n%s", err, out)
		}
		return path, nil
	})
}
