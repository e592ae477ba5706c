package wire

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/member"
)

// jwtText is a JWT by its shape.
const jwtText = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"

// refreshAnswer returns the answer to a refresh that sent the token "spent/1". Headers are lines.
func refreshAnswer(status int, body string, headers ...string) *Answer {
	a := &Answer{Op: OpRefresh, Status: status, Header: http.Header{}, Body: []byte(body), Whole: true, Received: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	a.Settings.Spent = "spent/1"
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		a.Header.Add(name, value)
	}
	return a
}

// placesIn returns the places that an error names, or "".
func placesIn(err error) string {
	var places *MembersError
	if !errors.As(err, &places) {
		return ""
	}
	return strings.Join(places.Names, ", ")
}

func TestARefreshTokenIsFoundWhereNoneIsLookedFor(t *testing.T) {
	const sixteen, fifteen = "abcdefghijklmnop", "abcdefghijklmno"
	for name, tt := range map[string]struct {
		body    string
		headers []string
		want    string
	}{
		"none":                   {`{"access_token":"a"}`, nil, ""},
		"a member":               {`{"access_token":"a","new_refresh_token":"r"}`, nil, "new_refresh_token"},
		"the one that was sent":  {`{"access_token":"a","new_refresh_token":"spent/1"}`, nil, ""},
		"sent, in percent signs": {`{"access_token":"a"}`, []string{"Set-Cookie: refreshToken=spent%2F1"}, ""},
		"sent, in quotes":        {`{"access_token":"a"}`, []string{`Set-Cookie: refreshToken="spent/1"`}, ""},
		"malformed percents":     {`{"access_token":"a"}`, []string{"Set-Cookie: refreshToken=spent/1%"}, "cookie refreshToken"},
		"three deep":             {`{"a":{"b":{"new_refresh_token":"r"}}}`, nil, "a.b.new_refresh_token"},
		"four deep":              {`{"a":{"b":{"c":{"new_refresh_token":"r"}}}}`, nil, ""},
		"a name that is none":    {`{"new refresh token!":"r"}`, nil, ""},
		"another pair's":         {`{"access_token":"a","other":{"access_token":"b","refresh_token":"r"}}`, nil, ""},
		"the same pair's":        {`{"access_token":"a","copy":{"access_token":"a","refresh_token":"r"}}`, nil, "copy.refresh_token"},
		"unreadable":             {`{"access_token":"a","the_refresh_token":{"x":[1]}}`, nil, "the_refresh_token"},
		"no word for a token":    {`{"refresh":"hourly"}`, nil, ""},
		"a long word":            {`{"refresh":"` + sixteen + `"}`, nil, "refresh"},
		"a word, not so long":    {`{"refresh":"` + fifteen + `"}`, nil, ""},
		"a long address":         {`{"refresh":"https://example.com/refresh"}`, nil, ""},
		"beside an access token": {`{"tokens":{"access":"a","refresh":"r"}}`, nil, "tokens.refresh"},
		"short names":            {`{"rt":"` + sixteen + `","r_token":"short"}`, nil, "rt"},
		"words about one":        {`{"new_refresh_token":"rotated"}`, nil, ""},
		"a time":                 {`{"new_refresh_token":"2030-01-02T03:04:05Z"}`, nil, ""},
		"a path":                 {`{"new_refresh_token":"/oauth/token"}`, nil, ""},
		"words":                  {`{"new_refresh_token":"see the cookie"}`, nil, ""},
		"a cookie":               {`{"access_token":"a"}`, []string{"Set-Cookie: __Host-refreshToken=r; Path=/"}, "cookie __Host-refreshToken"},
		"two cookies":            {`{}`, []string{"Set-Cookie: refresh_token=r", "Set-Cookie: old_refresh_token=s"}, "cookie old_refresh_token, cookie refresh_token"},
		"a cookie without value": {`{}`, []string{"Set-Cookie: refresh_token=", "Set-Cookie: =r", "Set-Cookie: refresh_token"}, ""},
		"a deleted cookie":       {`{}`, []string{"Set-Cookie: refresh_token=r; Max-Age=0"}, ""},
		"one that ended":         {`{}`, []string{"Set-Cookie: refresh_token=r; Expires=Tue, 01 Jan 2030 00:00:00 GMT"}, ""},
		"one that ended, dashes": {`{}`, []string{"Set-Cookie: refresh_token=r; Expires=Mon, 01-Jan-2029 00:00:00 GMT"}, ""},
		"one that lives, dashes": {`{}`, []string{"Set-Cookie: refresh_token=r; Expires=Wed, 02-Jan-2030 00:00:00 GMT"}, "cookie refresh_token"},
		"an end that is none":    {`{}`, []string{"Set-Cookie: refresh_token=r; Expires=later"}, "cookie refresh_token"},
		"JSON in a cookie":       {`{}`, []string{`Set-Cookie: refresh_token={"a";"b"}; Max-Age=0`}, ""},
		"another's cookie":       {`{}`, []string{"Set-Cookie: session=r"}, ""},
		"the expected cookie":    {`{}`, []string{"Set-Cookie: sid=r"}, "cookie sid"},
		"a header":               {`{}`, []string{"X-Refresh-Token: r"}, "header X-Refresh-Token"},
		"a header with the sent": {`{}`, []string{"X-Refresh-Token: spent/1"}, ""},
		"a header with a word":   {`{}`, []string{"X-Refresh-Token: rotated"}, ""},
		"another header":         {`{}`, []string{"X-Session: r"}, ""},
		"a member before others": {`{"new_refresh_token":"r"}`, []string{"X-Refresh-Token: s"}, "new_refresh_token"},
	} {
		fail := refreshAnswer(http.StatusOK, tt.body, tt.headers...).Overlooked("a", "sid")
		switch {
		case tt.want == "" && fail != nil:
			t.Errorf("%s: found %s", name, placesIn(fail.Err))
		case tt.want == "":
		case fail == nil || placesIn(fail.Err) != tt.want:
			t.Errorf("%s: %v, want %s", name, fail, tt.want)
		case fail.Kind != ErrMisconfigured || !errors.Is(fail.Err, ErrUnreadAnswer) || fail.Hint == "":
			t.Errorf("%s: %#v", name, fail)
		case fail.Field == "RefreshCookie" != (strings.Contains(tt.want, "cookie ") || strings.Contains(tt.want, "header ")):
			t.Errorf("%s: the setting to change is %s", name, fail.Field)
		}
	}
}

