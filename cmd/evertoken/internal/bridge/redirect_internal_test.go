package bridge

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// hops answers each request by the redirect that its address has, and notes which carried the
// ID of a session.
type hops struct {
	to   map[string]string
	seen []string
}

// RoundTrip implements http.RoundTripper.
func (h *hops) RoundTrip(r *http.Request) (*http.Response, error) {
	address := r.URL.String()
	if r.Header.Get("Mcp-Session-Id") != "" {
		address += " with ID"
	}
	h.seen = append(h.seen, address)
	resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}
	if to := h.to[r.URL.String()]; to != "" {
		resp.StatusCode = http.StatusPermanentRedirect
		resp.Header.Set("Location", to)
	}
	return resp, nil
}

func TestSessionsIDStaysWithItsServer(t *testing.T) {
	const a, b = "https://mcp.test/mcp", "https://evil.test/x"
	for name, tt := range map[string]struct {
		to   map[string]string
		want []string
	}{
		"none":           {nil, []string{a + " with ID"}},
		"within":         {map[string]string{a: "https://MCP.test:443/v2"}, []string{a + " with ID", "https://MCP.test:443/v2 with ID"}},
		"away":           {map[string]string{a: b}, []string{a + " with ID", b}},
		"away and back":  {map[string]string{a: b, b: "https://mcp.test/y"}, []string{a + " with ID", b, "https://mcp.test/y"}},
		"another port":   {map[string]string{a: "https://mcp.test:8443/"}, []string{a + " with ID", "https://mcp.test:8443/"}},
		"another scheme": {map[string]string{a: "http://mcp.test/"}, []string{a + " with ID", "http://mcp.test/"}},
		"a host below":   {map[string]string{a: "https://x.mcp.test/"}, []string{a + " with ID", "https://x.mcp.test/"}},
	} {
		h := &hops{to: tt.to}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		session{id: "id", version: "2025-11-25"}.setHeader(req)
		resp, err := leaving(&http.Client{Transport: h}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if !slices.Equal(h.seen, tt.want) {
			t.Errorf("%s: got %q; want %q", name, h.seen, tt.want)
		}
	}
}

func TestRedirectsEnd(t *testing.T) {
	errNone := errors.New("none is followed")
	for name, tt := range map[string]struct {
		check func(*http.Request, []*http.Request) error
		want  int
	}{
		"by itself":       {nil, maxRedirects},
		"by the client's": {func(*http.Request, []*http.Request) error { return errNone }, 1},
	} {
		h := &hops{to: map[string]string{"https://mcp.test/": "https://mcp.test/"}}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://mcp.test/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := leaving(&http.Client{Transport: h, CheckRedirect: tt.check}).Do(req)
		if err == nil || len(h.seen) != tt.want {
			t.Errorf("%s: %d requests, error %v; want %d and one", name, len(h.seen), err, tt.want)
		}
		if resp != nil {
			resp.Body.Close()
		}
	}
}
