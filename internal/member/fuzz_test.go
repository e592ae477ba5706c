package member

import (
	"encoding/base64"
	"encoding/json"
	"testing"
	"time"
)

// Whatever a token is, both of its parts are objects or nothing, and reading their claims
// gives values that can be counted with.
func FuzzJWT(f *testing.F) {
	part := base64.RawURLEncoding.EncodeToString
	for _, claims := range []string{
		`{"exp":1900000000,"nbf":1899996400}`, `{"exp":1900000000,"iat":1899996400,"jti":7}`, `{"exp":"1900000000","iat":1899996400.5,"sub":12}`,
		`{"iss":"accounts.as.test","aud":["c",7,null],"sub":"1"}`, `{"iss":"https://as.test/{tenantid}/v2.0","aud":"c"}`,
		`{"exp":1e300,"iat":-1e300}`, `{"exp":"NaN","iat":{}}`, `{"exp":253402300800,"iat":-62135596801}`, `{"exp":1.7e12}`, `[]`, `null`, ``,
	} {
		f.Add(part([]byte(`{"alg":"RS256"}`)) + "." + part([]byte(claims)) + ".c2ln")
		f.Add(base64.URLEncoding.EncodeToString([]byte(`{"alg":"none","crit":["x"]}`)) + "." + base64.StdEncoding.EncodeToString([]byte(claims)) + ".")
	}
	f.Add("a.b.c.d.e")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		header, claims := JWT(token)
		for _, fields := range []Fields{header, claims} {
			for name, raw := range fields {
				if !json.Valid(raw) {
					t.Errorf("%q is %q, which is not JSON", name, raw)
				}
				checkValue(t, raw)
			}
		}
	})
}

// FuzzValue tries what a member of an answer can be.
func FuzzValue(f *testing.F) {
	for _, value := range []string{
		`3600`, `"3600"`, `3600.9`, `"3.6e3"`, `-1`, `0`, `1e300`, `-1e300`, `"NaN"`, `"Infinity"`, `"0x10"`, `9223372036854775807`, `9223372036854775808`,
		`"2026-11-20T10:00:00Z"`, `"9999-12-31T23:59:59Z"`, `"Fri, 20 Nov 2026 10:00:00 GMT"`, `"0001-01-01T00:00:00Z"`, `1763632800000`, `1763632800000000000`,
		`["a","b"]`, `["3600"]`, `[[1]]`, `{"a":1}`, `null`, `true`, `"a b  c"`, `"\u0000\ud800"`, `"`, ``, `[`, `"true"`, `{"seconds":5}`,
	} {
		f.Add([]byte(value))
	}
	f.Fuzz(func(t *testing.T, raw []byte) { checkValue(t, raw) })
}

// checkValue reads a value in every way that there is.
func checkValue(t *testing.T, raw json.RawMessage) {
	t.Helper()
	fields := Fields{"m": raw, "scope": raw}
	if seconds, ok := fields.Seconds("m"); !ok && seconds != 0 {
		t.Errorf("%q is not a number of seconds, and %d", raw, seconds)
	}
	for way, at := range map[string]time.Time{"Unix": fields.Unix("m"), "Time": fields.Time("m")} {
		if at.IsZero() {
			continue
		}
		if _, err := json.Marshal(at); err != nil { // as in a record: years up to 9999
			t.Errorf("%q read by %s cannot be saved: %v", raw, way, err)
		}
	}
	for _, name := range append(fields.Names("m"), fields.List("m")...) {
		if len(name) > len(raw)*3 { // what is not UTF-8 becomes a sign of three bytes
			t.Errorf("%q holds the name %q", raw, name)
		}
	}
	_, _, _, _ = fields.Text("m"), fields.Name("m"), fields.Scope(), fields.Says("m")
}
