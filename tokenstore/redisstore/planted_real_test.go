//go:build real && unix

package redisstore_test

import (
	"strings"
	"testing"

	"github.com/evertoken/evertoken/internal/storeerr"
	"github.com/evertoken/evertoken/tokenstore/redisstore"
)

// tombKey is the trace of the session "default" that was deleted.
var tombKey = strings.Replace(recordKey, "session:", "deleted:", 1)

// The greatest of all versions is followed by one that can be read: another program may
// have written it, and the pair that a spend brings is the only good one.
func TestWhatFollowsTheGreatestVersionCanBeRead(t *testing.T) {
	server := startServer(t)
	c := server.direct()
	defer c.Close()
	for _, key := range []string{recordKey, tombKey} {
		c.FlushAll(t.Context())
		s := server.open("", redisstore.Config{})
		version := uint64(0)
		if key == recordKey {
			set(t, s, "default", record("1"))
			version = storeerr.MaxVersion
		}
		c.HSet(t.Context(), key, "v", uint64(storeerr.MaxVersion))
		if key == recordKey {
			holds(t, s, "default", "1", version)
		}
		spend, marked, err := s.BeginSpend(t.Context(), s, "default", over(version, "1"), false)
		if err != nil {
			t.Fatalf("%s: BeginSpend: %v", key, err)
		}
		holds(t, server.open("", redisstore.Config{}), "default", "1", marked)
		settled, err := spend.Settle(t.Context(), over(marked, "2"))
		if err != nil {
			t.Fatalf("%s: Settle: %v", key, err)
		}
		holds(t, server.open("", redisstore.Config{}), "default", "2", settled)
	}
}
