package api_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// withoutTypes are packages without a type that holds a secret.
var withoutTypes = map[string]string{
	"oauth/oauthtest":      "plays a server for tests: its secrets are made up",
	"oauth/preset":         "has no types",
	"tokenstore/storetest": "is for tests",
}

// Every package's exported types are held against what its taint test has printed, by the
// list in api/: a package that is added needs such a test too.
func TestLaw8_EveryPackagesTypesAreFollowedByATaintTest(t *testing.T) {
	root := filepath.Join("..", "..")
	out, err := exec.Command("git", "-C", root, "grep", "-hE", `CheckTypes\(t, "`, "--", "*_test.go").Output()
	if err != nil {
		t.Fatal(err)
	}
	calls := string(out)
	for _, pkg := range public {
		list := strings.ReplaceAll(pkg, "/", "_")
		named := strings.Contains(calls, "/api/"+list+".txt\"")
		switch _, excused := withoutTypes[pkg]; {
		case !named && !excused:
			t.Errorf("no test calls CheckTypes with api/%s.txt", list)
		case named && excused:
			t.Errorf("api/%s.txt is checked, and said to need none: %s", list, withoutTypes[pkg])
		}
		if _, err := os.Stat(filepath.Join(root, "api", list+".txt")); err != nil {
			t.Error(err)
		}
	}
}
