package wire

import (
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
)

// A server sets cookies with every answer, each time others, and the program's jar stays small.
func TestF93_CookiesDoNotPileUpInAJar(t *testing.T) {
	for name, cookie := range map[string]func(n int) string{
		"names":     func(n int) string { return fmt.Sprintf("c%d=v; Path=/", n) },
		"no path":   func(n int) string { return fmt.Sprintf("c%d=v", n) },
		"paths":     func(n int) string { return fmt.Sprintf("c=v; Path=/oauth/p%d", n) },
		"long":      func(n int) string { return fmt.Sprintf("c%d=%s; Path=/", n, strings.Repeat("v", maxCookie)) },
		"of a root": func(n int) string { return fmt.Sprintf("c%d=v; Path=/; Domain=auth.test", n) },
	} {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		n, most := 0, 0
		client := requestClient(&http.Client{Jar: jar, Transport: trip(func(r *http.Request) (*http.Response, error) {
			most = max(most, len(r.Header.Get("Cookie")))
			h := http.Header{}
			for range 100 {
				h.Add("Set-Cookie", cookie(n))
				n++
			}
			return &http.Response{StatusCode: http.StatusOK, Header: h, Body: http.NoBody, Request: r}, nil
		})})
		for range 20 {
			resp, err := client.Get("https://auth.test/oauth/token")
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
		}
		all := 0
		for i := range n {
			u := &url.URL{Scheme: "https", Host: "auth.test", Path: fmt.Sprintf("/oauth/p%d", i)}
			if name != "paths" {
				u.Path = "/oauth/token"
			}
			all = max(all, len(jar.Cookies(u)))
		}
		if all > maxCookies || most > maxCookies*maxCookie || name == "paths" && all > 0 {
			t.Errorf("%s: %d cookies, and %d bytes of them in a request", name, all, most)
		}
	}
}

type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// What load balancers do goes on: a cookie comes back, is replaced also in a full jar, and goes.
func TestCookiesOfALoadBalancerComeBack(t *testing.T) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	j, u := boundedJar{jar}, &url.URL{Scheme: "https", Host: "auth.test", Path: "/oauth/token"}
	set := func(cookies ...*http.Cookie) { j.SetCookies(u, cookies) }
	has := func(name string) string {
		for _, c := range j.Cookies(u) {
			if c.Name == name {
				return c.Value
			}
		}
		return ""
	}
	set(&http.Cookie{Name: "lb", Value: "1", Path: "/"}, &http.Cookie{Name: "deep", Value: "1", Path: "/oauth"}, &http.Cookie{Name: "same", Value: "1", Path: "/oauth/token"})
	for i := range 2 * maxCookies {
		set(&http.Cookie{Name: fmt.Sprint("c", i), Value: "v", Path: "/"})
	}
	set(&http.Cookie{Name: "lb", Value: "2", Path: "/"})
	if has("lb") != "2" || has("deep") != "1" || has("same") != "1" || len(j.Cookies(u)) != maxCookies {
		t.Errorf("lb %q, deep %q, same %q of %d", has("lb"), has("deep"), has("same"), len(j.Cookies(u)))
	}
	set(&http.Cookie{Name: "lb", Path: "/", MaxAge: -1})
	if has("lb") != "" {
		t.Error("a cookie cannot be deleted")
	}
}
