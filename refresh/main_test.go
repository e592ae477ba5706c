package refresh_test

import (
	"flag"
	"os"
	"testing"

	"github.com/evertoken/evertoken/refresh"
)

// With -resting, every session rests whenever it can, so that all tests are tests
// of sessions at rest as well.
var resting = flag.Bool("resting", false, "let sessions rest that stand alone")

func TestMain(m *testing.M) {
	flag.Parse()
	// What is noted of spent tokens does not go to the directories of whoever runs the tests.
	witness, err := os.MkdirTemp("", "evertoken-test-*")
	if err != nil {
		panic(err)
	}
	for _, name := range []string{"XDG_CACHE_HOME", "LocalAppData"} {
		os.Setenv(name, witness)
	}
	os.Unsetenv("XDG_RUNTIME_DIR")
	if *resting {
		refresh.RestAlone()
	}
	code := m.Run()
	_ = os.RemoveAll(witness)
	os.Exit(code)
}
