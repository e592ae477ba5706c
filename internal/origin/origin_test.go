package origin_test

import (
	"net/url"
	"testing"

	"github.com/evertoken/evertoken/internal/origin"
)

func TestOneServerIsOneOriginHoweverItIsSpelled(t *testing.T) {
	for want, spellings := range map[string][]string{
		"https://api.test":             {"https://api.test", "https://api.test/", "https://API.Test:443/a?b=c#d", "https://api.test:", "https://api.test./", "HTTPS://api.test", "https://ａｐｉ。test"},
		"https://api.test:8443":        {"https://api.test:8443", "https://api.test.:8443/x"},
		"http://api.test":              {"http://api.test", "http://api.test:80"},
		"https://xn--bcher-kva.test":   {"https://bücher.test", "https://BÜCHER.test", "https://xn--bcher-kva.test", "https://XN--BCHER-KVA.test.", "https://b%C3%BCcher.test"},
		"https://[2001:db8::1]":        {"https://[2001:db8::1]", "https://[2001:DB8:0:0::1]:443", "https://[2001:0db8::0001]"},
		"https://[2001:db8::1]:8443":   {"https://[2001:db8:0::1]:8443"},
		"https://192.0.2.1":            {"https://192.0.2.1", "https://[::ffff:192.0.2.1]", "https://[::ffff:c000:201]:443"},
		"http://[fe80::1%eth0]:8080":   {"http://[fe80::1%25eth0]:8080"},
		"https://xn--80ak6aa92e.com":   {"https://аррӏе.com"}, // Cyrillic
		"https://api.test.example.com": {"https://api.test.example.com"},
	} {
		for _, text := range spellings {
			if o, err := origin.Parse(text); err != nil || o.String() != want {
				t.Errorf("%s: origin %v, %v; want %s", text, o, err, want)
			}
		}
	}
}

func TestWhatIsNoOriginIsRefused(t *testing.T) {
	for _, text := range []string{
		"", "*", "api.test", "//api.test", "https://", "https:///x", "https://:443", "https://api.test@evil.test", "https://user:pw@api.test", "https://@api.test",
		"ftp://api.test", "urn:api", "api://guid", "https:api.test", "https://[api.test", "https://api.test:port", "%", "https://api test", "mailto:a@b.test",
	} {
		if o, err := origin.Parse(text); err == nil || o != (origin.Origin{}) {
			t.Errorf("%q: origin %v, %v; want an error", text, o, err)
		}
	}
}

func TestOriginsAreDifferentServers(t *testing.T) {
	const one = "https://api.test"
	for _, other := range []string{
		"http://api.test", "https://api.test:8443", "https://sub.api.test", "https://test", "https://api.test.evil.test", "https://api-test", "https://аpi.test", "https://api.test..", "https://api.tëst",
	} {
		a, err := origin.Parse(one)
		b, err2 := origin.Parse(other)
		if err != nil || err2 != nil || a == b {
			t.Errorf("%s and %s: the same (%v, %v)", one, other, err, err2)
		}
	}
}

// A program may put a URL together by hand.
func TestHostsOfNoURLAreShownWithoutWhatATerminalObeys(t *testing.T) {
	for host, want := range map[string]string{
		"evil\x1b[2J.test":    `https://evil\x1b[2j.test`,
		"evil\u202etset.test": `https://evil\u202etset.test`,
		"evil\u009b.test":     `https://evil\u009b.test`,
		"a\nb":                `https://a\nb`,
		"a b":                 `https://a b`,
	} {
		got := origin.Of(&url.URL{Scheme: "https", Host: host}).String()
		for _, r := range got {
			if r < ' ' || r > '~' {
				t.Errorf("%q is shown as %q; want %s", host, got, want)
			}
		}
		if got != want {
			t.Errorf("%q is shown as %q; want %s", host, got, want)
		}
	}
}

func TestComparingAllocatesNothing(t *testing.T) {
	for _, text := range []string{"https://api.example.com/x", "http://127.0.0.1:8080", "http://localhost"} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		o := origin.Of(u)
		if n := testing.AllocsPerRun(100, func() {
			if origin.Of(u) != o {
				t.Error("not the same")
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations; want none", text, n)
		}
	}
}
