package oauth_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/oauth"
)

const (
	jsonType = "application/json"
	formType = "application/x-www-form-urlencoded"

	goodJSON = `{"access_token":"at-2","token_type":"Bearer","expires_in":600,"refresh_token":"rt-2"}`
	goodForm = "access_token=at-2&expires_in=600&refresh_token=rt-2&token_type=bearer"
)

// inJSON returns text as a JSON string.
func inJSON(text string) string {
	data, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// with puts what is odd between the access token and the refresh token.
func with(odd string) string { return strings.Replace(goodJSON, `"expires_in":600`, odd, 1) }

// in32 returns text in UTF-32, big end first, or last.
func in32(text string, last bool) string {
	var b []byte
	for _, r := range text {
		if last {
			b = append(b, byte(r), byte(r>>8), byte(r>>16), 0)
		} else {
			b = append(b, 0, byte(r>>16), byte(r>>8), byte(r))
		}
	}
	return string(b)
}

// oddKinds are good answers by what is odd with them.
var oddKinds = map[string][]oddAnswer{
	"encoding": {
		{Body: in32("\ufeff"+goodJSON, true)}, {Body: in32("\ufeff"+goodJSON, false)}, {Body: in32(goodJSON, true)}, {Body: in32(goodJSON, false)},
		{Body: "\ufeff\ufeff" + goodJSON}, {Body: "\r\n\ufeff" + goodJSON}, {Body: "ï»¿" + goodJSON}, {Body: "\u200b" + goodJSON}, {Body: "[\ufeff" + goodJSON + "]"},
	},
	"space": {
		{Body: strings.ReplaceAll(goodJSON, ",", ",\u00a0")}, {Body: strings.Replace(goodJSON, "{", "{\u00a0", 1)}, {Body: strings.ReplaceAll(goodJSON, ",", ",\f")},
		{Body: strings.ReplaceAll(goodJSON, ":", "\v:")}, {Body: strings.ReplaceAll(goodJSON, ",", ",\u2028")}, {Body: strings.ReplaceAll(goodJSON, ",", ",\ufeff")},
	},
	"wrapped": {
		{Body: inJSON(inJSON(goodJSON))}, {Body: "[" + inJSON(goodJSON) + "]"}, {Body: inJSON(goodForm)}, {Body: inJSON(goodJSON) + "\n<!-- -->"},
		{Body: html.EscapeString(goodJSON)}, {Body: strings.ReplaceAll(goodJSON, `"`, `\"`)}, {Body: url.QueryEscape(goodJSON)},
		{Body: base64.StdEncoding.EncodeToString([]byte(goodJSON))}, {Body: inJSON(base64.StdEncoding.EncodeToString([]byte(goodJSON)))},
		{ContentType: "text/xml", Body: `<?xml version="1.0" encoding="utf-8"?><string xmlns="http://tempuri.org/">` + goodJSON + `</string>`},
	},
	"before and behind": {
		{Body: `{"csrf_token":"x"}` + goodJSON}, {Body: `{"grant_type":"refresh_token","refresh_token":"rt-1"}` + goodJSON},
		{ContentType: formType, Body: "Notice: a=b\n" + goodJSON}, {Body: goodJSON + `{"error":"server_error"}`}, {Body: "56\r\n" + goodJSON + "\r\n0\r\n\r\n"},
	},
	"form": {
		{ContentType: formType, Body: strings.ReplaceAll(goodForm, "&", "&amp;")}, {ContentType: "text/html", Body: goodForm + "&scope=a b"},
		{ContentType: "text/plain", Body: "?" + goodForm}, {ContentType: "text/plain", Body: "#" + goodForm}, {ContentType: formType, Body: goodForm + "&refresh_token="},
		{ContentType: formType, Body: "Access_Token=at-2&Refresh_Token=rt-2"},
	},
	"other types": {
		{Body: `{"access_token":["at-2"],"refresh_token":["rt-2"],"expires_in":["600"]}`}, {Body: `{"access_token":"at-2","refresh_token":["rt-2"]}`},
		{Body: `{"access_token":{"token":"at-2"},"refresh_token":{"token":"rt-2","expires_in":60}}`}, {Body: `{"access_token":"at-2","refresh_token":{"value":"rt-2"}}`},
		{Body: `{"access_token":"at-2","refresh_token":null,"Refresh_Token":"rt-2"}`}, {Body: `{" access_token":"at-2","refresh_token ":"rt-2"}`},
	},
	"more than the token": {
		{Body: `{"access_token":"Bearer at-2","refresh_token":"rt-2"}`}, {Body: `{"access_token":"bearer  at-2","refresh_token":"rt-2"}`},
		{Body: `{"access_token":"at-2\n","refresh_token":"rt-2"}`}, {Body: `{"access_token":" at-2","refresh_token":"rt-2"}`},
	},
}

// unreadKinds are good answers that no decoder of ours reads: what other languages write
// or people put together by hand. Their tokens are lost, but not sent for again: the
// refresh token is spent.
var unreadKinds = map[string][]oddAnswer{
	"another language's": {
		{Body: `{'access_token': 'at-2', 'ok': True, 'scope': None, 'refresh_token': 'rt-2', 'note': 'it\'s "so"'}`}, {Body: `{'access_token': "at-2", 'refresh_token': "rt-2"}`},
		{Body: `{access_token:"at-2",expires_in:600,refresh_token:"rt-2"}`},
		{Body: `{"access_token"=>"at-2", "expires_in"=>600, "scope"=>nil, "refresh_token"=>"rt-2"}`},
	},
	"values JSON has not": {
		{Body: with(`"expires_in":0600`)}, {Body: with(`"expires_in":+600`)}, {Body: with(`"expires_in":0x258`)}, {Body: with(`"expires_in":600.`)}, {Body: with(`"expires_in":.5`)},
		{Body: with(`"expires_in":NaN`)}, {Body: with(`"expires_in":undefined`)}, {Body: with(`"expires_in":-Infinity`)}, {Body: with(`"expires_in":`)}, {Body: with(`"expires_in":600s`)},
		{Body: with(`"user":{"age":012,"name":None}`)}, {Body: with(`,"a":1,`)}, {Body: "{," + goodJSON[1:]}, {Body: with(`"token_type":None`)},
	},
	"strings JSON has not": {
		{Body: with("\"scope\":\"a\nb\"")}, {Body: with("\"message\":\"a\tb\"")}, {Body: with(`"message":"it\'s \$5 in C:\dir\x41 \u12"`)}, {Body: with(`"message":'a "b"'`)},
		{Body: with("\"message\":\"a\\\nb\"")},
	},
}

func TestF64_AnswersThatNobodyCanReadAreNotSentAgain(t *testing.T) {
	for kind, answers := range unreadKinds {
		for i, o := range answers {
			o.Ends, o.ContentType = "clean", jsonType
			pair, err := receiving["refresh"](t, o)
			if err == nil || failure(t, err).Verdict() != oauth.VerdictUnread {
				t.Errorf("%s %d: %q: %v, %v; want an error that the answer is unread", kind, i, o.Body, pair, err)
			}
		}
	}
}

func TestF63_TokensAreTakenWhateverIsOdd(t *testing.T) {
	for kind, answers := range oddKinds {
		for i, o := range answers {
			if o.Ends = "clean"; o.ContentType == "" {
				o.ContentType = jsonType
			}
			for _, way := range []string{"refresh", "login"} {
				pair, err := receiving[way](t, o)
				if err != nil || pair.AccessToken != "at-2" || pair.RefreshToken != "rt-2" {
					t.Errorf("%s %d, %s: %q: %v, %v; want both tokens", kind, i, way, o.Body, pair, err)
				}
			}
		}
	}
}

// Wherever an answer is cut, the tokens in it are whole or not taken. The end of a form
// cannot be told when the server says that it is the end.
func TestF63_NoTokenIsTakenInPart(t *testing.T) {
	answers := oddAnswers(t)
	for _, kind := range oddKinds {
		answers = append(answers, kind...)
	}
	for _, o := range answers {
		for _, ends := range []string{"clean", "cut"} {
			if ends == "clean" && strings.Contains(strings.ToLower(o.Body), "access_token=") {
				continue
			}
			for length := range len(o.Body) {
				cut := oddAnswer{ID: o.ID, ContentType: o.ContentType, Body: o.Body[:length], Ends: ends}
				pair, err := receiving["refresh"](t, cut)
				if err == nil && (pair.AccessToken != "at-2" || pair.RefreshToken != "rt-2") {
					t.Errorf("%q (%s): %q, %q", cut.Body, ends, pair.AccessToken, pair.RefreshToken)
				}
				if err != nil && ends == "cut" && !failure(t, err).Unknown() && !strings.Contains(cut.Body, "rt-1") {
					t.Errorf("%q (%s): %v; want an unknown outcome", cut.Body, ends, err)
				}
			}
		}
	}
}

func TestF63_EnvelopeIsOpenedByItsPath(t *testing.T) {
	for _, body := range []string{
		`{"statusCode":200,"headers":{},"body":` + inJSON(goodJSON) + `}`, `{"isBase64Encoded":true,"body":"` + base64.StdEncoding.EncodeToString([]byte(goodJSON)) + `"}`,
		`{"body":[` + goodJSON + `]}`, `[{"body":` + goodJSON + `}]`, "\ufeff{\"body\":" + inJSON("\ufeff"+goodJSON) + ",}",
	} {
		pair, err := over(answering(200, body), func(cfg *oauth.Config) { cfg.TokenPath = "body" }).RefreshToken(t.Context(), "rt-1")
		if err != nil || pair.RefreshToken != "rt-2" {
			t.Errorf("%s: %v, %v", body, pair, err)
		}
		_, err = over(answering(200, body)).RefreshToken(t.Context(), "rt-1")
		if fail := failure(t, err); fail.Verdict() != oauth.VerdictUnread || !strings.Contains(fail.Error(), "body.refresh_token") {
			t.Errorf("%s without a path: %v; want its members named", body, err)
		}
	}
}

// To keep the refresh token that was sent would end the session with the next refresh.
func TestUnreadableRefreshTokenIsNotTakenForNone(t *testing.T) {
	for refresh, want := range map[string]oauth.Verdict{
		`["a","b"]`: oauth.VerdictUnread, `{"id":{"token":"x"}}`: oauth.VerdictUnread,
	} {
		_, err := over(answering(200, `{"access_token":"at-2","refresh_token":`+refresh+`}`)).RefreshToken(t.Context(), "rt-1")
		if got := failure(t, err).Verdict(); got != want {
			t.Errorf("%s: %v; want %v", refresh, got, want)
		}
	}
	for refresh, want := range map[string]string{`""`: "rt-1", `null`: "rt-1", `[]`: "rt-1", `{}`: "rt-1", `false`: "rt-1", `5`: "rt-1", `1234567890123456789012`: "1234567890123456789012"} {
		pair, err := over(answering(200, `{"access_token":"at-2","refresh_token":`+refresh+`}`)).RefreshToken(t.Context(), "rt-1")
		if err != nil || pair.RefreshToken != want {
			t.Errorf("%s: %v, %v; want %s", refresh, pair, err, want)
		}
	}
}

func TestTokenIsNeverMended(t *testing.T) {
	for _, body := range []string{
		`{"access_token":"at-2","x":NaN,"refresh_token":"rt\-2"}`, "{\"access_token\":\"at-2\",\"x\":NaN,\"refresh_token\":\"rt\n-2\"}",
		`{"access_token":"at-2","x":NaN,"refresh_token":012345678}`, `{'access_token':'at-2','refresh_token':'rt\-2'}`,
		`{"access_token":"at-2","x":NaN,"refresh_token":rt-2}`, `{"access_token":"at-2","x":NaN,"refresh_token":"rt'-2'`,
	} {
		if pair, err := over(answering(200, body)).RefreshToken(t.Context(), "rt-1"); err == nil {
			t.Errorf("%q: %v; want none", body, pair)
		}
	}
}

func TestEverySuccessIsOne(t *testing.T) {
	for _, status := range []int{200, 201, 202, 203, 206, 299} {
		if pair, err := over(answering(status, goodJSON)).RefreshToken(t.Context(), "rt-1"); err != nil || pair.RefreshToken != "rt-2" {
			t.Errorf("HTTP %d: %v, %v", status, pair, err)
		}
	}
}

func TestAnswerThatIsStillCompressedIsRead(t *testing.T) {
	compress := func(to func(io.Writer) io.WriteCloser) string {
		var b bytes.Buffer
		w := to(&b)
		_, _ = io.WriteString(w, goodJSON)
		_ = w.Close()
		return b.String()
	}
	zipped := compress(func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
	raw := compress(func(w io.Writer) io.WriteCloser { f, _ := flate.NewWriter(w, 9); return f })
	for _, tt := range []struct{ encoding, body string }{
		{"gzip", zipped}, {"x-gzip", zipped}, {"", zipped}, {"deflate", zipped},
		{"deflate", compress(func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) })}, {"Deflate", raw},
		{"gzip", goodJSON}, {"deflate", goodJSON}, {"br", goodJSON},
	} {
		pair, err := over(answering(200, tt.body, "Content-Encoding", tt.encoding)).RefreshToken(t.Context(), "rt-1")
		if err != nil || pair.AccessToken != "at-2" || pair.RefreshToken != "rt-2" {
			t.Errorf("%s %.4q: %v, %v", tt.encoding, tt.body, pair, err)
		}
	}
	for length := range len(zipped) {
		w := oddAnswer{Body: zipped[:length], Ends: "cut"}.wire()
		pair, err := over(w).RefreshToken(t.Context(), "rt-1")
		if err == nil && pair.RefreshToken != "rt-2" || err != nil && !failure(t, err).Unknown() {
			t.Errorf("cut at %d: %v, %v", length, pair, err)
		}
	}
	bomb := compress(func(w io.Writer) io.WriteCloser {
		z := gzip.NewWriter(w)
		for range 64 {
			_, _ = fmt.Fprintf(z, "%1048576s", "")
		}
		return z
	})
	if _, err := over(answering(http.StatusOK, bomb)).RefreshToken(t.Context(), "rt-1"); err == nil {
		t.Error("64 MiB of space were read")
	}
}
