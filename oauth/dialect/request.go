package dialect

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/evertoken/evertoken/internal/member"
)

// values are what a request carries; absent and empty are the same.
type values map[Value]string

// write returns the header and body that carry values to where r wants them.
func (r Request) write(v values) (http.Header, string, error) {
	header := http.Header{"Accept": {"application/json"}}
	fields := make(map[string]string)
	var cookies []string
	for _, f := range r.Fields {
		value := v[f.Value]
		switch {
		case value == "":
			continue
		case f.Place == InBody:
			fields[f.Name] = value
			continue
		case !member.UsableToken(value) || f.Place == InCookie && !fitsCookie(value):
			return nil, "", fmt.Errorf("the %s has characters that no %s can carry", f.Value, f.Place)
		}
		switch f.Place {
		case InHeader:
			header.Set(f.Name, value)
		case InAuthorization:
			header.Set("Authorization", cmp.Or(f.Name, "Bearer")+" "+value)
		case InCookie:
			cookies = append(cookies, f.Name+"="+value)
		}
	}
	if len(cookies) > 0 {
		header.Set("Cookie", strings.Join(cookies, "; "))
	}
	if len(fields) == 0 {
		return header, "", nil
	}
	kind, body := r.Encoding.encode(fields)
	header.Set("Content-Type", kind)
	return header, body, nil
}

// encode returns the media type and the body for fields, of which there is one.
func (e Encoding) encode(fields map[string]string) (mediaType, body string) {
	if e == EncodeForm {
		form := make(url.Values, len(fields))
		for name, value := range fields {
			form.Set(name, value)
		}
		return "application/x-www-form-urlencoded", form.Encode()
	}
	var content any = fields
	if e == EncodeJSONString {
		for _, value := range fields {
			content = value
		}
	}
	text, _ := json.Marshal(content) // strings never fail
	return "application/json", string(text)
}

// fitsCookie reports whether a value in printable ASCII survives in a Cookie
// header. RFC 6265 forbids more than the semicolon, but a cookie that came like
// that goes back like that.
func fitsCookie(value string) bool { return !strings.Contains(value, ";") }
