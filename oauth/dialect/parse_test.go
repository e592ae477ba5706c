package dialect_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/dialect"
)

// ready are the ready-made dialects, and one in which every field of a dialect is set.
var ready = map[string]func() dialect.Dialect{
	"kratos": dialect.Kratos, "sanic-jwt": dialect.SanicJWT, "gin-jwt": dialect.GinJWT, "gin-jwt 2": dialect.GinJWT2,
	"aspnet": dialect.ASPNET, "cookie": dialect.Cookie, "full": full,
}

func full() dialect.Dialect {
	end := func(path string, fields ...dialect.Field) dialect.Request {
		return dialect.Request{Method: "DELETE", Path: path, Fields: fields}
	}
	token := dialect.Field{Value: dialect.AccessToken, Place: dialect.InAuthorization, Name: "JWT"}
	return dialect.Dialect{
		Name: "full",
		Login: dialect.Request{Method: "PUT", Path: "/{device_id}/login", Encoding: dialect.EncodeForm, Fields: []dialect.Field{
			{Value: dialect.BasicCredentials, Place: dialect.InAuthorization, Name: "Basic"},
			{Value: dialect.Further("otp"), Place: dialect.InBody, Name: "otp"},
			{Fixed: "acme", Place: dialect.InHeader, Name: "X-Tenant"},
			{Fixed: "password", Place: dialect.InQuery, Name: "grant_type"},
		}},
		Refresh: dialect.Request{Method: "PATCH", Path: "/sessions/{claim.sid}", Encoding: dialect.EncodeJSON, Fields: []dialect.Field{
			{Value: dialect.RefreshToken, Place: dialect.InCookie, Name: "rt"},
			{Template: `Token token="{access_token}"`, Place: dialect.InHeader, Name: "Authorization"},
			{Fixed: "true", Place: dialect.InBody, Name: "remember", JSON: true},
		}, Errors: []dialect.Error{
			{Status: 401, Means: oauth.ErrTokenInvalid},
			{Code: "50014", Means: oauth.ErrTokenExpired}, {Code: "R", Means: oauth.ErrTokenReused},
			{Code: "U", Means: oauth.ErrUserNotFound}, {Code: "N", Means: oauth.ErrRefreshTokenRequired}, {Code: "C", Means: oauth.ErrClientRefused},
			{Code: "L", Means: oauth.ErrLoginRequired}, {Code: "T", Means: oauth.ErrTransient}, {Code: "M", Means: oauth.ErrMisconfigured},
		}},
		Revocations: []dialect.Request{end("/token", token)},
		Logout:      end("/sessions/{answer.session.id}", token),
		Answer: dialect.Answer{
			AccessToken: "jwt data.access_token", RefreshToken: "rt", TokenType: "kind", ExpiresIn: "ttl", Scope: "may", IDToken: "id",
			RefreshExpiresIn: "rttl", ExpiresAt: "meta.end", RefreshExpiresAt: "rend", TokenPath: "result", AccessCookie: "at", RefreshCookie: "rt",
			AccessHeader: "X-Access", RefreshHeader: "X-Refresh", ErrorCodes: []string{"error.reason", "code"},
		},
		Grace:        30 * time.Second,
		Presentation: oauth.Presentation{Cookie: "at", SignatureCookie: "sig"},
	}
}

func TestEveryDialectRoundTripsThroughItsForms(t *testing.T) {
	for name, made := range ready {
		t.Run(name, func(t *testing.T) {
			want := made()
			asJSON, err := json.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			asYAML, err := yaml.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			for form, data := range map[string][]byte{"JSON": asJSON, "YAML": asYAML} {
				if got, err := dialect.Parse(data); err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("%s\n%s is read as %+v, %v", form, data, got, err)
				}
			}
			var got [2]dialect.Dialect
			if err := json.Unmarshal(asJSON, &got[0]); err != nil || !reflect.DeepEqual(got[0], want) {
				t.Errorf("json.Unmarshal: %+v, %v", got[0], err)
			}
			if err := yaml.Unmarshal(asYAML, &got[1]); err != nil || !reflect.DeepEqual(got[1], want) {
				t.Errorf("yaml.Unmarshal: %+v, %v", got[1], err)
			}
			held := struct{ Dialect *dialect.Dialect }{&want} // behind a pointer, as a program's own file has it
			if data, err := json.Marshal(held); err != nil || !strings.Contains(string(data), string(asJSON)) {
				t.Errorf("within a program's own file: %s, %v", data, err)
			}
		})
	}
}

