package login

import (
	"strings"
	"testing"
)

const planted = "PLANTED-eyJhbGciOi.s3cr3t"

const testRedirect = "http://127.0.0.1/callback"

func TestPastedAddressIsRead(t *testing.T) {
	for _, text := range []string{
		"http://127.0.0.1:4321/callback?code=c%2F1&state=s",
		"  http://127.0.0.1:4321/callback?code=c%2F1&state=s \r\n",
		"<http://127.0.0.1:4321/callback?code=c%2F1&state=s>",
		`"http://127.0.0.1:4321/callback?code=c%2F1&state=s"`,
		"http://127.0.0.1:4321/callback?code=c%2F1\n   &state=s",
		"http://127.0.0.1:4321/callback?code=c%2F1&state=s#",
		"http://127.0.0.1:4321/callback?code=c%2F1&state=s#_=_",
		"127.0.0.1:4321/callback?code=c%2F1&state=s",
		"http://localhost/callback?code=c%2F1&state=s",
		"?code=c%2F1&state=s",
		"code=c%2F1&state=s",
	} {
		query, err := parsePasted(text, testRedirect)
		if err != nil || query.Get("code") != "c/1" || query.Get("state") != "s" {
			t.Errorf("%q gives %v, %v", text, query, err)
		}
	}
	if query, err := parsePasted("http://127.0.0.1/callback?error=access_denied&state=s", testRedirect); err != nil || query.Get("error") != "access_denied" {
		t.Errorf("a refusal gives %v, %v", query, err)
	}
	for _, text := range []string{"", "  \n", "hello", "http://127.0.0.1/callback", "http://127.0.0.1/callback?state=s", "code=", "?code=%zz", planted, "#code=c&state=s",
		"http://127.0.0.1/callback/other?code=c&state=s", "http://127.0.0.1/?code=c&state=s", "127.0.0.1?code=c&state=s"} {
		if query, err := parsePasted(text, testRedirect); err == nil || query != nil || strings.Contains(err.Error(), "PLANTED") {
			t.Errorf("%q gives %v, %v; want an error", text, query, err)
		}
	}
}

func FuzzParsePasted(f *testing.F) {
	for _, seed := range []string{"http://127.0.0.1:1/callback?code=c&state=s", "code=c", "?error=e&x=%00", "<\"'>", "a?b?code=c", "\x00\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		query, err := parsePasted(text, testRedirect)
		if (query == nil) == (err == nil) {
			t.Fatalf("query %v and error %v; want exactly one", query, err)
		}
		if err == nil && query.Get("code") == "" && query.Get("error") == "" {
			t.Errorf("%q holds no answer but was accepted", text)
		}
		if padded, _ := parsePasted(" \n"+text+"\t ", testRedirect); err == nil && padded.Encode() != query.Encode() {
			t.Errorf("white space around changes the meaning: %v, %v", query, padded)
		}
	})
}
