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
		want = want && host != "LocalHost"
		if got := thishost.Direct(host); got != want {
			t.Errorf("Direct(%q) = %v; want %v", host, got, want)
		}
	}
}

func TestEverySpellingOfThisMachineIsKnown(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST": true, "localhost.": true, "localhost..": true, "api.localhost": true, "A.B.LocalHost.": true, "localhost.localdomain": true, "localhost4": true, "LocalHost6.localdomain6.": true, "ip6-loopback": true, "loopback": true, "ｌocalhost": true, "localhost。": true,
		"127.0.0.1": true, "127.0.0.1.": true, "127.255.255.254": true, "127.1": true, "127.0.1": true, "2130706433": true, "0x7f000001": true, "0X7F.1": true, "0x7f.0.0.0x1": true,
		"017700000001": true, "0177.0.0.1": true, "00177.0.0.01": true, "127.0.0.01": true, "127.0.0.1%eth0": false, "１２７.0.0.1": true, "①②⑦.⓪.⓪.①": true,
		"0.0.0.0": true, "0": true, "127": true, "0.0.0.1": true, "0x0": true, "00": true, "000.000.000.000": true,
		"::1": true, "::": true, "::ffff:127.0.0.1": true, "::ffff:7f00:1": true, "::127.0.0.1": true, "::ffff:0.0.0.0": true, "0:0:0:0:0:0:0:1": true, "::1%lo": true,
		"64:ff9b::7f00:1": true, "64:ff9b::127.0.0.1": true, "2002:7f00:1::": true,

		"": false, "localhost.example.com": false, "notlocalhost": false, "localhosts": false, "localhost5": false, "loopback.example.com": false, "localdomain": false, "example.com": false, "127.0.0.1.example.com": false, "128.0.0.1": false, "10.0.0.1": false,
		"192.168.1": false, "1.2.3.4.5": false, "127.0.0.256": false, "127.0.0.1_": false, "0b1111111.0.0.1": false, "0o177.0.0.1": false, "0x": false, "4294967296": false, "7f000001": false, "09.0.0.1": false,
		"2001:db8::1": false, "64:ff9b::8.8.8.8": false, "::ffff:10.0.0.1": false, "fe80::1": false, "2002:0808:0808::1": false, "bücher.example": false,
	} {
		if got := thishost.MayBe(host); got != want {
			t.Errorf("MayBe(%q) = %v; want %v", host, got, want)
		}
	}
}
