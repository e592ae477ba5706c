package outside

import (
	"net/url"
	"strings"
	"testing"
)

func TestF94_HostsAreShownInASCII(t *testing.T) {
	for host, want := range map[string]string{
		"login.example.com":      "login.example.com",
		"LOGIN.example.com:8443": "login.example.com:8443",
		"login.example.com.":     "login.example.com.",
		"127.0.0.1:80":           "127.0.0.1:80",
		"[::1]:80":               "[::1]:80",
		"[fe80::1]":              "[fe80::1]",
		"a_b.example":            "a_b.example",
		"xn--mnchen-3ya.de":      "xn--mnchen-3ya.de",
		"münchen.de":             "xn--mnchen-3ya.de",
		"MÜNCHEN.de:1":           "xn--mnchen-3ya.de:1",
		"\u0430pple.com":         "xn--pple-43d.com", // a Cyrillic а
		"пример.test":            "xn--e1afmkfd.test",
		"例え.テスト":                 "xn--r8jz45g.xn--zckzah",
		"例え。テスト":                 "xn--r8jz45g.xn--zckzah", // browsers take that for a dot
		// RFC 3492 section 7.1: Arabic, Hebrew with digits aside, and Japanese with Latin.
		"ليهمابتكلموشعربي؟": "xn--egbpdaj6bu4bxfgehfvwxn",
		"3年b組金八先生":          "xn--3b-ww4c5e180e575a65lsy2b",
		"パフィーdeルンバ":         "xn--de-jg4avhby1noc0d",
		// What can be no host.
		"":                      "",
		"a b":                   "a b",
		"good.test\u202e":       `good.test\u202e`,
		"good.test\u009b31m":    `good.test\u009b31m`,
		"good\u200b.test":       `good\u200b.test`,
		"good.test\xff":         `good.test\xff`,
		"good.test:80\x1b":      `good.test:80\x1b`,
		"[::1%\x1b[31m]":        `[::1%\x1b[31m]`,
		"[::1":                  "[::1",
		strings.Repeat("я", 64): strings.Repeat("я", 64),
		"a/../b":                "a/../b",
	} {
		if got := Host(host); got != want {
			t.Errorf("%q: got %q; want %q", host, got, want)
		}
	}
}

func TestF94_AddressesAreShownInASCII(t *testing.T) {
	for address, want := range map[string]string{
		"https://login.test/device":               "https://login.test/device",
		"https://login.test":                      "https://login.test",
		"https://login.test/a%2Fb?c=%2F#d":        "https://login.test/a%2Fb?c=%2F#d",
		"https://\u0430pple.com/device":           "https://xn--pple-43d.com/device",
		"https://%D0%B0pple.com/device":           "https://xn--pple-43d.com/device",
		"https://login.test/ünï?q=ü&r=\u202e#ü":   "https://login.test/%C3%BCn%C3%AF?q=%C3%BC&r=%E2%80%AE#%C3%BC",
		"https://login.test/%1b%5B31m?%1b=%C2%9B": "https://login.test/%1b%5B31m?%1b=%C2%9B",
		"https://login.test/\u009b31m":            "https://login.test/%C2%9B31m",
		"https://login.test?a=b c":                "https://login.test?a=b%20c",
		"https://login.test/\xff?\xff":            "https://login.test/%FF?%FF",
		"http://[::1]:8080/x":                     "http://[::1]:8080/x",
		"https://good.test@evil.test/":            "",
		"https://%C2%9B31m.test/":                 "",
		"https://good.test%E2%80%AE/":             "",
		"https://[::1%25%1b[31m]/":                "",
		"https://good.test\x1b/":                  "",
		"https://good.test/\x1b":                  "",
		"https:good.test":                         "",
		"https:///device":                         "",
		"javascript:alert(1)":                     "",
		"ftp://good.test/":                        "",
		"/device":                                 "",
		"":                                        "",
	} {
		got, ok := Address(address)
		if got != want || ok != (want != "") {
			t.Errorf("%q: got %q, %t; want %q", address, got, ok, want)
		}
	}
	if got := ShowAddress("javascript:\x1b"); got != `javascript:\x1b` {
		t.Errorf("what is not an address is shown as %q", got)
	}
}

func FuzzAddress(f *testing.F) {
	for _, s := range []string{"https://login.test/a?b=c#d", "https://\u0430pple.com", "https://%D0%B0pple.com:80/%2F", "http://[::1]:1/", "https://例え。テスト/ü?ü", "https://a@b/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		shown, ok := Address(s)
		if !ok {
			return
		}
		for i := range len(shown) {
			if shown[i] <= ' ' || shown[i] > '~' {
				t.Fatalf("%q is shown as %q", s, shown)
			}
		}
		u, err := url.Parse(shown)
		if err != nil || u.Host == "" || u.User != nil {
			t.Fatalf("%q is shown as %q, which is %v, %v", s, shown, u, err)
		}
		if again, ok := Address(shown); !ok || again != shown {
			t.Errorf("%q: shown as %q, and again as %q, %t", s, shown, again, ok)
		}
	})
}
