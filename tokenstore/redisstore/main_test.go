package redisstore_test

import (
	"os"
	"testing"

	"github.com/redis/go-redis/v9/logging"

	"github.com/evertoken/evertoken/internal/workers"
)

// work is the main function of a worker, if there is one in this build.
var work func()

func TestMain(m *testing.M) {
	logging.Disable() // tests have Redis fail all the time
	if workers.Inside() {
		work()
		return
	}
	os.Exit(m.Run())
}