// A field that the form does not have would be lost in every file, without a word.
func TestTheFormHasEveryField(t *testing.T) {
	seen := make(map[string]bool)
	var look func(v reflect.Value)
	look = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Slice:
			for i := range v.Len() {
				look(v.Index(i))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				name := v.Type().Name() + "." + v.Type().Field(i).Name
				seen[name] = seen[name] || !v.Field(i).IsZero()
				if v.Field(i).Kind() != reflect.Interface {
					look(v.Field(i))
				}
			}
		}
	}
	look(reflect.ValueOf(full()))
	d := full()
	d.Presentation = oauth.Presentation{Header: "X-Token", Scheme: "Token"}
	look(reflect.ValueOf(d.Presentation))
	for name, set := range seen {
		if !set {
			t.Errorf("%s is not tried", name)
		}
	}
	data, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := dialect.Parse(data); err != nil || got.Presentation != d.Presentation {
		t.Errorf("read as %+v, %v", got.Presentation, err)
	}
}

func TestADialectThatCannotBeUsedIsNotWritten(t *testing.T) {
	for name, edit := range map[string]func(*dialect.Dialect){
		"an unknown meaning": func(d *dialect.Dialect) { d.Refresh.Errors[0].Means = errors.New("s3cret") },
		"no refresh":         func(d *dialect.Dialect) { d.Refresh.Path = "" },
	} {
		d := dialect.Kratos()
		edit(&d)
		if data, err := json.Marshal(d); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: written as %s, %v", name, data, err)
		}
	}
}

// least is a dialect in YAML with as little as there can be, to which a mistake is added.
const least = "refresh:\n  path: /r\n  fields:\n    - {value: refresh_token, place: body, name: rt}\n"