func TestOnlyARefreshOverlooksARefreshToken(t *testing.T) {
	const body = `{"new_refresh_token":"r"}`
	login, first := refreshAnswer(http.StatusOK, body), refreshAnswer(http.StatusOK, body)
	login.Op, first.Settings.Spent = OpDevice, ""
	if login.Overlooked("", "") != nil || first.Overlooked("", "") != nil {
		t.Error("an answer to what spends nothing is one that overlooks something")
	}
	empty := refreshAnswer(http.StatusOK, "{}")
	empty.Header["X-Refresh-Token"] = nil
	if fail := empty.Overlooked("", ""); fail != nil {
		t.Errorf("a header without a value: %v", fail.Err)
	}
	many := refreshAnswer(http.StatusOK, `{`+manyMembers(maxNames+5)+`}`)
	if got := strings.Count(placesIn(many.Overlooked("", "").Err), ",") + 1; got != maxNames {
		t.Errorf("%d places are named, want %d", got, maxNames)
	}
	crowded := refreshAnswer(http.StatusOK, "")
	for i := range maxNames + 5 {
		crowded.Header.Add("Set-Cookie", strings.Repeat("x", i+1)+"accesstoken=a")
	}
	fail := &Failure{Op: OpRefresh, Err: ErrNotUsable}
	if crowded.answersUnread(fail, nil); strings.Count(placesIn(fail.Err), ",")+1 != maxNames {
		t.Errorf("of many cookies these are named, want %d: %s", maxNames, placesIn(fail.Err))
	}
}

// manyMembers returns n members with a refresh token each.
func manyMembers(n int) string {
	var all []string
	for i := range n {
		all = append(all, `"`+strings.Repeat("x", i+1)+`_refresh_token":"r"`)
	}
	return strings.Join(all, ",")
}

func TestTheTokenThatWasSentIsKnownInEveryForm(t *testing.T) {
	for spent, forms := range map[string][]string{
		"a/b":   {"a/b", "a%2Fb", `"a/b"`, `"a%2Fb"`},
		"a b/c": {"a+b%2Fc", "a%20b%2Fc"},
		"a+b/c": {"a+b%2Fc", "a%2Bb%2Fc"},
		"a%zz":  {"a%zz"},
	} {
		a := refreshAnswer(http.StatusOK, "")
		a.Settings.Spent = spent
		for _, form := range forms {
			if a.isAnother(form) {
				t.Errorf("%s counts as another one than %s", form, spent)
			}
		}
		for _, form := range []string{"", " ", "null", "undefined"} {
			if a.isAnother(form) {
				t.Errorf("%q counts as a token", form)
			}
		}
		for _, form := range []string{"a", "a/c", "a%", spent + "x"} {
			if !a.isAnother(form) {
				t.Errorf("%s counts as %s", form, spent)
			}
		}
	}
}

