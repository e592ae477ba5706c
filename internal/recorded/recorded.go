// Package recorded plays what real home-grown backends were asked and what they answered,
// to the backends themselves and to their twins in oauthtest. So both are held to the same
// record.
//
// A record is a file of answers: what was seen, where, and then step by step
//
//	== the step's name
//	! something that happens at the server first, such as "user gone"
//	> POST /auth/refresh
//	> Content-Type: application/json
//	> {"refresh_token":"$refresh"}
//	< 401 application/json
//	< WWW-Authenticate: -
//	< {"exception":"AuthenticationFailed","reasons":["Authentication failed."]}
//
// In a request $name is what an earlier answer had in the place of $name, or nothing. In an
// answer it is any text that is not empty, and so is $* , which is not kept. A header that
// is - must be absent; those that are not named can be what they like, but a cookie that is
// not named must not be set. An object has just the members that are named.
package recorded

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

//go:embed answers/*.txt
var files embed.FS

// A Step is one request and what was answered.
type Step struct {
	Name    string
	Before  []string // what happens at the server first
	Request []string // lines
	Answer  []string
}

// Read returns the steps of the record of this name.
func Read(name string) ([]Step, error) {
	text, err := files.ReadFile("answers/" + name + ".txt")
	if err != nil {
		return nil, err
	}
	var steps []Step
	for n, line := range strings.Split(string(text), "\n") {
		kind, rest, _ := strings.Cut(line, " ")
		if kind == "==" {
			steps = append(steps, Step{Name: rest})
			continue
		}
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if len(steps) == 0 {
			return nil, fmt.Errorf("%s:%d: a line before the first step", name, n+1)
		}
		step := &steps[len(steps)-1]
		switch kind {
		case "!":
			step.Before = append(step.Before, rest)
		case ">":
			step.Request = append(step.Request, rest)
		case "<":
			step.Answer = append(step.Answer, rest)
		default:
			return nil, fmt.Errorf("%s:%d: %q begins no line", name, n+1, kind)
		}
	}
	return steps, nil
}

// A Player asks a server what a record has.
type Player struct {
	// Send carries a request out. Its URL has only a path.
	Send func(*http.Request) (*http.Response, error)
	// Do makes the events of a record happen, by name.
	Do map[string]func()

	known map[string]string
}

