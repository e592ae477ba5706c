package oauthtest_test

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// surf returns a browser: the in-process client with cookies, which stops at the
// callback.
func surf(s *oauthtest.Server) *http.Client {
	c := s.Client()
	c.Jar, _ = cookiejar.New(nil)
	c.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), s.URL) {
			return nil
		}
		return http.ErrUseLastResponse
	}
	return c
}

var hidden = regexp.MustCompile(`name="csrf" value="([0-9a-f]+)"`)

func csrfOf(t *testing.T, page string) string {
	t.Helper()
	m := hidden.FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("the page has no CSRF token:\n%s", page)
	}
	return m[1]
}

// signIn opens target and signs alice in.
func signIn(t *testing.T, s *oauthtest.Server, c *http.Client, target string) result {
	t.Helper()
	first := get(t.Context(), c, target, "").wantOK(t)
	next := strings.TrimPrefix(target, s.URL)
	return post(t.Context(), c, s.Endpoint(oauthtest.LoginEndpoint), url.Values{
		"csrf": {csrfOf(t, first.body)}, "next": {next}, "username": {"alice"}, "password": {"wonderland"},
	}).wantOK(t)
}

var (
	inputTag  = regexp.MustCompile(`<input [^>]*>`)
	inputID   = regexp.MustCompile(` id="([^"]+)"`)
	buttonTag = regexp.MustCompile(`<button [^>]*>([^<]*)</button>`)
)

// wantAccessible checks what a page owes to people and to test drivers.
func wantAccessible(t *testing.T, name, page string, ids ...string) {
	t.Helper()
	for _, part := range []string{`<!DOCTYPE html>`, `<html lang="en">`, `<meta name="viewport"`, `<main>`, `<h1>`, `<title>`} {
		if strings.Count(page, part) != 1 {
			t.Errorf("%s: %s is not there exactly once", name, part)
		}
	}
	if strings.Contains(page, "<script") || strings.Contains(page, " on") && regexp.MustCompile(`<[^>]* on[a-z]+=`).MatchString(page) {
		t.Errorf("%s: has scripts", name)
	}
	for _, tag := range inputTag.FindAllString(page, -1) {
		if strings.Contains(tag, `type="hidden"`) {
			continue
		}
		id := inputID.FindStringSubmatch(tag)
		if id == nil || !strings.Contains(page, `<label for="`+id[1]+`">`) {
			t.Errorf("%s: %s has no label", name, tag)
		}
	}
	for _, button := range buttonTag.FindAllStringSubmatch(page, -1) {
		if strings.TrimSpace(button[1]) == "" {
			t.Errorf("%s: a button without text", name)
		}
	}
	for _, id := range ids {
		if strings.Count(page, ` id="`+id+`"`) != 1 {
			t.Errorf("%s: #%s is not there exactly once", name, id)
		}
	}
}

func TestPagesAreAccessibleAndProtected(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	c := surf(s)
	loginPage := get(t.Context(), c, authURL(s), "").wantOK(t)
	wantAccessible(t, "login", loginPage.body, "username", "password", "login")
	consent := signIn(t, s, c, authURL(s))
	wantAccessible(t, "consent", consent.body, "allow", "deny")
	device := get(t.Context(), c, s.Endpoint(oauthtest.DeviceEndpoint), "").wantOK(t)
	wantAccessible(t, "device", device.body, "user_code", "continue")
	d := startDevice(t, s)
	confirm := get(t.Context(), c, d.text(t, "verification_uri_complete"), "").wantOK(t)
	wantAccessible(t, "device consent", confirm.body, "allow", "deny")
	wrong := get(t.Context(), c, authURL(s, "client_id", "nobody"), "")
	wantAccessible(t, "message", wrong.body)

	for name, page := range map[string]result{"login": loginPage, "consent": consent, "device": device, "message": wrong} {
		csp := page.header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || page.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: headers %v; want a strict policy and no-store", name, page.header)
		}
	}
	// Browsers hold form-action against the redirect after the form as well.
	if csp := consent.header.Get("Content-Security-Policy"); !strings.HasSuffix(csp, "form-action 'self' http://127.0.0.1:5555") {
		t.Errorf("consent: policy %q does not let the browser return to the client", csp)
	}
	style := get(t.Context(), c, s.URL+"/style.css", "").wantOK(t)
	if !strings.HasPrefix(style.header.Get("Content-Type"), "text/css") || !strings.Contains(loginPage.body, `href="/style.css"`) {
		t.Error("the pages have no style sheet")
	}
}

