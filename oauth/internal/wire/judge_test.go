package wire

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/lenient"
	"github.com/evertoken/evertoken/internal/member"
)

// members reads an object.
func members(t *testing.T, text string) member.Fields {
	t.Helper()
	var fields member.Fields
	if err := json.Unmarshal([]byte(text), &fields); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return fields
}

func TestCodesAreSpelledAlike(t *testing.T) {
	for code, want := range map[string]string{
		"token_reused": "token_reused", "TOKEN_REUSED": "token_reused", "TokenReused": "token_reused", "token-reused": "token_reused",
		"token reused: at noon": "token_reused", "_token_": "token", "token_": "token", "_token": "token", "a__b": "a__b",
		"E42": "e42", "": "", "azAZ": "az_az", "tokenz": "tokenz",
	} {
		if got := CodeWord(code); got != want {
			t.Errorf("%q is spelled %q; want %q", code, got, want)
		}
	}
}

// What may be a token is not repeated in a message.
func TestOnlyWordsArePlausibleCodes(t *testing.T) {
	for code, want := range map[string]bool{
		"": false, "invalid_grant": true, "INVALID_GRANT": true, "az": true, "AZ": true, "_": true, "Invalid": false, "invalid-grant": false,
		"a1": false, "a`": false, "a{": false, "A@": false, "A[": false, "é": false, "aA": false, "Aa_": false,
		"abcdefghijabcdefghijabcdefghijabcdefghij": true, "abcdefghijabcdefghijabcdefghijabcdefghija": false,
	} {
		if got := PlausibleCode(code); got != want {
			t.Errorf("%q: plausible %v; want %v", code, got, want)
		}
	}
}

func TestHeaderWords(t *testing.T) {
	for word, want := range map[string]bool{
		"": false, "Bearer": true, "x-y_z!": true, "a b": false, "a(b": false, "a\tb": false, "a\x7f": false, "~": true, "é": false, "a:b": false, "a\x00": false,
	} {
		if got := IsHeaderWord(word); got != want {
			t.Errorf("%q: %v; want %v", word, got, want)
		}
	}
}

func TestStatuses(t *testing.T) {
	for status, want := range map[int]struct{ success, refusal bool }{
		199: {}, 200: {success: true}, 299: {success: true}, 300: {}, 399: {}, 400: {refusal: true}, 401: {refusal: true},
		408: {}, 425: {}, 429: {}, 499: {refusal: true}, 500: {},
	} {
		if IsSuccess(status) != want.success || IsRefusal(status) != want.refusal {
			t.Errorf("%d: success %v, refusal %v; want %+v", status, IsSuccess(status), IsRefusal(status), want)
		}
	}
}

// A word is about the client if it names it and says what is wrong, and nothing else.
func TestWordsAboutTheClient(t *testing.T) {
	for word, want := range map[string]bool{
		"invalid_client": true, "invalid_application": true, "client_secret_expired": true, "oauth_client_not_found": true,
		"client_id_or_secret_is_wrong": true, "client": false, "application": false, "client_id": false, "invalid": false, "expired": false,
		"invalid_client_request": false, "client_token_expired": false, "": false,
	} {
		if got := namesClient(word); got != want {
			t.Errorf("%q is about the client: %v; want %v", word, got, want)
		}
	}
	if m := clientRefused(HintClient); m.Field != "ClientAuth" || m.Verdict != VerdictClient {
		t.Errorf("a client whose authentication is refused: %+v", m)
	}
	if m := clientRefused(hintGrant); m.Field != "" || m.Verdict != VerdictClient {
		t.Errorf("a client that may not use the grant: %+v", m)
	}
}

func TestWhereAnErrorCodeStands(t *testing.T) {
	listed := []string{"gone.fishing"}
	for answer, want := range map[string]string{
		`{"error":"invalid_grant"}`:                                   "invalid_grant",
		`{"error":"invalid_grant: it is over"}`:                       "invalid_grant",
		`{"error":" invalid_grant "}`:                                 "invalid_grant",
		`{"error":{"reason":"TOKEN_REUSED","code":"x"}}`:              "TOKEN_REUSED",
		`{"error":{"code":"invalid_grant"}}`:                          "invalid_grant",
		`{"error":"gone.fishing"}`:                                    "gone.fishing",
		`{"error":"a sentence for people"}`:                           "",
		`{"error":"invalid_request","code":"invalid_client"}`:         "invalid_request",
		`{"error":"gone.fishing","code":"invalid_client"}`:            "gone.fishing",
		`{"error":"odd","code":"invalid_client"}`:                     "invalid_client",
		`{"error":"odd","detail":{"code":"bad_refresh_token"}}`:       "bad_refresh_token",
		`{"error":"odd","errors":[{"code":"invalid_refresh_token"}]}`: "invalid_refresh_token",
		`{"error":"odd","code":"token_expired"}`:                      "odd", // also said of a missing access token
		`{"code":"invalid_grant"}`:                                    "invalid_grant",
		`{}`:                                                          "",
	} {
		if got := ErrorCode(members(t, answer), listed); got != want {
			t.Errorf("%s: code %q; want %q", answer, got, want)
		}
	}
	for code, want := range map[string]bool{"": false, "gone.fishing": true, "GONE-FISHING": true, "gone": false} {
		if got := IsListed(append(listed, ""), code); got != want {
			t.Errorf("%q is listed: %v; want %v", code, got, want)
		}
	}
}