// Play asks all that the record of this name has, and fails t where an answer is not as
// recorded.
func (p *Player) Play(t *testing.T, name string) {
	t.Helper()
	steps, err := Read(name)
	if err != nil {
		t.Fatal(err)
	}
	p.known = make(map[string]string)
	for _, step := range steps {
		for _, event := range step.Before {
			if p.Do[event] == nil {
				t.Fatalf("%s, %s: no event of this name: %s", name, step.Name, event)
			}
			p.Do[event]()
		}
		if len(step.Request) == 0 {
			continue
		}
		resp, err := p.Send(p.request(step.Request))
		if err != nil {
			t.Fatalf("%s, %s: %v", name, step.Name, err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			t.Fatalf("%s, %s: %v", name, step.Name, err)
		}
		if err := p.compare(resp, body, step.Answer); err != nil {
			t.Errorf("%s, %s: %v\nanswered: %d %v %s", name, step.Name, err, resp.StatusCode, resp.Header, body)
		}
	}
}

var (
	variable   = regexp.MustCompile(`\$[a-z*]+`)
	headerLine = regexp.MustCompile(`^([A-Za-z-]+): (.*)$`)
)

// request returns the request of the lines.
func (p *Player) request(lines []string) *http.Request {
	fill := func(line string, write func(string) string) string {
		return variable.ReplaceAllStringFunc(line, func(name string) string { return write(p.known[name]) })
	}
	plain := func(text string) string { return text }
	method, path, _ := strings.Cut(lines[0], " ")
	path = fill(path, url.QueryEscape)
	header, body := http.Header{}, ""
	for _, line := range lines[1:] {
		m := headerLine.FindStringSubmatch(line)
		switch {
		case m != nil && body == "":
			header.Add(m[1], fill(m[2], plain))
		case header.Get("Content-Type") == "application/x-www-form-urlencoded":
			body += fill(line, url.QueryEscape)
		default:
			body += fill(line, plain)
		}
	}
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.RequestURI, r.Header = "", header
	if body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	return r
}

// compare returns how an answer differs from what is recorded.
func (p *Player) compare(resp *http.Response, body []byte, want []string) error {
	status, media, _ := strings.Cut(want[0], " ")
	if strconv.Itoa(resp.StatusCode) != status {
		return fmt.Errorf("status %d, recorded is %s", resp.StatusCode, status)
	}
	if got, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); got != media {
		return fmt.Errorf("the media type %q, recorded is %q", got, media)
	}
	var text string
	cookies := slices.Clone(resp.Header["Set-Cookie"])
	for _, line := range want[1:] {
		m := headerLine.FindStringSubmatch(line)
		switch {
		case m == nil:
			text += line
		case m[1] == "Set-Cookie":
			i := slices.IndexFunc(cookies, func(got string) bool { return p.fits(got, m[2]) })
			if i < 0 {
				return fmt.Errorf("no cookie is %s", m[2])
			}
			cookies = slices.Delete(cookies, i, i+1)
		case m[2] == "-" && resp.Header.Get(m[1]) != "", m[2] != "-" && !p.fits(resp.Header.Get(m[1]), m[2]):
			return fmt.Errorf("%s is %q, recorded is %q", m[1], resp.Header.Get(m[1]), m[2])
		}
	}
	if len(cookies) > 0 {
		return fmt.Errorf("%d cookies that are not recorded", len(cookies))
	}
	return p.compareBody(body, text)
}

func (p *Player) compareBody(body []byte, want string) error {
	var recorded, got any
	if json.Unmarshal([]byte(want), &recorded) != nil {
		if strings.TrimSpace(string(body)) != want {
			return fmt.Errorf("the body is another one than %q", want)
		}
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&got); err != nil {
		return fmt.Errorf("no JSON: %w", err)
	}
	return p.alike("", got, recorded)
}

// alike returns where a value differs from the recorded one.
func (p *Player) alike(path string, got, want any) error {
	differs := fmt.Errorf("%s is %v, recorded is %v", strings.TrimPrefix(path, "."), got, want)
	switch want := want.(type) {
	case map[string]any:
		fields, ok := got.(map[string]any)
		if !ok || !slices.Equal(slices.Sorted(maps.Keys(fields)), slices.Sorted(maps.Keys(want))) {
			return differs
		}
		for name := range want {
			if err := p.alike(path+"."+name, fields[name], want[name]); err != nil {
				return err
			}
		}
		return nil
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return differs
		}
		for i := range want {
			if err := p.alike(path+"."+strconv.Itoa(i), list[i], want[i]); err != nil {
				return err
			}
		}
		return nil
	case string:
		text, ok := got.(string)
		if !ok && want == "$number" {
			_, ok = got.(float64)
			text = "1"
		}
		if !ok || !p.fits(text, want) {
			return differs
		}
		return nil
	}
	if got != want {
		return differs
	}
	return nil
}

// fits reports whether a text is like the recorded one, and keeps what it has in the
// places of names.
func (p *Player) fits(text, pattern string) bool {
	expr, last := "", 0
	var names []string
	for _, at := range variable.FindAllStringIndex(pattern, -1) {
		expr += regexp.QuoteMeta(pattern[last:at[0]]) + `([^;]+)`
		names, last = append(names, pattern[at[0]:at[1]]), at[1]
	}
	m := regexp.MustCompile("^" + expr + regexp.QuoteMeta(pattern[last:]) + "$").FindStringSubmatch(text)
	if m == nil {
		return false
	}
	for i, name := range names {
		p.known[name] = m[i+1]
	}
	return true
}