func TestMistakesInAFormNameTheirField(t *testing.T) {
	const secret = "s3cret-value-0815"
	for _, tt := range []struct {
		text, path string
		line       int
	}{
		{least + "colour: " + secret, "colour", 5},
		{least + "login: {path: /l, feilds: []}", "login.feilds", 5},
		{least + secret + "!: 1", "(a name that is not a word)", 5},
		{least + "name: 12", "name", 5},
		{least + "name: true", "name", 5},
		{least + "name: [" + secret + "]", "name", 5},
		{least + "name:", "name", 5},
		{least + `name: ""`, "name", 5},
		{least + "name: a\nname: " + secret, "name", 6},
		{least + "login: " + secret, "login", 5},
		{least + "login: {path: l" + secret + "}", "login.path", 5},
		{least + "login: {path: //evil.example/login}", "login.path", 5},
		{least + "login: {path: '/l?token=" + secret + "'}", "login.path", 5},
		{least + "login: {path: '/{password}'}", "login.path", 5},
		{least + "login: {path: '/{further.otp}'}", "login.path", 5},
		{least + "login: {path: '/{answer.id}'}", "login.path", 5},
		{least + "login: {path: '/{open'}", "login.path", 5},
		{least + "login: {path: /a/../login}", "login.path", 5},
		{least + "login: {path: /..}", "login.path", 5},
		{least + "logout: {path: '/s/{access_token}'}", "logout.path", 5},
		{least + "logout: {path: '/s/./{answer.id}'}", "logout.path", 5},
		{least + "logout: {path: \"/l\\r\\nX: y\"}", "logout.path", 5},
		{least + "logout: {path: \"/l\\x7f\"}", "logout.path", 5},
		{least + "logout: {path: '/a b'}", "logout.path", 5},
		{least + "logout: {path: /l, method: TRACE}", "logout.method", 5},
		{least + "login: {path: /l, method: DELETE}", "login.method", 5},
		{least + "logout:\n  path: /l\n  method: GET\n  fields: [{value: refresh_token, place: body, name: a}]", "logout.method", 7},
		{least + "logout: {path: /l, encoding: xml}", "logout.encoding", 5},
		{least + "grace: 30", "grace", 5},
		{least + "grace: 0s", "grace", 5},
		{least + "grace: -1s", "grace", 5},
		{least + "grace: " + secret, "grace", 5},
		{least + "logout:\n  path: /l\n  fields:\n    - {value: refresh_token, place: body, name: a}\n    - {value: " + secret + ", place: body, name: b}", "logout.fields[1].value", 9},
		{least + "logout:\n  path: /l\n  fields:\n    - {value: refresh_token, place: body, name: a}\n    - {value: access_token, place: query, name: b}", "logout.fields[1].place", 9},
		{least + "logout:\n  path: /l\n  fields:\n    - {value: refresh_token, place: body, name: a}\n    - {fixed: a, place: header, name: host}", "logout.fields[1].name", 9},
		{least + "logout:\n  path: /l\n  fields:\n    - {value: refresh_token, place: body, name: a}\n    - {fixed: '3', place: header, name: Content-Length}", "logout.fields[1].name", 9},
		{"refresh:\n  path: /r\n  fields:\n    - {template: 'Token {refresh_tokn}', place: header, name: X-Token}\n", "refresh.fields[0].template", 4},
		{"refresh:\n  path: /r\n  fields:\n    - {value: refresh_tokn, place: body, name: rt}\n", "refresh.fields[0].value", 4},
		{"refresh:\n  path: /r\n  fields:\n    - {fixed: a, place: body, name: rt}\n", "refresh.fields", 4},
		{least + "logout:\n  path: /l\n  fields:\n    - {value: refresh_token, place: body, name: a}\n    - {value: access_token, place: body, name: a}", "logout.fields[1].name", 9},
		{least + "logout:\n  path: /l\n  fields:\n    - {value: refresh_token, place: body, name: a}\n    - {value: access_token, place: body, name: a.b}", "logout.fields[1].name", 9},
		{least + "logout: {path: /l, fields: [{place: body, name: a}]}", "logout.fields[0]", 5},
		{least + "logout: {path: /l, fields: [{value: password, place: body, name: a}]}", "logout.fields[0].value", 5},
		{least + "logout: {path: /l, fields: [{value: answer., place: body, name: a}]}", "logout.fields[0].value", 5},
		{least + "login: {path: /l, fields: [{value: refresh_token, place: body, name: a}]}", "login.fields[0].value", 5},
		{least + "login: {path: /l, fields: [{value: password, fixed: " + secret + ", place: body, name: a}]}", "login.fields[0]", 5},
		{least + "login: {path: /l, fields: [{template: '{pass', place: body, name: a}]}", "login.fields[0].template", 5},
		{least + "login: {path: /l, fields: [{template: '" + secret + "', place: body, name: a}]}", "login.fields[0].template", 5},
		{least + "login: {path: /l, fields: [{template: '{access_token}', place: body, name: a}]}", "login.fields[0].template", 5},
		{least + "login: {path: /l, fields: [{value: password, place: header}]}", "login.fields[0].name", 5},
		{least + `login: {path: /l, fields: [{value: password, place: header, name: "a\r\nb"}]}`, "login.fields[0].name", 5},
		{least + "login: {path: /l, fields: [{value: password, place: body, name: a..b}]}", "login.fields[0].name", 5},
		{least + "login: {path: /l, fields: [{fixed: tru, place: body, name: a, json: true}]}", "login.fields[0].fixed", 5},
		{least + "login: {path: /l, fields: [{fixed: '1', place: header, name: a, json: true}]}", "login.fields[0].json", 5},
		{least + "login: {path: /l, encoding: form, fields: [{fixed: '1', place: body, name: a, json: true}]}", "login.fields[0].json", 5},
		{least + "login: {path: /l, fields: [{fixed: true, place: body, name: a}]}", "login.fields[0].fixed", 5},
		{least + "login: {path: /l, fields: [{fixed: '1', place: body, name: a, json: 'yes'}]}", "login.fields[0].json", 5},
		{least + "login: {path: /l, errors: [{status: '401', means: login_required}]}", "login.errors[0].status", 5},
		{least + "login: {path: /l, errors: [{status: 4.5, means: login_required}]}", "login.errors[0].status", 5},
		{least + "login: {path: /l, errors: [{status: 200, means: login_required}]}", "login.errors[0].status", 5},
		{least + "login: {path: /l, errors: [{status: 401, means: " + secret + "}]}", "login.errors[0].means", 5},
		{least + "login: {path: /l, errors: [{status: 401}]}", "login.errors[0].means", 5},
		{least + "login: {path: /l, errors: [{status: 401, code: A, means: login_required}]}", "login.errors[0].code", 5},
		{least + "answer: {access_token: a b}", "answer.access_token", 5},
		{least + "answer: {access_token: [a, 1]}", "answer.access_token[1]", 5},
		{least + "answer: {access_token: data..a}", "answer.access_token", 5},
		{least + "answer: {error_codes: error}", "answer.error_codes", 5},
		{least + "answer: {error_codes: ['']}", "answer.error_codes[0]", 5},
		{least + "answer: {token_path: a.}", "answer.token_path", 5},
		{least + "answer: {refresh_cookie: 'a b'}", "answer.refresh_cookie", 5},
		{least + "login: {path: /l, fields: [{value: password, place: query, name: p}]}", "login.fields[0].place", 5},
		{least + "login: {path: /l, fields: [{template: 'x{password}', place: query, name: p}]}", "login.fields[0].place", 5},
		{least + "login: {path: /l, fields: [{fixed: " + secret + ", place: query, name: api_token}]}", "login.fields[0].name", 5},
		{least + "login: {path: /l, fields: [{fixed: a, place: query}]}", "login.fields[0].name", 5},
		{least + "login: {path: /l, fields: [{fixed: a, place: query, name: n}, {fixed: b, place: query, name: n}]}", "login.fields[1].name", 5},
		{least + "answer: {access_header: 'a b'}", "answer.access_header", 5},
		{least + "answer: {refresh_header: set-cookie}", "answer.refresh_header", 5},
		{least + "answer: {access_header: X-Token, refresh_header: x-token}", "answer.access_header", 5},
		{least + "presentation: {header: X, cookie: c}", "presentation", 5},
		{least + "presentation: {query: access_token}", "presentation.query", 5},
		{least + "revocations: [{method: DELETE}]", "revocations[0].path", 5},
		{"refresh: {path: /r}", "refresh.fields", 1},
		{"name: x", "refresh.path", 0},
		{least + "login: &a {path: /l}", "login", 5},
		{least + "login: &a {path: /l}\nlogout: *a", "login", 5},
		{least + "&a login: {path: /l}", "login", 5},
		{least + "? &a [b]\n: c", "(a name that is not a word)", 5},
		{least + "name: &a x\n*a : {path: /l}", "name", 5},
		{least + "login: !mine {path: /l}", "login", 5},
		{least + "name: !mine " + secret, "name", 5},
		{least + "name: !!binary " + secret, "name", 5},
		{least + "answer: {access_token: []}", "answer.access_token", 5},
		{least + "presentation: {scheme: none, cookie: c}", "presentation", 5},
		{least + "<<: {name: a}", "(a name that is not a word)", 5},
		{least + "1: a", "1", 5},
		{least + "---\nname: a", "", 5},
		{least + "...\n" + secret + ": [", "", 5},
		{least + "name: [" + secret, "", 4},
		{least + "name: " + secret + ": 1", "", 5},
		{"\t" + secret, "", 0},
		{secret, "", 1},
		{"- a", "", 1},
		{"", "", 0},
		{" \n# nothing\n", "", 0},
		{"\xff\xfe", "", 0},
		{strings.Repeat("[", 5000), "", 0},
		{"name: " + strings.Repeat("[", 200) + strings.Repeat("]", 200), "name" + strings.Repeat("[0]", 100), 1},
		{"name: a #" + strings.Repeat("x", dialect.MaxDocument), "", 0},
		{`{"name": "a", "name": "` + secret + `"}`, "name", 1},
		{"{\n\"refresh\": {\"path\": \"/r\", \"path\": \"/r\"}}", "refresh.path", 2},
		{"{\"refresh\":\n{\"pth\": 1}}", "refresh.pth", 2},
		{`{"refresh": null}`, "refresh", 1},
		{`{"Name": "a"}`, "Name", 1},
		{`{"name": "` + secret + `",}`, "", 1},
		{`{"name": "` + secret, "", 1},
		{"{\"name\":\n" + secret + "}", "", 2},
		{"{\"name\": \"a\"}\n" + secret, "", 2},
		{`{"name": "a"} {}`, "", 1},
		{`{"name": ` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`, "name" + strings.Repeat("[0]", 100), 1},
	} {
		_, err := dialect.Parse([]byte(tt.text))
		fail, ok := errors.AsType[*dialect.ParseError](err)
		name := tt.text[:min(len(tt.text), 300)]
		if !ok || !errors.Is(err, oauth.ErrMisconfigured) {
			t.Errorf("%q: %v; want a ParseError", name, err)
			continue
		}
		if fail.Path != tt.path || fail.Line != tt.line && len(tt.text) < 5000 {
			t.Errorf("%q: %v (line %d, path %q); want line %d, path %q", name, err, fail.Line, fail.Path, tt.line, tt.path)
		}
		if strings.Contains(err.Error(), secret) || strings.ContainsAny(err.Error(), "\n\r\t\x1b") {
			t.Errorf("%q: the error holds a value: %q", name, err)
		}
		if d, _ := dialect.Parse([]byte(tt.text)); !reflect.DeepEqual(d, dialect.Dialect{}) {
			t.Errorf("%q: read in part", name)
		}
	}
}

func TestAFormIsReadAsPeopleWriteIt(t *testing.T) {
	want := dialect.Dialect{Name: "acme", Refresh: dialect.Request{Path: "/r", Fields: []dialect.Field{{Value: dialect.RefreshToken, Place: dialect.InBody, Name: "rt"}}}}
	for _, text := range []string{
		"name: acme\n" + least,
		"\ufeff# ours\n---\nname: acme # for now\n" + least + "...\n",
		"name: 'acme'\r\nrefresh:\r\n  path: /r\r\n  fields:\r\n  - value: refresh_token\r\n    place: body\r\n    name: rt\r\n",
		"name: !!str acme\n" + least,
		"\ufeff \n{\"name\":\"acme\",\n\t\"refresh\":{\"path\":\"\\/r\",\"fields\":[{\"value\":\"refresh_token\",\"place\":\"body\",\"name\":\"rt\"}]}}\n",
	} {
		if got, err := dialect.Parse([]byte(text)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q is read as %+v, %v", text, got, err)
		}
	}
	d, err := dialect.Parse([]byte(least + "answer: {access_token: [jwt, data.token], refresh_token: rt}"))
	if err != nil || d.Answer.AccessToken != "jwt data.token" || d.Answer.RefreshToken != "rt" {
		t.Errorf("names are read as %+v, %v", d.Answer, err)
	}
}

func TestMistakesInOthersFilesAreFoundToo(t *testing.T) {
	var held struct {
		Backend dialect.Dialect `yaml:"backend" json:"backend"`
	}
	for form, err := range map[string]error{
		"JSON":           json.Unmarshal([]byte(`{"backend":{"refresh":{"pth":"/r"}}}`), &held),
		"YAML":           yaml.Unmarshal([]byte("backend: {refresh: {pth: /r}}"), &held),
		"YAML, a number": yaml.Unmarshal([]byte("backend: {refresh: {path: 1}}"), &held),
	} {
		if fail, ok := errors.AsType[*dialect.ParseError](err); !ok || !strings.HasPrefix(fail.Path, "refresh.p") || fail.Line != 0 {
			t.Errorf("%s: %v; want a ParseError about refresh", form, err)
		}
	}
	if !reflect.DeepEqual(held.Backend, dialect.Dialect{}) {
		t.Errorf("read in part: %+v", held.Backend)
	}
}

// The documents in docs/dialects.md are what people copy.
func TestTheExamplesInTheDocumentationAreRead(t *testing.T) {
	text, err := os.ReadFile("../../docs/dialects.md")
	if err != nil {
		t.Fatal(err)
	}
	examples, copied := 0, make(map[string]dialect.Dialect)
	for _, part := range strings.Split(string(text), "```")[1:] {
		language, body, _ := strings.Cut(part, "\n")
		if language != "yaml" && language != "json" {
			continue
		}
		examples++
		d, err := dialect.Parse([]byte(body))
		if err != nil {
			t.Errorf("%v in\n%s", err, body)
		}
		copied[d.Name] = d
	}
	for _, made := range ready {
		if d := made(); d.Name != "full" && !reflect.DeepEqual(copied[d.Name], d) {
			t.Errorf("%s stands there as %+v", d.Name, copied[d.Name])
		}
	}
	if examples < 2 {
		t.Errorf("%d examples; want one in YAML and one in JSON", examples)
	}
	data, err := json.Marshal(full())
	if err != nil {
		t.Fatal(err)
	}
	var form any
	if err := json.Unmarshal(data, &form); err != nil {
		t.Fatal(err)
	}
	for name := range memberNames(form) {
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("docs/dialects.md says nothing of `%s`", name)
		}
	}
}