func TestCookiesAreReadThatNoUserAgentKeeps(t *testing.T) {
	a := refreshAnswer(http.StatusOK, "", "Set-Cookie: =nameless", "Set-Cookie: valueless", "Set-Cookie: empty= ; Path=/", `Set-Cookie: doc={"a":"x;y"}`,
		"Set-Cookie:  sp = v ; Secure", "Set-Cookie: gone=1; max-age=-1", "Set-Cookie: kept=1; max-age=5; expires=Thu, 01 Jan 1970 00:00:00 GMT", "Set-Cookie: odd=1; max-age=soon")
	want := []cookie{{"doc", `{"a":"x;y"}`}, {"sp", "v"}, {"kept", "1"}, {"odd", "1"}}
	if got := a.cookies(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestTokensAreFoundBesideTheMembers(t *testing.T) {
	const twenty, nineteen = "abcdefghij1234567890", "abcdefghij123456789"
	for name, tt := range map[string]struct {
		body    string
		headers []string
		page    bool
		want    string // the setting and the places; "no" for an answer that brings none
	}{
		"nothing":                    {"", nil, false, "no"},
		"an object":                  {`{"ok":1}`, nil, false, "no"},
		"a JWT alone":                {jwtText, nil, false, ":"},
		"a JWT in quotes":            {`"` + jwtText + `"`, nil, false, ":"},
		"an opaque one alone":        {"12|" + twenty, nil, false, ":"},
		"the beginning of an object": {`{"access_token":"` + twenty, nil, false, "no"},
		"a word alone":               {"OK", nil, false, "no"},
		"with its scheme":            {`"Bearer ` + twenty + `"`, nil, false, ":"},
		"a long mixed word":          {`"` + twenty + `"`, nil, false, ":"},
		"one that is shorter":        {`"` + nineteen + `"`, nil, false, "no"},
		"letters alone":              {`"abcdefghijabcdefghijabcdefghij"`, nil, false, "no"},
		"digits alone":               {`"123456789012345678901234567890"`, nil, false, "no"},
		"a sentence":                 {`"your session number 1 was renewed"`, nil, false, "no"},
		"a list":                     {`["` + twenty + `"]`, nil, false, ":"},
		"a list of words":            {`["renewed"]`, nil, false, "no"},
		"unknown compression":        {"\x1b\x03", []string{"Content-Encoding: br"}, false, ":"},
		"compressed, and empty":      {"", []string{"Content-Encoding: br"}, false, "no"},
		"known compression":          {"\x1b\x03", []string{"Content-Encoding: gzip"}, false, "no"},
		"a compressed page":          {"\x1b\x03", []string{"Content-Encoding: br"}, true, "no"},
		"a token in a page":          {`<p><access_token>abcd</access_token>`, nil, true, ":"},
		"a JWT as a page":            {jwtText, nil, true, "no"},
		"an access cookie":           {"", []string{"Set-Cookie: access_token=a"}, false, "RefreshCookie:cookie access_token"},
		"two cookies":                {"", []string{"Set-Cookie: refresh_token=r", "Set-Cookie: access_token=a"}, false, "RefreshCookie:cookie access_token, cookie refresh_token"},
		"a JWT in a cookie":          {"", []string{"Set-Cookie: sid=" + jwtText}, false, "RefreshCookie:cookie sid"},
		"a JWT in a page's cookie":   {"", []string{"Set-Cookie: sid=" + jwtText}, true, "no"},
		"short names":                {"", []string{"Set-Cookie: refresh=r", "Set-Cookie: access=a", "Set-Cookie: auth=b"}, false, "RefreshCookie:cookie access, cookie auth, cookie refresh"},
		"short names of a page":      {"", []string{"Set-Cookie: refresh=r", "Set-Cookie: access=a", "Set-Cookie: auth=b", "Set-Cookie: myjwt=c"}, true, "no"},
		"other suffixes":             {"", []string{"Set-Cookie: my_auth_token=a", "Set-Cookie: myjwt=b", "Set-Cookie: jwt_token=c"}, false, "RefreshCookie:cookie jwt_token, cookie my_auth_token, cookie myjwt"},
		"an access cookie of a page": {"", []string{"Set-Cookie: access_jwt=a"}, true, "RefreshCookie:cookie access_jwt"},
		"a session's cookie":         {"", []string{"Set-Cookie: PHPSESSID=abcdef"}, false, "no"},
		"a script in a page":         {`<script>var s = "access_token" => "abcdef"</script>`, nil, true, "no"},
		"an object in a page":        {`<pre>{&quot;access_token&quot;:&quot;abcdef&quot;}</pre>`, nil, true, ":"},
		"a firewall's":               {"", []string{"Set-Cookie: aws-waf-token=" + jwtText}, false, "no"},
		"a load balancer's":          {"", []string{"Set-Cookie: lb_jwt=" + jwtText}, false, "no"},
		"a form's":                   {"", []string{"Set-Cookie: XSRFaccesstoken=" + jwtText}, false, "no"},
		"another form's":             {"", []string{"Set-Cookie: mycsrfjwt=" + jwtText}, false, "no"},
		"a verification's":           {"", []string{"Set-Cookie: requestverificationjwt=" + jwtText}, false, "no"},
		"a header":                   {"", []string{"X-Access-Token: " + twenty}, false, "AccessHeader:header X-Access-Token"},
		"two headers":                {"", []string{"X-Refresh-Token: r", "X-Auth-Token: a"}, false, "AccessHeader:header X-Auth-Token, header X-Refresh-Token"},
		"a scheme in Authorization":  {"", []string{"Authorization: Bearer abc"}, false, "AccessHeader:header Authorization"},
		"Authorization of a word":    {"", []string{"Authorization: required"}, false, "no"},
		"a refusal with cookies":     {`{"success":false}`, []string{"Set-Cookie: access_token=a"}, false, "no"},
		"members and cookies":        {`{"ok":true}`, []string{"Set-Cookie: access_token=a"}, false, "RefreshCookie:ok, cookie access_token"},
	} {
		a := refreshAnswer(http.StatusOK, tt.body, tt.headers...)
		fail := &Failure{Op: OpRefresh, Err: ErrNotUsable, Page: tt.page}
		got := "no"
		if a.answersUnread(fail, a.Members()) {
			got = fail.Field + ":" + placesIn(fail.Err)
			if fail.Kind != ErrMisconfigured || !errors.Is(fail.Err, ErrUnreadAnswer) || fail.Hint == "" {
				t.Errorf("%s: %#v", name, fail)
			}
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	redirect := &Failure{Op: OpRefresh, Err: ErrRedirect}
	if a := refreshAnswer(http.StatusFound, jwtText); a.answersUnread(redirect, nil) {
		t.Error("what the body of a redirect says counts")
	}
	nameless := refreshAnswer(http.StatusOK, "")
	nameless.Header = http.Header{"X-Auth-Token": nil, "bad name auth token": {"abc"}}
	if nameless.answersUnread(&Failure{Op: OpRefresh, Err: ErrNotUsable}, nil) {
		t.Error("a header without a value, or with a name that is not one, counts")
	}
}

func TestACodeIsARefusalByItsNumber(t *testing.T) {
	for text, want := range map[string]bool{"399": false, "400": true, "401": true, "599": true, "600": false, "令牌已失效": true, "ok": false, "failed": true} {
		if got := denies(text); got != want {
			t.Errorf("%q denies: %v, want %v", text, got, want)
		}
	}
	for body, want := range map[string]bool{`{"data":{"a":1}}`: true, `{"data":{}}`: false, `{"code":1}`: false, `{"Result":{"a":1}}`: true, `{"data":"a"}`: false} {
		if got := carries(members(t, body)); got != want {
			t.Errorf("%s carries something: %v, want %v", body, got, want)
		}
	}
}

func TestTheRefreshTokenIsTakenInAnySpelling(t *testing.T) {
	for body, want := range map[string]string{
		`{"refreshToken":"r"}`:                                "r",
		`{"refresh_token":"ours","refreshToken":"r"}`:         "ours",
		`{"refresh_token":"","refreshToken":"r"}`:             "r",
		`{"refresh_token":null,"refresh-token":"r"}`:          "r",
		`{"refresh_token":{"x":[1]},"refreshToken":"r"}`:      "", // what stands there is not the one that was sent
		`{"refreshToken":"ö"}`:                                "",
		`{"new_refresh_token":"r"}`:                           "",
		`{"RefreshToken":"first","refreshToken":"second"}`:    "first",
		`{"refresh_token":["r"],"refreshToken":"not in use"}`: "r",
	} {
		fields := members(t, body)
		FindRefreshToken(fields)
		if got := member.Token(fields["refresh_token"]); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
	moved := members(t, `{"refreshToken":"r","refresh_tokens":"s"}`)
	if FindRefreshToken(moved); len(moved) != 2 || moved["refreshToken"] != nil {
		t.Errorf("the token stands in the object twice: %s", moved)
	}
}
