package dialect

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/evertoken/evertoken/internal/member"
)

// values lists what r can carry, in its fields and its path.
func (r Request) values() []Value {
	list := valuesOf(r.Path)
	for _, f := range r.Fields {
		if f.Value != "" {
			list = append(list, f.Value)
		}
		list = append(list, valuesOf(f.Template)...)
	}
	return list
}

// Carries reports whether a request can carry a value, in a field or in its path.
func (r Request) Carries(value Value) bool { return slices.Contains(r.values(), value) }

// empty reports whether r carries values and all of them are missing.
func (r Request) empty(v values) bool {
	list := r.values()
	return len(list) > 0 && !slices.ContainsFunc(list, func(value Value) bool {
		return v[value] != "" && value != DeviceID
	})
}

// nests reports whether a dot in the name of a field leads into an object.
func (r Request) nests() bool { return cmp.Or(r.Encoding, EncodeJSON) == EncodeJSON }

// address returns where r goes: its path, and the query behind it.
func (r Request) address(v values) (string, error) {
	path, err := r.path(v)
	query := make(url.Values)
	for _, f := range r.Fields {
		if f.Place == InQuery {
			query.Set(f.Name, f.Fixed)
		}
	}
	if err != nil || len(query) == 0 {
		return path, err
	}
	return path + "?" + query.Encode(), nil
}

func (r Request) path(v values) (string, error) {
	path, whole := v.fill(r.Path, url.PathEscape)
	if !whole {
		for _, value := range valuesOf(r.Path) {
			if v[value] == "" {
				return "", fmt.Errorf("the path needs the %s, which is not known", value.shown())
			}
		}
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == "." || part == ".." { // would lead to another endpoint
			return "", fmt.Errorf("a value in the path leads elsewhere")
		}
	}
	return path, nil
}

// content returns what f sends, and false if a value is missing.
func (f Field) content(v values) (string, bool) {
	text := cmp.Or(f.Fixed, v[f.Value])
	if f.Template != "" {
		text, _ = v.fill(f.Template, func(value string) string { return value })
	}
	return text, text != ""
}

// shown is what errors call the content of f.
func (f Field) shown() string {
	for _, value := range append(valuesOf(f.Template), f.Value) {
		if value != "" {
			return value.shown()
		}
	}
	return "fixed text"
}

// fits reports whether a content can travel where f has it.
func (f Field) fits(text string, v values) bool {
	if f.Place == InBody || f.Place == InQuery { // which are encoded
		return !f.JSON || json.Valid([]byte(text))
	}
	if strings.Contains(f.Template, `"`) { // a quoted string (RFC 9110 section 5.6.4)
		for _, value := range valuesOf(f.Template) {
			if strings.ContainsAny(v[value], `"\`) {
				return false
			}
		}
	}
	return member.UsableToken(text) && (f.Place != InCookie || fitsCookie(text))
}

// write returns the header and body that carry values to where r wants them.
func (r Request) write(v values) (http.Header, string, error) {
	header := http.Header{"Accept": {"application/json"}}
	fields := make(map[string]any)
	var cookies []string
	for _, f := range r.Fields {
		text, given := f.content(v)
		switch {
		case !given:
			continue
		case !f.fits(text, v):
			return nil, "", fmt.Errorf("the %s cannot be sent in the %s as the dialect wants it", f.shown(), f.Place)
		}
		switch f.Place {
		case InBody:
			if fields[f.Name] = text; f.JSON {
				fields[f.Name] = json.RawMessage(text)
			}
		case InHeader:
			header.Set(f.Name, text)
		case InAuthorization:
			header.Set("Authorization", cmp.Or(f.Name, "Bearer")+" "+text)
		case InCookie:
			cookies = append(cookies, f.Name+"="+text)
		}
	}
	if len(cookies) > 0 {
		header.Set("Cookie", strings.Join(cookies, "; "))
	}
	if r.bodiless(len(fields)) {
		return header, "", nil
	}
	kind, body := r.Encoding.encode(fields)
	if header.Get("Content-Type") == "" { // a backend can want application/vnd.api+json
		header.Set("Content-Type", kind)
	}
	return header, body, nil
}

// bodiless reports whether r has no body, of which so many fields are a part.
func (r Request) bodiless(fields int) bool {
	switch {
	case r.Method == http.MethodGet:
		return true
	case fields > 0:
		return false
	}
	return r.Method == http.MethodDelete || !r.nests()
}

// encode returns the media type and the body for fields.
func (e Encoding) encode(fields map[string]any) (mediaType, body string) {
	var content any
	switch e {
	case EncodeForm:
		form := make(url.Values, len(fields))
		for name, value := range fields {
			form.Set(name, fmt.Sprint(value))
		}
		return "application/x-www-form-urlencoded", form.Encode()
	case EncodeJSONString:
		for _, value := range fields {
			content = value
		}
	default:
		content = nested(fields)
	}
	text, _ := json.Marshal(content) // neither strings nor what is JSON fails
	return "application/json", string(text)
}

// hasInCookie reports whether a value travels in the cookie of this name.
func (r Request) hasInCookie(value Value, name string) bool {
	return slices.ContainsFunc(r.Fields, func(f Field) bool { return f.Value == value && f.Place == InCookie && f.Name == name })
}

// fitsCookie reports whether a value in printable ASCII survives in a Cookie
// header. RFC 6265 forbids more than the semicolon, but a cookie that came like
// that goes back like that.
func fitsCookie(value string) bool { return !strings.Contains(value, ";") }