// memberNames returns the names of all members in a form.
func memberNames(form any) map[string]bool {
	names := make(map[string]bool)
	var look func(any)
	look = func(value any) {
		switch value := value.(type) {
		case map[string]any:
			for name, held := range value {
				names[name] = true
				look(held)
			}
		case []any:
			for _, held := range value {
				look(held)
			}
		}
	}
	look(form)
	return names
}

func FuzzParse(f *testing.F) {
	for _, made := range ready {
		data, err := json.Marshal(made())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		data, err = yaml.Marshal(made())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(least + "login: &a [*a, *a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := dialect.Parse(data)
		if err != nil {
			if _, ok := errors.AsType[*dialect.ParseError](err); !ok {
				t.Fatalf("%v; want a ParseError", err)
			}
			return
		}
		again, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := dialect.Parse(again); err != nil || !reflect.DeepEqual(got, d) {
			t.Fatalf("%s\nis written as %s and read as %+v, %v", data, again, got, err)
		}
	})
}

func ExampleParse() {
	client := func(text string) (*dialect.Client, error) {
		d, err := dialect.Parse([]byte(text))
		if err != nil {
			return nil, err
		}
		return dialect.NewClient(d, dialect.Config{BaseURL: "https://api.example.com"}), nil
	}
	fmt.Println(client(`
name: acme
refresh:
  path: /session/renew
  fields:
    - {value: refresh_token, place: body, name: token}
  errors:
    - {status: 401, code: SESSION_OVER, means: token_expired}
answer:
  access_token: data.jwt
  error_codes: [error.code]
`))
	fmt.Println(client(`
refresh:
  path: /session/renew
  fields:
    - {value: refresh_token, place: query, name: token}
`))
	// Output:
	// dialect.Client{dialect:"acme" base:"https://api.example.com"} <nil>
	// <nil> dialect: line 5: refresh.fields[0].place: has to be body, header, authorization or cookie, or query for what is fixed; addresses end up in logs
}