func TestPagesEscapeWhatTheyShow(t *testing.T) {
	const evil = `"><script>alert(1)</script>`
	s := oauthtest.New(oauthtest.Config{
		Users:   map[string]string{"alice": "wonderland", evil: "x"},
		Clients: []oauthtest.RegisteredClient{{ID: evil}},
	})
	c := surf(s)
	page := get(t.Context(), c, authURL(s, "state", evil, "scope", evil, "client_id", evil), "").wantOK(t)
	failed := post(t.Context(), c, s.Endpoint(oauthtest.LoginEndpoint), url.Values{
		"csrf": {csrfOf(t, page.body)}, "next": {"/device?user_code=" + evil}, "username": {evil}, "password": {"wrong"},
	})
	if failed.status != http.StatusForbidden || !strings.Contains(failed.body, `role="alert"`) {
		t.Errorf("HTTP %d; want the form with an alert", failed.status)
	}
	consent := post(t.Context(), c, s.Endpoint(oauthtest.LoginEndpoint), url.Values{
		"csrf": {csrfOf(t, page.body)}, "next": {strings.TrimPrefix(authURL(s, "state", evil, "scope", evil, "client_id", evil), s.URL)},
		"username": {evil}, "password": {"x"},
	}).wantOK(t)
	device := get(t.Context(), c, s.Endpoint(oauthtest.DeviceEndpoint)+"?user_code="+url.QueryEscape(evil), "")
	for name, body := range map[string]string{"login": page.body, "failed": failed.body, "consent": consent.body, "device": device.body} {
		if strings.Contains(strings.ToLower(body), "<script") {
			t.Errorf("%s: shows input unescaped:\n%s", name, body)
		}
	}
	if !strings.Contains(consent.body, "&lt;script&gt;") {
		t.Error("consent: does not show who asks")
	}
}

func TestFormsOfStrangersAreRefused(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	c := surf(s)
	consent := signIn(t, s, c, authURL(s))
	csrf := csrfOf(t, consent.body)
	d := startDevice(t, s)
	deviceForm := func(token string) url.Values {
		return url.Values{"csrf": {token}, "user_code": {d.text(t, "user_code")}, "decision": {"allow"}}
	}
	other := surf(s)
	otherToken := csrfOf(t, get(t.Context(), other, authURL(s), "").wantOK(t).body)

	for name, r := range map[string]result{
		"consent, no token":        post(t.Context(), c, authURL(s), url.Values{"decision": {"allow"}}),
		"consent, another's token": post(t.Context(), c, authURL(s), url.Values{"decision": {"allow"}, "csrf": {otherToken}}),
		"consent, no cookie":       post(t.Context(), s.Client(), authURL(s), url.Values{"decision": {"allow"}, "csrf": {csrf}}),
		"consent, not signed in":   post(t.Context(), other, authURL(s), url.Values{"decision": {"allow"}, "csrf": {otherToken}}),
		"device, no token":         post(t.Context(), c, s.Endpoint(oauthtest.DeviceEndpoint), deviceForm("")),
		"device, not signed in":    post(t.Context(), other, s.Endpoint(oauthtest.DeviceEndpoint), deviceForm(otherToken)),
		"login, no token": post(t.Context(), c, s.Endpoint(oauthtest.LoginEndpoint),
			url.Values{"next": {"/device"}, "username": {"alice"}, "password": {"wonderland"}}),
	} {
		if r.status != http.StatusForbidden {
			t.Errorf("%s: HTTP %d; want 403", name, r.status)
		}
	}
	r := post(t.Context(), c, authURL(s), url.Values{"decision": {"allow"}, "csrf": {csrf}})
	if r.status != http.StatusSeeOther || query(t, r.header.Get("Location")).Get("code") == "" {
		t.Errorf("the real form: HTTP %d; want a redirect with a code", r.status)
	}
}

func TestLoginLeadsNowhereElse(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	c := surf(s)
	csrf := csrfOf(t, get(t.Context(), c, authURL(s), "").wantOK(t).body)
	for _, next := range []string{"https://evil.test/authorize", "//evil.test/authorize", "/token", "", `/\evil.test/authorize`, "http:/authorize"} {
		r := post(t.Context(), c, s.Endpoint(oauthtest.LoginEndpoint), url.Values{
			"csrf": {csrf}, "next": {next}, "username": {"alice"}, "password": {"wonderland"},
		})
		if r.status != http.StatusBadRequest {
			t.Errorf("next %q: HTTP %d to %q; want 400", next, r.status, r.header.Get("Location"))
		}
	}
}

func TestCookies(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	c := s.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	page := get(t.Context(), c, authURL(s), "").wantOK(t)
	before := page.header.Get("Set-Cookie")
	for _, part := range []string{"HttpOnly", "SameSite=Lax", "Secure"} {
		if !strings.Contains(before, part) {
			t.Errorf("cookie %q lacks %s", before, part)
		}
	}
	c.Jar, _ = cookiejar.New(nil)
	csrf := csrfOf(t, get(t.Context(), c, authURL(s), "").wantOK(t).body)
	u, _ := url.Parse(s.URL)
	old := c.Jar.Cookies(u)[0].Value
	r := post(t.Context(), c, s.Endpoint(oauthtest.LoginEndpoint), url.Values{
		"csrf": {csrf}, "next": {"/device"}, "username": {"alice"}, "password": {"wonderland"},
	})
	if r.status != http.StatusSeeOther || c.Jar.Cookies(u)[0].Value == old {
		t.Errorf("HTTP %d; want a redirect and a new cookie, so that nobody can plant one", r.status)
	}
}

func TestARemovedUserIsSignedOut(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	c := surf(s)
	signIn(t, s, c, authURL(s))
	if page := get(t.Context(), c, authURL(s), "").wantOK(t); !strings.Contains(page.body, `id="allow"`) {
		t.Error("a person who is signed in is asked to sign in again")
	}
	s.EndUser("alice")
	if page := get(t.Context(), c, authURL(s), "").wantOK(t); !strings.Contains(page.body, `id="login"`) {
		t.Error("a removed user is still signed in")
	}
}
