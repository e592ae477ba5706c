package taint

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Servers is a network whose servers are in this process: an http.RoundTripper for each
// origin, such as "https://auth.test". What each receives goes into the Book under that name.
// An origin that is not in At is answered by Else.
type Servers struct {
	Book *Book
	At   map[string]http.RoundTripper
	Else http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (s *Servers) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		body, err = io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil {
			return nil, err
		}
	}
	origin := r.URL.Scheme + "://" + r.URL.Host
	s.Book.Request(origin, RequestText(r, body))
	to := s.At[origin]
	if to == nil {
		to = s.Else
	}
	in := r.Clone(r.Context())
	in.Body = io.NopCloser(bytes.NewReader(body))
	return to.RoundTrip(in)
}

// RequestText is a request as its server sees it.
func RequestText(r *http.Request, body []byte) string {
	var b strings.Builder
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	fmt.Fprintf(&b, "%s %s\nHost: %s\n", r.Method, r.URL.RequestURI(), host)
	_ = r.Header.Write(&b)
	b.Write(body)
	return b.String()
}

// An Issuer is an authorization server among Servers, which tells the Book of the secrets that
// pass: those that clients make, and those that it gives them.
type Issuer struct {
	Book   *Book
	Origin string   // its own
	APIs   []string // origins that its access tokens may go to
	Server http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (i Issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	i.Book.NoteRequest(r, body, i.Origin)
	in := r.Clone(r.Context())
	in.Body = io.NopCloser(bytes.NewReader(body))
	resp, err := i.Server.RoundTrip(in)
	if err != nil {
		return nil, err
	}
	said, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	i.Book.noteAnswer(said, i.Origin, i.APIs)
	resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(said), failing{err}))
	return resp, nil
}

// failing is the end of a body that did not come to a good one, if err is not nil.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return 0, io.EOF
}

// NoteRequest adds the secrets that a client has made for a request to its server.
func (b *Book) NoteRequest(r *http.Request, body []byte, origin string) {
	form, _ := url.ParseQuery(string(body)) // a body that is not a form has none of them
	for _, name := range []string{"client_assertion", "code_verifier", "state", "nonce", "code"} {
		b.Secret(name, form.Get(name), origin)
	}
	b.Secret("proof", r.Header.Get("DPoP"), origin)
}

// noteAnswer adds the secrets in a server's answer.
func (b *Book) noteAnswer(body []byte, origin string, apis []string) {
	var fields map[string]any
	if json.Unmarshal(body, &fields) != nil {
		return
	}
	for _, name := range []string{"access_token", "refresh_token", "id_token", "device_code", "client_secret", "registration_access_token"} {
		value, _ := fields[name].(string)
		b.Secret(name, value, origin)
		if name == "access_token" {
			b.Secret(name, value, apis...)
		}
	}
}
