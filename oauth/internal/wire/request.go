package wire

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// NewBodiless builds a request without a body. authorization may be empty.
func NewBodiless(ctx context.Context, method, endpoint, authorization string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, endpoint, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	return req, nil
}

// NewJSON builds a request that, like those of NewForm, net/http cannot
// send again on its own.
func NewJSON(ctx context.Context, method, endpoint string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, endpoint, struct{ io.Reader }{bytes.NewReader(body)})
	if err != nil {
		return nil, err
	}
	req.ContentLength = int64(len(body))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	return req, nil
}

// NewForm builds a POST of form. net/http cannot send it again on its own, which
// HTTP/1 and HTTP/2 both would in some cases after a connection broke.
func NewForm(ctx context.Context, endpoint string, form url.Values) (*http.Request, error) {
	req, err := NewPost(ctx, endpoint, form.Encode())
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	return req, nil
}

// NewPost builds a POST of body, which may be empty, without headers. Like that of
// NewForm, net/http cannot send it again on its own.
func NewPost(ctx context.Context, endpoint, body string) (*http.Request, error) {
	// A body that is no *strings.Reader leaves req.GetBody nil, without which net/http
	// cannot send the request a second time.
	var content io.Reader
	if body != "" {
		content = struct{ io.Reader }{strings.NewReader(body)}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, content)
	if err != nil {
		return nil, err
	}
	req.ContentLength = int64(len(body))
	return req, nil
}
