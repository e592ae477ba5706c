package dialect

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth"
)

// A Value is something that a request can carry.
type Value string

const (
	Username Value = "username"
	Password Value = "password"
	// BasicCredentials are name and password as HTTP Basic has them (RFC 7617 section 2):
	// {Value: BasicCredentials, Place: InAuthorization, Name: "Basic"}.
	BasicCredentials Value = "basic_credentials"
	RefreshToken     Value = "refresh_token"
	// AccessToken is the pair's access token, dead or alive.
	AccessToken Value = "access_token"
	// DeviceID is Config.DeviceID.
	DeviceID Value = "device_id"
)

const (
	further = "further."
	answer  = "answer."
	claim   = "claim."
)

// Further returns the value that [Client.LoginWith] is given under a name: a one-time code,
// the answer to a captcha.
func Further(name string) Value { return Value(further + name) }

// Member returns the value of a further member of the backend's last answer with tokens, a
// text or a number: the identifier of a session, by which it is ended. The name is found as
// those in [Answer] are. It can be in a path, so it must not be a secret.
func Member(name string) Value { return Value(answer + name) }

// Claim returns the value of a claim of the access token, a text or a number, if that is a
// JWT: the identifier of a session. The token is not verified. It can be in a path, so it
// must not be a secret.
func Claim(name string) Value { return Value(claim + name) }

// further returns the name that v was given by Further.
func (v Value) further() (string, bool) { return strings.CutPrefix(string(v), further) }

// named reports whether v is one of the values that have a name of the dialect's own.
func (v Value) named(prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool {
		return len(v) > len(prefix) && strings.HasPrefix(string(v), prefix)
	})
}

// shown is what errors call v. A name of the dialect's own is left out.
func (v Value) shown() string {
	switch kind, _, _ := strings.Cut(string(v), "."); kind + "." {
	case further:
		return "further field"
	case answer:
		return "member of the last answer"
	case claim:
		return "claim of the access token"
	}
	return strings.ReplaceAll(string(v), "_", " ")
}

// values are what a request carries; absent and empty are the same.
type values map[Value]string

// ofLogin returns what a login can carry. A name with a colon cannot be in HTTP Basic.
func ofLogin(username, password, deviceID string, more map[string]string) values {
	v := values{Username: username, Password: password, DeviceID: deviceID}
	if username != "" && !strings.Contains(username, ":") { // RFC 7617 section 2
		v[BasicCredentials] = base64.StdEncoding.EncodeToString([]byte(username + ":" + password))
	}
	for name, value := range more {
		v[Further(name)] = value
	}
	return v
}

// ofPair returns what a request about t can carry, of which needed may be named.
func ofPair(t *oauth.TokenPair, deviceID string, needed []Value) values {
	v := values{RefreshToken: t.RefreshToken, AccessToken: t.AccessToken, DeviceID: deviceID}
	_, claims := member.JWT(t.AccessToken)
	for _, value := range needed {
		if name, is := strings.CutPrefix(string(value), answer); is {
			v[value] = nameAt(t.Extra, name)
		}
		if name, is := strings.CutPrefix(string(value), claim); is {
			v[value] = nameAt(claims, name)
		}
	}
	return v
}

// nameAt returns the text or number that a path leads to, or "".
func nameAt(fields member.Fields, path string) string {
	object, last := at(fields, path)
	return object.Name(last)
}

// A piece is a part of a template: a text, or a value in its place.
type piece struct {
	text  string
	value Value
}

// pieces takes a template apart. Two braces stand for one.
func pieces(template string) ([]piece, error) {
	var list []piece
	text := ""
	for template != "" {
		plain := template
		if i := strings.IndexAny(template, "{}"); i >= 0 {
			plain = template[:i]
		}
		text += plain
		template = template[len(plain):]
		switch {
		case template == "":
		case strings.HasPrefix(template, "{{"), strings.HasPrefix(template, "}}"):
			text, template = text+template[:1], template[2:]
		case template[0] == '}':
			return nil, fmt.Errorf("a brace closes that was not opened; write two for one of the text's own")
		default:
			name, rest, closed := strings.Cut(template[1:], "}")
			if !closed || name == "" || strings.Contains(name, "{") {
				return nil, fmt.Errorf("a brace is not closed around the name of a value; write two for one of the text's own")
			}
			list = append(list, piece{text: text}, piece{value: Value(name)})
			text, template = "", rest
		}
	}
	if text != "" {
		list = append(list, piece{text: text})
	}
	return list, nil
}

// valuesOf lists the values in a template.
func valuesOf(template string) []Value {
	list, _ := pieces(template) // a mistake is found by check
	var values []Value
	for _, p := range list {
		if p.value != "" {
			values = append(values, p.value)
		}
	}
	return values
}

// fill puts the values into a template, each as encode has it. It reports false if one is
// missing.
func (v values) fill(template string, encode func(string) string) (string, bool) {
	list, err := pieces(template)
	if err != nil {
		return "", false
	}
	var b strings.Builder
	for _, p := range list {
		if p.value != "" && v[p.value] == "" {
			return "", false
		}
		b.WriteString(cmp.Or(p.text, encode(v[p.value])))
	}
	return b.String(), true
}
