package thishost_test

import (
	"testing"

	"github.com/evertoken/evertoken/internal/thishost"
)

func TestOnlyThisMachineIsLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LocalHost": true, "127.0.0.1": true, "127.9.9.9": true, "::1": true,
		"": false, "localhost.example.com": false, "127.0.0.1.example.com": false, "0.0.0.0": false, "10.0.0.1": false, "::": false,
	} {
		if got := thishost.Is(host); got != want {
			t.Errorf("Is(%q) = %v; want %v", host, got, want)
		}
	}
}
