package taint

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/evertoken/evertoken/internal/outside/marks"
)

// members are those of all answers that this module reads.
var members = []string{
	"access_token", "refresh_token", "token_type", "expires_in", "scope", "id_token", "error", "error_description", "error_uri", "code", "message", "detail", "title", "type",
	"device_code", "user_code", "verification_uri", "verification_uri_complete", "verification_url", "interval",
	"issuer", "authorization_endpoint", "token_endpoint", "device_authorization_endpoint", "revocation_endpoint", "userinfo_endpoint", "jwks_uri", "registration_endpoint",
	"token_endpoint_auth_methods_supported", "token_endpoint_auth_signing_alg_values_supported", "scopes_supported",
	"resource", "authorization_servers", "client_id", "client_secret", "registration_client_uri", "registration_access_token", "sub", "name", "request_uri",
}

// A Hostile server answers every request with marks wherever it can put some, and repeats
// there all that the request had, so that whatever of an answer comes out is one or the other.
// With a Status of zero it is not reached, and the error has marks. A redirect goes to
// https://evil.test.
type Hostile struct {
	Status int
	Good   map[string]string // members that are as they should be, in JSON
}

// RoundTrip implements http.RoundTripper.
func (h Hostile) RoundTrip(r *http.Request) (*http.Response, error) {
	said := repeat(r)
	if h.Status == 0 {
		name := marks.Text("host")
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: marks.Text("dns"), Name: name, Server: name, IsNotFound: true}}
	}
	list := make([]string, 0, len(members))
	for _, name := range members {
		value, good := h.Good[name]
		if !good {
			value = JSON(marks.Text(name) + said)
			if strings.HasSuffix(name, "supported") || name == "authorization_servers" {
				value = "[" + value + "]"
			}
		}
		list = append(list, JSON(name)+":"+value)
	}
	text := marks.Text("header") + said
	return &http.Response{
		StatusCode: h.Status, Status: fmt.Sprint(h.Status, text), Proto: text, Request: r,
		Header: http.Header{
			"Content-Type": {text}, "Location": {"https://evil.test/?" + url.QueryEscape(text)}, "Retry-After": {text}, "Date": {text}, "Set-Cookie": {text},
			"Www-Authenticate": {text, "Bearer error=\"" + text + "\", scope=\"" + text + "\", resource_metadata=\"" + text + "\"", text + " a=b"}, "Dpop-Nonce": {text},
		},
		Body: io.NopCloser(strings.NewReader("{" + strings.Join(list, ",") + "}")), ContentLength: -1,
	}, nil
}

// repeat returns what a request has, decoded: its query, its headers and its form.
func repeat(r *http.Request) string {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		_ = r.Body.Close()
	}
	var list []string
	for _, values := range r.Header {
		for _, value := range values {
			list = append(list, value)
			if basic, is := strings.CutPrefix(value, "Basic "); is {
				decoded, _ := base64.StdEncoding.DecodeString(basic)
				list = append(list, string(decoded))
			}
		}
	}
	for _, encoded := range []string{r.URL.RawQuery, string(body)} {
		list = append(list, encoded)
		form, _ := url.ParseQuery(encoded)
		for _, values := range form {
			list = append(list, values...)
		}
	}
	slices.Sort(list)
	return strings.Join(slices.Compact(list), " ")
}

// JSON writes a string as a server does that escapes no more than it has to.
func JSON(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' {
			fmt.Fprintf(&b, `\u%04x`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String() + `"`
}
