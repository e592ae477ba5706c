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
	if *resting {
		refresh.RestAlone()
	}
	os.Exit(m.Run())
}
