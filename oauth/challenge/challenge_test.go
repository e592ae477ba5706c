package challenge

import (
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/evertoken/evertoken/internal/costmeter"
)

func TestBearerChallengeIsFoundAmongOthers(t *testing.T) {
	type params = map[string]string
	for _, tt := range []struct {
		name  string
		lines []string
		want  params // nil: there is no Bearer challenge
	}{
		{"no header", nil, nil},
		{"empty header", []string{""}, nil},
		{"bare", []string{"Bearer"}, params{}},
		{"RFC 6750 section 3", []string{`Bearer realm="example", error="invalid_token", error_description="The access token expired"`},
			params{"realm": "example", "error": "invalid_token", "error_description": "The access token expired"}},
		{"any case", []string{`bEARER Error="insufficient_scope", SCOPE="a b"`}, params{"error": "insufficient_scope", "scope": "a b"}},
		{"unquoted", []string{`Bearer error=invalid_token`}, params{"error": "invalid_token"}},
		{"spaces around", []string{`  Bearer   error = "invalid_token" ,scope = "a" `}, params{"error": "invalid_token", "scope": "a"}},
		{"on the second line", []string{`Basic realm="x"`, `Bearer error="invalid_token"`}, params{"error": "invalid_token"}},
		{"second on one line", []string{`Basic realm="x", charset="UTF-8", Bearer error="invalid_token"`}, params{"error": "invalid_token"}},
		{"first on one line", []string{`Bearer error="invalid_token", DPoP algs="ES256", error="use_dpop_nonce"`}, params{"error": "invalid_token"}},
		{"after credentials", []string{`Negotiate YIIa/9==, Bearer scope="a"`}, params{"scope": "a"}},
		{"bare before another", []string{`Bearer, Basic realm="x"`}, params{}},
		{"comma and quotes in a value", []string{`Bearer error_description="no, \"really\", Basic realm=\\", error="invalid_token"`},
			params{"error_description": `no, "really", Basic realm=\`, "error": "invalid_token"}},
		{"empty items", []string{`, ,Bearer,, error="invalid_token",`}, params{"error": "invalid_token"}},
		{"other schemes", []string{`Basic realm="x"`, `DPoP error="invalid_token"`, `BearerX a=b`}, nil},
		{"no scheme", []string{`error="invalid_token"`}, nil},
		{"quote never closed", []string{`Bearer realm="x, error="`}, params{"realm": `x, error=`}},
		{"empty values", []string{`Bearer a=, b="", c="`}, params{"a": "", "b": "", "c": ""}},
		{"no commas", []string{`Bearer error="invalid_token" error_description="it, expired"`},
			params{"error": "invalid_token", "error_description": "it, expired"}},
		{"credentials that look like a scheme", []string{`Negotiate Bearer, Basic realm="x"`}, nil},
		{"quotes that belong to nothing", []string{`"Bearer, a=b", Basic realm="x"`, `Bearer "a, Basic realm=x" scope=s`}, params{"scope": "s"}},
		{"no text at all", []string{`"`, `=`, `,`, `\`}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Params(http.Header{"Www-Authenticate": tt.lines}, "Bearer")
			if (got == nil) != (tt.want == nil) || !maps.Equal(got, tt.want) {
				t.Errorf("challenge %v; want %v", got, tt.want)
			}
		})
	}
}

func TestParameterIsFoundInAnyChallenge(t *testing.T) {
	for name, tt := range map[string]struct {
		lines []string
		want  string
	}{
		"alone":                {[]string{`Bearer resource_metadata="https://a.test/m"`}, "https://a.test/m"},
		"among others":         {[]string{`Bearer realm="x", error="invalid_token", resource_metadata="m", scope="a b"`}, "m"},
		"in another challenge": {[]string{`Basic realm="x", DPoP algs="ES256", resource_metadata="m"`}, "m"},
		"in another line":      {[]string{`Negotiate`, `Bearer resource_metadata="m"`}, "m"},
		"after credentials":    {[]string{`Negotiate abc==, Bearer resource_metadata="m"`}, "m"},
		"without quotes":       {[]string{`Bearer resource_metadata=https://a.test/m`}, "https://a.test/m"},
		"in capitals":          {[]string{`bearer Resource_Metadata = "m"`}, "m"},
		"escaped":              {[]string{`Bearer realm="a\"b", resource_metadata="m\"n\\o"`}, `m"n\o`},
		"inside quotes":        {[]string{`Bearer error_description="see resource_metadata=evil, resource_metadata=worse", resource_metadata="m"`}, "m"},
		"as part of a name":    {[]string{`Bearer x_resource_metadata="evil"`}, ""},
		"first of two":         {[]string{`Bearer resource_metadata="m", resource_metadata="n"`}, "m"},
		"none":                 {[]string{`Bearer realm="x"`}, ""},
		"no header":            {nil, ""},
	} {
		if got := Param(http.Header{"Www-Authenticate": tt.lines}, "resource_metadata"); got != tt.want {
			t.Errorf("%s: got %q; want %q", name, got, tt.want)
		}
	}
}

func TestChallengesAreReadInOrder(t *testing.T) {
	for name, tt := range map[string]struct {
		lines []string
		want  string
	}{
		"none":                         {nil, ""},
		"schemes of one line":          {[]string{`Bearer realm="a", Basic realm="b", Negotiate`}, "Bearer[realm=a] Basic[realm=b] Negotiate[]"},
		"schemes of several":           {[]string{`Negotiate`, `Bearer a=b`, `DPoP algs="ES256 RS256"`}, "Negotiate[] Bearer[a=b] DPoP[algs=ES256 RS256]"},
		"token68":                      {[]string{`Negotiate YII/+-._~aZ0==`, `NTLM abc`}, "Negotiate[]YII/+-._~aZ0== NTLM[]abc"},
		"token68 with one =":           {[]string{`Negotiate YIIa=`}, "Negotiate[]YIIa="},
		"token68 with one = in a list": {[]string{`Negotiate YIIa=, Bearer scope="x"`}, "Negotiate[]YIIa= Bearer[scope=x]"},
		"token68 with a comma behind":  {[]string{`Negotiate YIIa=,`}, "Negotiate[]YIIa="},
		"empty value before another":   {[]string{`Bearer a=, b=c`}, "Bearer[a= b=c]"},
		"three =":                      {[]string{`Negotiate a===,Basic realm=x`}, "Negotiate[]a=== Basic[realm=x]"},
		"a word before parameters":     {[]string{`Bearer token error="invalid_token"`}, "Bearer[error=invalid_token]"},
		"a line goes on with nothing":  {[]string{`Bearer`, `error="invalid_token"`}, "Bearer[]"},
		"bare ones":                    {[]string{`A, B, C`}, "A[] B[] C[]"},
	} {
		if got := shown(Parse(http.Header{"Www-Authenticate": tt.lines})); got != tt.want {
			t.Errorf("%s: got %s; want %s", name, got, tt.want)
		}
	}
}

// shown lists challenges with their parameters, sorted by name.
func shown(list []Challenge) string {
	var all []string
	for _, c := range list {
		var params []string
		for _, name := range slices.Sorted(maps.Keys(c.Params)) {
			params = append(params, name+"="+c.Params[name])
		}
		all = append(all, c.Scheme+"["+strings.Join(params, " ")+"]"+c.Token68)
	}
	return strings.Join(all, " ")
}

func TestWhatAnAPIWantsIsRead(t *testing.T) {
	c, found := Find(http.Header{"Www-Authenticate": {`Basic realm="x", bearer error="insufficient_user_authentication", ` +
		`scope="  a  b ", acr_values="gold silver", max_age="5", resource_metadata="https://api.test/meta"`}}, "Bearer")
	if !found || c.Code() != "insufficient_user_authentication" || !c.WantsLogin() || c.ResourceMetadata() != "https://api.test/meta" ||
		!slices.Equal(c.Scopes(), []string{"a", "b"}) || !slices.Equal(c.ACRValues(), []string{"gold", "silver"}) {
		t.Errorf("got %v: code %q, scopes %q, acr %q", c, c.Code(), c.Scopes(), c.ACRValues())
	}
	for sent, want := range map[string]time.Duration{
		`max_age=5`: 5 * time.Second, `max_age="3600"`: time.Hour, `max_age="0"`: 0,
		`max_age=""`: -1, `max_age="-1"`: -1, `max_age="1.5"`: -1, `max_age="soon"`: -1, `max_age=99999999999999999999`: -1, `a=b`: -1,
	} {
		c, _ := Find(http.Header{"Www-Authenticate": {"Bearer " + sent}}, "Bearer")
		if got, told := c.MaxAge(); told != (want >= 0) || told && got != want {
			t.Errorf("%s: got %v, %v; want %v", sent, got, told, want)
		}
	}
	if c, found := Find(nil, "Bearer"); found || c.WantsLogin() || len(c.Scopes()) != 0 || len(c.ACRValues()) != 0 {
		t.Errorf("no header: got %v", c)
	}
}

// A 401 may be as large as a server likes.
func TestOnlySoMuchIsRead(t *testing.T) {
	filler := "Basic realm=\"" + strings.Repeat("x", maxRead-100) + "\""
	for name, tt := range map[string]struct {
		lines []string
		want  bool
	}{
		"within":             {[]string{filler, "Bearer scope=abcdefgh"}, true},
		"on the line":        {[]string{filler + ", Bearer scope=abcdefgh"}, true},
		"behind":             {[]string{filler, strings.Repeat(" ", 200), "Bearer scope=abcdefgh"}, false},
		"behind on the line": {[]string{filler + strings.Repeat(" ", 200) + ", Bearer scope=abcdefgh"}, false},
		"value cut in two":   {[]string{filler, "Bearer realm=12345678901234567890123456789012345678901234567890123456789012345, scope=abcdefgh"}, false},
		"a line behind it":   {[]string{filler, strings.Repeat("Basic ", 50), "Bearer scope=abcdefgh"}, false},
	} {
		scope := Param(http.Header{"Www-Authenticate": tt.lines}, "scope")
		if (scope == "abcdefgh") != tt.want || scope != "" && scope != "abcdefgh" {
			t.Errorf("%s: got %q; want it: %t", name, scope, tt.want)
		}
	}
	for cut := range 120 { // wherever the limit falls, no half of anything
		line := strings.Repeat(" ", maxRead-cut) + `Negotiate YIIabcdef==, Bearer scope="abc def", error=invalid_token`
		for _, c := range Parse(http.Header{"Www-Authenticate": {line}}) {
			bad := c.Scheme != "Negotiate" && c.Scheme != "Bearer" || c.Token68 != "" && c.Token68 != "YIIabcdef=="
			for name, value := range c.Params {
				bad = bad || name+"="+value != "scope=abc def" && name+"="+value != "error=invalid_token"
			}
			if bad {
				t.Errorf("limit %d bytes into the line: got %s", cut, shown([]Challenge{c}))
			}
		}
	}
}

// A challenge that is all delimiters, schemes or openings costs no more than its length.
func TestChallengesCostNoMoreThanTheirLength(t *testing.T) {
	for _, item := range []string{",", " ", "a", "\"", "=", "a ", "a,", "a=", "a=,", "A b=,", "a=b,", "a=\"", "\\", "A a=,,", "A a= ", "é", "\"\""} {
		parser := func(size int) func() {
			line := strings.Repeat(item, size/len(item))
			return func() { Parse(http.Header{"Www-Authenticate": {line}}) }
		}
		name := fmt.Sprintf("%q", item)
		costmeter.Check(t, name, maxRead, costmeter.Limit{PerByte: 250, Fixed: 1 << 20}, parser(2*maxRead))
		costmeter.CheckWork(t, name, 16*maxRead, parser)
	}
}

func TestChallengePrintsQuotedAndWithoutValues(t *testing.T) {
	c := Challenge{Scheme: "Bea\x1b[31mrer", Token68: "PLANTED", Params: map[string]string{"error\x1b": "PLANTED\x1b"}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if got := fmt.Sprintf(verb, c); strings.Contains(got, "\x1b") || strings.Contains(got, "PLANTED") {
			t.Errorf("%s prints %q", verb, got)
		}
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "challenge", c)
	if strings.Contains(log.String(), "PLANTED") {
		t.Errorf("logged %s", log.String())
	}
}

func FuzzChallenge(f *testing.F) {
	f.Add(`Bearer realm="example", error="invalid_token"`, "a b")
	f.Add(`Basic realm="x", Bearer error=insufficient_scope, scope="a, b"`, `"\`)
	f.Add(`"Bearer`, `, Basic realm=`)
	f.Add(`" ,=`, "")
	f.Add(`Negotiate YIIa=, Bearer a=, b="c"`, "gold")
	f.Add(`Bearer error="insufficient_user_authentication", acr_values="a b", max_age="5"`, "5")
	f.Add("Negotiate YII==,\tBearer\x00=\xff", "=")
	f.Fuzz(func(t *testing.T, line, value string) {
		list := Parse(http.Header{"Www-Authenticate": {line}})
		for _, c := range list {
			if c.Scheme == "" || strings.ContainsAny(c.Scheme, " \t\",=") {
				t.Errorf("scheme %q of %q", c.Scheme, line)
			}
			for name := range c.Params {
				if name == "" || name != strings.ToLower(name) || strings.ContainsAny(name, " \t\",=") {
					t.Errorf("parameter %q of %q; want a name in lower case", name, line)
				}
			}
		}
		// A line that is not understood must not hide the next one.
		if Params(http.Header{"Www-Authenticate": {line, "Bearer"}}, "Bearer") == nil {
			t.Errorf("%q hides the Bearer challenge on the next line", line)
		}
		if !utf8.ValidString(value) {
			return
		}
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
		got := Params(http.Header{"Www-Authenticate": {"Bearer scope=" + quoted + ", error=x"}}, "Bearer")
		if got["scope"] != value || got["error"] != "x" {
			t.Errorf("quoted value %q came back as %q (error %q)", value, got["scope"], got["error"])
		}
	})
}
