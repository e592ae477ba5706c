package redis_test

import (
	"os"
	"testing"

	"github.com/redis/go-redis/v9/logging"
)

// helperEnv makes the test binary a helper process instead of running the tests.
const helperEnv = "EVERTOKEN_REDIS_HELPER"

// helper is the main function of such a process, if there is one in this build.
var helper func()

func TestMain(m *testing.M) {
	logging.Disable() // tests have Redis fail all the time
	if os.Getenv(helperEnv) != "" {
		helper()
		return
	}
	os.Exit(m.Run())
}
