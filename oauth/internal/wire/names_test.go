package wire

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestMembersAreNamedWithoutTheirValues(t *testing.T) {
	for body, want := range map[string]string{
		`{"ok":true,"authed_user":{"access_token":"` + planted + `","x":{"y":{"z":1}}}}`:    "authed_user authed_user.access_token authed_user.x authed_user.x.y ok",
		`{"data":[{"accessToken":"a"}]}`:                                                    "data data.accessToken",
		`{"body":"{\"jwt\":\"` + planted + `\"}"}`:                                          "body body.jwt",
		`{"` + planted + `!":1,"a b":{"c":1},"é":1}`:                                        "",
		`{"0123456789abcdef":1,"` + strings.Repeat("a", 41) + `":1,"":1,"oauth2_v1.x-y":1}`: "oauth2_v1.x-y",
		`{}`: "", `[]`: "",
	} {
		if got := strings.Join(memberNames(answered(body).Members()), " "); got != want {
			t.Errorf("%s: %q; want %q", body, got, want)
		}
	}
	long := answered(`{"` + strings.Join(strings.Split(strings.Repeat("abcdefghijklmnopqrstuvwxyz", 1), ""), `":1,"`) + `":1}`)
	if got := memberNames(long.Members()); len(got) != maxNames || !slices.IsSorted(got) {
		t.Errorf("%d names; want %d, sorted", len(got), maxNames)
	}
}

func TestAnswersThatHoldTokensAreRecognized(t *testing.T) {
	const jwt = "eyJhbGciOiJSUzI1NiJ9.e30.c2ln"
	for body, want := range map[string]bool{
		`{"ok":true,"authed_user":{"access_token":"at-2"}}`: true,
		`{"status":0,"body":{"access_token":"at-2"}}`:       true,
		`{"data":{"accessToken":"at-2"}}`:                   true,
		`{"data":{"session":{"token":"at-2"}}}`:             true,
		`{"data":[{"accessToken":"at-2"}]}`:                 true,
		`{"body":"{\"access_token\":\"at-2\"}"}`:            true,
		`{"body":"eyJhY2Nlc3NfdG9rZW4iOiJhdC0yIn0="}`:       true,
		`{"a":{"access_token":"at-2"},"b":1}`:               true,
		`{"a":{"x":{"access_token":"at-2"}},"b":1}`:         true,
		`{"jwt":"x"}`:                                true,
		`{"session":"` + jwt + `"}`:                  true,
		`{"session":"eyJhbGciOiJSUzI1NiJ9.a.b.c.d"}`: true,
		`{"authed_user":{"access_token":"at-2","refresh_token":"rt-2"},"x`: true,

		`{"token_type":"Bearer"}`:                             false,
		`{"token_error":"expired"}`:                           false,
		`{"token_expires_at":"2026-11-20T10:00:00Z"}`:         false,
		`{"message":"invalid token","error":"invalid_token"}`: false,
		`{"token":"is no good any more"}`:                     false,
		`{"access_token":""}`:                                 false,
		`{"csrf_token":"x"}`:                                  false,
		`{"access_token":null}`:                               false,
		`{"access_token":7}`:                                  false,
		`{"version":"1.2.3"}`:                                 false,
		`{"a":{"b":{"c":{"access_token":"at-2"}}}}`:           false,
		`{}`: false, ``: false,
	} {
		if got := holdsTokens(answered(body).Members()); got != want {
			t.Errorf("%s: %v; want %v", body, got, want)
		}
	}
}

func TestAddressesAreShownWithoutTheirSecrets(t *testing.T) {
	for address, want := range map[string]string{
		"": "", "https://auth.test": "https://auth.test", "https://auth.test/@me/": "https://auth.test/@me/", "https://auth.test/{tenantid}/v2.0": "https://auth.test/{tenantid}/v2.0",
		"https://auth.test/a?key=" + planted: "https://auth.test/a", "https://auth.test/a#" + planted: "https://auth.test/a", "auth.test/a?" + planted: "auth.test/a",
		"https://job:" + planted + "@auth.test/a": "https://auth.test/a", "https://" + planted + "@auth.test?a@b": "https://auth.test", "https://job:a@" + planted + "@auth.test": "https://auth.test",
		"https://[::1/a?" + planted:               "https://[::1/a",
		"https://job:" + planted + "?@auth.test/": "(no usable address)", "https://job:" + planted + "/@auth.test/": "(no usable address)",
		"job:" + planted + "@auth.test": "(no usable address)", planted + "@auth.test": "(no usable address)", "https:job:" + planted + "@auth.test": "(no usable address)",
	} {
		if got := WithoutQuery(address); got != want {
			t.Errorf("%q is shown as %q; want %q", address, got, want)
		}
	}
}

// planted is in bodies and must not be among names.
const planted = "PLANTED-eyJhbGciOi.s3cr3t"

func answered(body string) *Answer {
	return &Answer{Op: OpRefresh, Status: 200, Header: http.Header{}, Body: []byte(body), Whole: true}
}
