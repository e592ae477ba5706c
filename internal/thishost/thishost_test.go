package thishost_test

import (
	"testing"

	"github.com/evertoken/evertoken/internal/thishost"
)

func TestOnlyThisMachineIsLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LocalHost": true, "127.0.0.1": true, "127.9.9.9": true, "::1": true, "::ffff:127.0.0.1": true,
		"": false, "localhost.example.com": false, "127.0.0.1.example.com": false, "0.0.0.0": false, "10.0.0.1": false, "::": false,
		"::1%lo": false, "::ffff:10.0.0.1": false, "127.0.0.01": false, "127.1": false, "2130706433": false, "0x7f.0.0.1": false, "localhost.": false,
	} {
		if got := thishost.Is(host); got != want {
			t.Errorf("Is(%q) = %v; want %v", host, got, want)
		}
	}
}
