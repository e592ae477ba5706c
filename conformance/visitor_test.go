package conformance

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// A visitor is a person whose browser knows HTTP, cookies and forms, and no
// scripts. Every login has a new one.
type visitor struct {
	t      *testing.T
	client *http.Client
}

func newVisitor(t *testing.T) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t: t, client: &http.Client{Jar: jar, Timeout: stepLimit}}
}

// walk opens a page and sends off every form it meets, until there is none: with
// what the person answers, where a field's name is in answers, or else what the
// form proposes.
func (v *visitor) walk(address string, answers map[string]string) {
	v.t.Helper()
	resp := v.do(http.MethodGet, address, "", nil)
	for range 10 {
		form := firstForm(v.page(resp))
		if form == nil {
			return
		}
		target, err := resp.Request.URL.Parse(attribute(form, "action"))
		if err != nil {
			v.t.Fatal(err)
		}
		fields := url.Values{}
		for n := range form.Descendants() {
			if name := attribute(n, "name"); n.Type == html.ElementNode && n.Data == "input" && name != "" {
				fields.Set(name, attribute(n, "value"))
				if answer, ok := answers[name]; ok {
					fields.Set(name, answer)
				}
			}
		}
		resp = v.do(http.MethodPost, target.String(), "application/x-www-form-urlencoded", strings.NewReader(fields.Encode()))
	}
	v.t.Fatalf("no end of forms; the last one is at %s", resp.Request.URL.Path)
}

// do sends a request and follows where the answer leads.
func (v *visitor) do(method, address, contentType string, body io.Reader) *http.Response {
	v.t.Helper()
	req, err := http.NewRequestWithContext(v.t.Context(), method, address, body)
	if err != nil {
		v.t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := v.client.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	return resp
}

// page reads a page, which must not be an error.
func (v *visitor) page(resp *http.Response) *html.Node {
	v.t.Helper()
	defer resp.Body.Close()
	root, err := html.Parse(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		v.t.Fatalf("the browser shows %s at %s", resp.Status, resp.Request.URL.Path)
	}
	return root
}

func firstForm(root *html.Node) *html.Node {
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && n.Data == "form" {
			return n
		}
	}
	return nil
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
