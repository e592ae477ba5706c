package main

import (
	"encoding/json"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	// What gin-jwt's own tests import, so that go.mod has it.
	_ "github.com/appleboy/gofight/v2"
	_ "github.com/stretchr/testify/assert"
	_ "github.com/tidwall/gjson"

	"github.com/evertoken/evertoken/conformance/ginjwt/ours"
	"github.com/evertoken/evertoken/internal/heldport"
)

const ginJWTModule = "github.com/appleboy/gin-jwt/v3"

// The module ships its tests. They make their stores by name, so that they are run in a copy
// of the module, for the time of the test, in which that name stands for a store of ours.
// Those that start a Redis in a container (store/redis_test.go, auth_jwt_redis_test.go) are
// about gin-jwt's own Redis client, and left out.
func TestGinJWTsOwnTestsOnOurStores(t *testing.T) {
	if testing.Short() {
		return
	}
	modfile := copyOfGinJWT(t)
	for name, tt := range map[string]struct {
		packages []string
		redis    bool
		without  string // tests that cannot be
		atLeast  int
	}{
		"its store tests and its middleware's, in memory": {packages: []string{"/store", "/core", ""}, atLeast: 80},
		// Its memory store takes tokens that have ended, and ours for Redis refuses them, as its
		// own for Redis does: so no tests of the store, nor the one whose clock is in the past.
		"its middleware's tests, in Redis": {packages: []string{""}, redis: true, without: "^TestFrameworkClaimsCannotBeOverwritten$", atLeast: 55},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("go", "test", "-count=1", "-json", "-modfile="+modfile)
			if tt.without != "" {
				cmd.Args = append(cmd.Args, "-skip="+tt.without)
			}
			for _, p := range tt.packages {
				cmd.Args = append(cmd.Args, ginJWTModule+p)
			}
			cmd.Env = os.Environ()
			if tt.redis {
				cmd.Env = append(cmd.Env, ours.Redis+"="+startRedis(t))
			}
			out, err := cmd.CombinedOutput()
			passed := passedTests(out)
			if err != nil || passed < tt.atLeast {
				t.Errorf("%v, %d tests passed; want at least %d\n%s", err, passed, tt.atLeast, failures(out))
			}
		})
	}
}

// copyOfGinJWT returns a go.mod that has a copy of the module in its place.
func copyOfGinJWT(t *testing.T) string {
	t.Helper()
	found, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", ginJWTModule).Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	copied := filepath.Join(dir, "gin-jwt")
	if err := os.CopyFS(copied, os.DirFS(strings.TrimSpace(string(found)))); err != nil {
		t.Fatal(err)
	}
	if err := filepath.WalkDir(copied, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chmod(path, 0o700)
	}); err != nil {
		t.Fatal(err)
	}
	memory, err := os.ReadFile("testdata/memory.go.txt")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(copied, "store", "memory.go"), memory, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, needsContainers := range []string{"store/redis_test.go", "auth_jwt_redis_test.go"} {
		if err := os.Remove(filepath.Join(copied, filepath.FromSlash(needsContainers))); err != nil {
			t.Fatal(err)
		}
	}
	return modfile(t, dir, copied)
}

// modfile writes our go.mod, whose relative paths it makes absolute, with the copy in it.
func modfile(t *testing.T, dir, copied string) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		if name == "go.mod" {
			text = regexp.MustCompile(`=> \.\./\.\./?`).ReplaceAllLiteralString(text, "=> "+root)
			text += "\nreplace " + ginJWTModule + " => " + copied + "\n"
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "go.mod")
}

// startRedis starts an empty Redis for the time of the test, and returns its address.
func startRedis(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("there is no redis-server: run conformance/setup.sh")
	}
	port, err := heldport.Hold("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(port.Release)
	addr := port.Addr
	cmd := exec.Command(path, "--bind", "127.0.0.1", "--port", addr[len("127.0.0.1:"):], "--save", "", "--appendonly", "no", "--dir", t.TempDir())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for begun := time.Now(); time.Since(begun) < 2*time.Minute; {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			_ = conn.Close()
			return addr
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("Redis does not listen")
	return ""
}

// An event is a line of "go test -json".
type event struct{ Action, Test, Output string }

func events(out []byte) []event {
	var list []event
	for line := range strings.Lines(string(out)) {
		var e event
		if json.Unmarshal([]byte(line), &e) != nil {
			e = event{Output: line}
		}
		list = append(list, e)
	}
	return list
}

func passedTests(out []byte) int {
	n := 0
	for _, e := range events(out) {
		if e.Action == "pass" && e.Test != "" {
			n++
		}
	}
	return n
}

// failures returns what the tests that failed have printed.
func failures(out []byte) string {
	printed, failed := make(map[string]string), ""
	for _, e := range events(out) {
		printed[e.Test] += e.Output
		if e.Action == "fail" {
			failed += printed[e.Test]
		}
	}
	if failed == "" {
		return printed[""]
	}
	return failed
}
