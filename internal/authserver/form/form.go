// Package form reads and checks the parameters of requests.
package form

import (
	"context"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// maxRequest is far above what any request to this server needs.
const maxRequest = 1 << 20

// Read reads the body and, if it says that it is a form, the form. What cannot be
// read or parsed is as good as absent.
func Read(r *http.Request) ([]byte, url.Values) {
	if r.Body == nil {
		return nil, url.Values{}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest))
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return body, url.Values{}
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return body, url.Values{}
	}
	return body, form
}

// Repeats reports whether a parameter was sent more than once, which RFC 6749
// section 3.2 forbids. resource may repeat (RFC 8707 section 2), and so may what
// the caller excepts.
func Repeats(form url.Values, except ...string) bool {
	for name, values := range form {
		if len(values) > 1 && name != "resource" && !slices.Contains(except, name) {
			return true
		}
	}
	return false
}

// AreResources reports whether all are resource indicators by their form: absolute
// URIs without fragment (RFC 8707 section 2).
func AreResources(resources []string) bool {
	return !slices.ContainsFunc(resources, func(resource string) bool {
		u, err := url.Parse(resource)
		return err != nil || !u.IsAbs() || u.Fragment != ""
	})
}

// HasScope reports whether scope, a space-separated list, has name.
func HasScope(scope, name string) bool { return slices.Contains(strings.Fields(scope), name) }

// Exceeds reports whether scope has a name that granted lacks.
func Exceeds(scope, granted string) bool {
	return slices.ContainsFunc(strings.Fields(scope), func(name string) bool { return !HasScope(granted, name) })
}

// Detached returns a context for work that goes on when the client leaves.
func Detached(r *http.Request) context.Context { return context.WithoutCancel(r.Context()) }
