package oauthtest_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// A result is what a client sees of an answer.
type result struct {
	status int
	header http.Header
	body   string
	err    error // of the request, or of reading the body
}

func (r result) field(t *testing.T, name string) any {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal([]byte(r.body), &fields); err != nil {
		t.Fatalf("HTTP %d (%v): the body is not a JSON object: %q", r.status, r.err, r.body)
	}
	return fields[name]
}

func (r result) text(t *testing.T, name string) string {
	t.Helper()
	s, _ := r.field(t, name).(string)
	return s
}

func (r result) wantError(t *testing.T, status int, code string) {
	t.Helper()
	if r.err != nil || r.status != status || r.text(t, "error") != code {
		t.Fatalf("HTTP %d %s (%v); want %d %s", r.status, r.body, r.err, status, code)
	}
}

func (r result) wantOK(t *testing.T) result {
	t.Helper()
	if r.err != nil || r.status != http.StatusOK {
		t.Fatalf("HTTP %d %s (%v); want 200", r.status, r.body, r.err)
	}
	return r
}

func send(c *http.Client, r *http.Request) result {
	resp, err := c.Do(r)
	if err != nil {
		return result{err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return result{resp.StatusCode, resp.Header, string(body), err}
}

func post(ctx context.Context, c *http.Client, target string, form url.Values) result {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(form.Encode()))
	if err != nil {
		return result{err: err}
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return send(c, r)
}

func get(ctx context.Context, c *http.Client, target, token string) result {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return result{err: err}
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return send(c, r)
}

// form makes a public client's form from names and values.
func form(pairs ...string) url.Values {
	v := url.Values{"client_id": {oauthtest.DefaultClientID}}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v
}

// refresh spends a refresh token in process.
func refresh(ctx context.Context, s *oauthtest.Server, token string) result {
	return post(ctx, s.Client(), s.Endpoint(oauthtest.TokenEndpoint), form("grant_type", "refresh_token", "refresh_token", token))
}

// login returns alice's first tokens.
func login(t *testing.T, s *oauthtest.Server) (access, refresh string) {
	t.Helper()
	pair, err := s.Login("alice")
	if err != nil {
		t.Fatal(err)
	}
	return pair.AccessToken, pair.RefreshToken
}

func wantMistakes(t *testing.T, s *oauthtest.Server, want ...oauthtest.MistakeKind) {
	t.Helper()
	got := s.Audit()
	ok := len(got) == len(want)
	for i := range got {
		ok = ok && got[i].Kind == want[i]
	}
	if !ok {
		t.Errorf("Audit() = %v; want %v", got, want)
	}
}

// resourceStatus asks the protected resource with an access token.
func resourceStatus(t *testing.T, s *oauthtest.Server, access string) int {
	t.Helper()
	r := get(t.Context(), s.Client(), s.Resource(), access)
	if r.err != nil {
		t.Fatal(r.err)
	}
	return r.status
}
