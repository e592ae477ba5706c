package challenge

import (
	"maps"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"
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

func FuzzChallenge(f *testing.F) {
	f.Add(`Bearer realm="example", error="invalid_token"`, "a b")
	f.Add(`Basic realm="x", Bearer error=insufficient_scope, scope="a, b"`, `"\`)
	f.Add(`"Bearer`, `, Basic realm=`)
	f.Add(`" ,=`, "")
	f.Add("Negotiate YII==,\tBearer\x00=\xff", "=")
	f.Fuzz(func(t *testing.T, line, value string) {
		for _, c := range parse(line) {
			for name := range c.params {
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