func TestSchemeNoneIsNoWordBeforeTheToken(t *testing.T) {
	for text, want := range map[string]oauth.Presentation{
		"{scheme: none}":                  {Header: "Authorization"},
		"{scheme: none, header: X-Token}": {Header: "X-Token"},
		"{scheme: JWT}":                   {Scheme: "JWT"},
	} {
		d, err := dialect.Parse([]byte(least + "presentation: " + text))
		if err != nil || d.Presentation != want {
			t.Errorf("%s: %+v, %v; want %+v", text, d.Presentation, err, want)
		}
	}
}

// Of two fields for one place a client would send only the later.
func TestFieldsThatWouldReplaceEachOtherAreRefused(t *testing.T) {
	for fields, field := range map[string]string{
		`{value: refresh_token, place: header, name: X-A}, {fixed: t, place: header, name: x-a}`:                             "fields[1].name",
		`{value: refresh_token, place: authorization}, {value: access_token, place: authorization}`:                          "fields[1].place",
		`{value: refresh_token, place: header, name: authorization}, {value: access_token, place: authorization}`:            "fields[1].place",
		`{value: refresh_token, place: authorization}, {value: access_token, place: header, name: Authorization}`:            "fields[1].name",
		`{value: refresh_token, place: cookie, name: t}, {value: access_token, place: cookie, name: t}`:                      "fields[1].name",
		`{value: refresh_token, place: cookie, name: t}, {fixed: a=b, place: header, name: Cookie}`:                          "fields[1].name",
		`{value: refresh_token, place: cookie, name: t}, {value: access_token, place: cookie, name: T}`:                      "", // two cookies (RFC 6265 section 5.3)
		`{value: refresh_token, place: header, name: t}, {value: access_token, place: cookie, name: t}`:                      "",
		`{value: refresh_token, place: body, name: r}, {fixed: application/vnd.api+json, place: header, name: Content-Type}`: "", // and that is sent
	} {
		_, err := dialect.Parse([]byte("refresh:\n  path: /r\n  fields: [" + fields + "]\n"))
		if field == "" && err != nil || field != "" && (err == nil || !strings.Contains(err.Error(), field)) {
			t.Errorf("%s: %v; want a mistake in %q", fields, err, field)
		}
	}
}