func TestTheFirstOfAListOfErrorsCounts(t *testing.T) {
	for answer, want := range map[string]int{
		`{}`: 1, `{"error":{}}`: 2, `{"errors":[{"a":1},{"b":2}]}`: 2, `{"errors":[]}`: 1, `{"errors":["x"]}`: 1, `{"errors":null}`: 1,
		`{"error":{"detail":{"x":1}}}`: 3, `{"error":"x","fault":{"detail":{}}}`: 3,
	} {
		if got := len(errorObjects(members(t, answer))); got != want {
			t.Errorf("%s: %d objects; want %d", answer, got, want)
		}
	}
	if errorObjects(nil) != nil {
		t.Error("no answer has objects")
	}
}

// With a word that ends sessions, only a flag or a status contradicts it.
func TestWhatNamesTrouble(t *testing.T) {
	long := string(make([]byte, maxPhrase))
	quoted, err := json.Marshal(long + " quota")
	if err != nil {
		t.Fatal(err)
	}
	for answer, want := range map[string]struct{ trouble, certain bool }{
		`{"error":"odd"}`:                                           {},
		`{"error":"odd","retryable":true}`:                          {true, true},
		`{"error":"odd","retryable":false}`:                         {},
		`{"error":"odd","status":503}`:                              {true, true},
		`{"error":"odd","status":"429"}`:                            {true, true},
		`{"error":"odd","status":400}`:                              {},
		`{"error":"odd","status":599}`:                              {true, true},
		`{"error":"odd","status":600}`:                              {},
		`{"error":"odd","code":503}`:                                {true, false},
		`{"error":{"type":"com.example#Throttling"}}`:               {true, false},
		`{"error":"odd","message":"Rate Exceeded"}`:                 {true, false},
		`{"error":"odd","message":"the session timed out"}`:         {},
		`{"error":"session_timed_out"}`:                             {},
		`{"error":"server_timed_out"}`:                              {true, false},
		`{"error":"` + strings.Repeat("x", maxPhrase-5) + `_busy"}`: {true, false},
		`{"error":"` + strings.Repeat("x", maxPhrase-4) + `_busy"}`: {},
		`{"error":"odd","message":"the server timed out"}`:          {true, false},
		`{"error":"odd","message":` + string(quoted) + `}`:          {},
	} {
		fields := members(t, answer)
		if got := tellsTrouble(fields, "odd", false); got != want.trouble {
			t.Errorf("%s: trouble %v; want %v", answer, got, want.trouble)
		}
		if got := tellsTrouble(fields, "odd", true); got != want.certain {
			t.Errorf("%s: trouble %v although its code is certain; want %v", answer, got, want.certain)
		}
	}
}

func TestHowLongAServerAsksToWait(t *testing.T) {
	received := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	ahead := received.Add(time.Minute) // the server's clock
	for name, tt := range map[string]struct {
		header, body string
		want         time.Duration
	}{
		"nothing":                {"", `{}`, 0},
		"seconds":                {"90", `{}`, 90 * time.Second},
		"zero":                   {"0", `{}`, 0},
		"less":                   {"-5", `{}`, 0},
		"a year":                 {"31536000", `{}`, time.Hour},
		"a date":                 {ahead.Add(2 * time.Minute).Format(http.TimeFormat), `{}`, 2 * time.Minute},
		"a date long ago":        {ahead.Add(-2 * time.Minute).Format(http.TimeFormat), `{}`, 0},
		"in the body":            {"", `{"retry_after":30.5}`, 31 * time.Second},
		"zero in the body":       {"", `{"retry_after":0}`, time.Second},
		"less in the body":       {"", `{"retry_after":-5}`, 0},
		"a year in the body":     {"", `{"error":{"retryAfter":31536000}}`, time.Hour},
		"the header goes first":  {"90", `{"retry_after":30}`, 90 * time.Second},
		"a fraction":             {"2.5", `{}`, 2500 * time.Millisecond},
		"as Shopify has it":      {"600.0", `{}`, 10 * time.Minute},
		"with its unit":          {"600s", `{}`, 10 * time.Minute},
		"in quotes":              {`"600"`, `{}`, 10 * time.Minute},
		"written by two":         {"600, 30", `{}`, 10 * time.Minute},
		"beyond all numbers":     {"1e999", `{}`, time.Hour},
		"milliseconds":           {"", `{"retry_after_ms":1500}`, 1501 * time.Millisecond},
		"no header that we read": {"soon", `{"retry_after":30}`, 31 * time.Second},
		"several headers":        {"30\n600", `{}`, 10 * time.Minute},
		"several, of which one":  {"soon\n600\n", `{}`, 10 * time.Minute},
		"a date and seconds":     {ahead.Add(2*time.Minute).Format(http.TimeFormat) + "\n90", `{}`, 2 * time.Minute},
		"a time since 1970":      {strconv.FormatInt(ahead.Add(2*time.Minute).Unix(), 10), `{}`, 2 * time.Minute},
		"in milliseconds":        {strconv.FormatInt(ahead.Add(2*time.Minute).UnixMilli(), 10), `{}`, 2 * time.Minute},
		"one that is over":       {strconv.FormatInt(ahead.Add(-2*time.Minute).Unix(), 10), `{}`, 0},
		"a time of RFC 3339":     {ahead.Add(2 * time.Minute).Format(time.RFC3339), `{}`, 2 * time.Minute},
	} {
		a := Answer{Header: http.Header{}, Received: received}
		for header := range strings.SplitSeq(tt.header, "\n") {
			a.Header.Add("Retry-After", header)
		}
		a.Header.Set("Date", ahead.Format(http.TimeFormat))
		at := a.RetryAt(members(t, tt.body))
		if tt.want == 0 && !at.IsZero() || tt.want != 0 && !at.Equal(received.Add(tt.want)) {
			t.Errorf("%s: %v; want %v later than %v", name, at, tt.want, received)
		}
	}
}

// An answer that ended too early may have had tokens behind its end.
func TestWhichAnswersAreCut(t *testing.T) {
	for _, tt := range []struct {
		body  string
		whole bool
		want  bool
	}{
		{`{"a":1}`, true, false},
		{`{"a":1}`, false, true},
		{`{"access_token":"abcdefghijklmnopqrstuvwxyz"}`, false, false},
		{``, true, true},
		{`  `, true, true},
		{`{"a":1`, true, true},
		{`["a",1`, true, true},
		{`notice: {"a":1`, true, true},
		{`{"a" 1}`, true, false},
		{`["a",1]`, true, false},
		{`page`, true, false},
		{`page`, false, true},
	} {
		a := Answer{Status: 200, Body: []byte(tt.body), Whole: tt.whole}
		if got := a.cut(lenient.Read(a.Body, "application/json", a.Whole)); got != tt.want {
			t.Errorf("%q, whole %v: cut %v; want %v", tt.body, tt.whole, got, tt.want)
		}
	}
}

// A challenge refuses the client if it answers the client's own way of authenticating.
func TestAChallengeThatRefusesTheClient(t *testing.T) {
	for _, tt := range []struct {
		status    int
		basic     bool
		challenge string
		want      bool
	}{
		{401, true, `Basic realm="x"`, true}, {401, false, `Basic realm="x"`, false}, {400, true, `Basic realm="x"`, false},
		{401, true, `Bearer realm="x"`, false}, {401, true, "", false},
	} {
		a := Answer{Status: tt.status, Header: http.Header{"Www-Authenticate": {tt.challenge}}, Settings: Settings{Basic: tt.basic}}
		if got := a.refusesClient(members(t, `{}`)); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

// Where a path leads to the tokens, an answer without its first member is read as if
// without a path.
func TestWhereTheTokensAre(t *testing.T) {
	for name, tt := range map[string]struct {
		path, body, want string
	}{
		"no path":       {"", `{"Access_Token":"a"}`, "a"},
		"at its end":    {"data", `{"access_token":"x","data":{"access_token":"a"}}`, "a"},
		"deeper":        {"data.t", `{"data":{"access_token":"x","t":{"Access_Token":"a"}}}`, "a"},
		"not there":     {"data", `{"access_token":"a"}`, "a"},
		"there, empty":  {"data", `{"access_token":"x","data":{}}`, ""},
		"there, a word": {"data", `{"access_token":"x","data":"y"}`, ""},
	} {
		a := Answer{Status: 200, Header: http.Header{}, Body: []byte(tt.body), Whole: true, Settings: Settings{TokenPath: tt.path}}
		got, _ := a.TokenFields(a.Fields())
		if got.Text("access_token") != tt.want {
			t.Errorf("%s: %q; want %q", name, got.Text("access_token"), tt.want)
		}
	}
}
