package oauth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/oauth"
)

const backendURL = "https://api.example.com/v2"

// A scribe answers every request alike, and writes down what was sent.
type scribe struct {
	status   int
	header   http.Header
	body     string
	requests []*http.Request
	bodies   []string
}

func (s *scribe) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent []byte
	if r.Body != nil {
		sent, _ = io.ReadAll(r.Body)
		r.Body.Close()
	}
	s.requests, s.bodies = append(s.requests, r), append(s.bodies, string(sent))
	header := s.header.Clone()
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{StatusCode: s.status, Header: header, Body: io.NopCloser(strings.NewReader(s.body)), Request: r}, nil
}

func (s *scribe) client(d oauth.Dialect) *oauth.DialectClient {
	return oauth.NewDialectClient(d, oauth.DialectConfig{BaseURL: backendURL + "/", DeviceID: "laptop", HTTPClient: &http.Client{Transport: s}})
}

// pairOf has characters that must be encoded.
func pairOf() *oauth.TokenPair {
	return &oauth.TokenPair{AccessToken: "old.access", RefreshToken: `r:+/="&<`}
}

func TestDialectRequestsLookLikeTheBackendWantsThem(t *testing.T) {
	sanicEdited := oauth.SanicJWTDialect()
	sanicEdited.Refresh.Fields = []oauth.DialectField{
		{Value: oauth.DialectAccessToken, Place: oauth.InAuthorization, Name: "JWT"},
		{Value: oauth.DialectRefreshToken, Place: oauth.InHeader, Name: "x-refresh"},
	}
	ginForm := oauth.GinJWTDialect()
	ginForm.Refresh.Encoding = oauth.EncodeForm

	const asJSON, asForm = "application/json", "application/x-www-form-urlencoded"
	for _, tt := range []struct {
		name, op, path, kind, body string
		dialect                    oauth.Dialect
		header                     http.Header
	}{
		{name: "kratos", op: "login", dialect: oauth.KratosDialect(), path: "/api/v1/auth/login", kind: asJSON, body: `{"device_id":"laptop","password":"p\"w","username":"alice"}`},
		{name: "kratos", op: "refresh", dialect: oauth.KratosDialect(), path: "/api/v1/auth/refresh", kind: asJSON, body: `{"device_id":"laptop","refresh_token":"r:+/=\"\u0026\u003c"}`},
		{name: "kratos", op: "revoke", dialect: oauth.KratosDialect(), path: "/api/v1/auth/logout", kind: asJSON, body: `{"refresh_token":"r:+/=\"\u0026\u003c"}`},
		{name: "sanic-jwt", op: "login", dialect: oauth.SanicJWTDialect(), path: "/auth", kind: asJSON, body: `{"password":"p\"w","username":"alice"}`},
		{name: "sanic-jwt", op: "refresh", dialect: oauth.SanicJWTDialect(), path: "/auth/refresh", kind: asJSON, body: `{"refresh_token":"r:+/=\"\u0026\u003c"}`, header: http.Header{"Authorization": {"Bearer old.access"}}},
		{name: "sanic-jwt edited", op: "refresh", dialect: sanicEdited, path: "/auth/refresh", header: http.Header{"Authorization": {"JWT old.access"}, "X-Refresh": {`r:+/="&<`}}},
		{name: "gin-jwt", op: "refresh", dialect: oauth.GinJWTDialect(), path: "/refresh", kind: asJSON, body: `{"refresh_token":"r:+/=\"\u0026\u003c"}`},
		{name: "gin-jwt form", op: "refresh", dialect: ginForm, path: "/refresh", kind: asForm, body: "refresh_token=r%3A%2B%2F%3D%22%26%3C"},
		{name: "gin-jwt cookie", op: "revoke", dialect: oauth.GinJWTDialect().InCookie("rt"), path: "/logout", header: http.Header{"Authorization": {"Bearer old.access"}, "Cookie": {`rt=r:+/="&<`}}},
		{name: "gin-jwt", op: "revoke", dialect: oauth.GinJWTDialect(), path: "/logout", kind: asJSON, body: `{"refresh_token":"r:+/=\"\u0026\u003c"}`, header: http.Header{"Authorization": {"Bearer old.access"}}},
		{name: "aspnet", op: "refresh", dialect: oauth.ASPNETDialect(), path: "/refresh-token", kind: asJSON, body: `"r:+/=\"\u0026\u003c"`},
		{name: "aspnet", op: "revoke", dialect: oauth.ASPNETDialect(), path: "/logout", kind: asJSON, body: `"r:+/=\"\u0026\u003c"`},
		{name: "aspnet in a cookie", op: "refresh", dialect: oauth.ASPNETDialect().InCookie("rt"), path: "/refresh-token", header: http.Header{"Cookie": {`rt=r:+/="&<`}}},
		{name: "cookie", op: "refresh", dialect: oauth.CookieDialect(), path: "/auth/refresh", header: http.Header{"Cookie": {`refresh_token=r:+/="&<`}}},
	} {
		t.Run(tt.name+" "+tt.op, func(t *testing.T) {
			s := &scribe{status: 200, body: `{"access_token":"a","accessToken":"a"}`}
			if err := call(t.Context(), s.client(tt.dialect), tt.op); err != nil {
				t.Fatal(err)
			}
			want := http.Header{"Accept": {"application/json"}}
			if tt.kind != "" {
				want.Set("Content-Type", tt.kind)
			}
			for name, values := range tt.header {
				want[name] = values
			}
			if len(s.requests) != 1 {
				t.Fatalf("%d requests; want one", len(s.requests))
			}
			r := s.requests[0]
			if r.Method != http.MethodPost || r.URL.String() != backendURL+tt.path || s.bodies[0] != tt.body {
				t.Errorf("sent %s %s %s; want POST %s %s", r.Method, r.URL, s.bodies[0], backendURL+tt.path, tt.body)
			}
			if r.ContentLength != int64(len(tt.body)) || r.GetBody != nil {
				t.Errorf("Content-Length %d, can be sent again %v; want %d, false", r.ContentLength, r.GetBody != nil, len(tt.body))
			}
			if fmt.Sprint(r.Header) != fmt.Sprint(want) {
				t.Errorf("header %v; want %v", r.Header, want)
			}
		})
	}
}

// call makes the client's call for op.
func call(ctx context.Context, c *oauth.DialectClient, op string) error {
	var err error
	switch op {
	case "login":
		_, err = c.Login(ctx, "alice", `p"w`)
	case "refresh":
		_, err = c.Refresh(ctx, pairOf())
	case "revoke":
		err = c.Revoke(ctx, pairOf())
	}
	return err
}

func TestDialectKeepsWhatTheAnswerOmits(t *testing.T) {
	s := &scribe{status: 200, body: `{"access_token":"new"}`}
	old := pairOf()
	next, err := s.client(oauth.SanicJWTDialect()).Refresh(t.Context(), old)
	if err != nil || next.AccessToken != "new" || next.RefreshToken != old.RefreshToken {
		t.Errorf("got %v, %v; want the new access token and the old refresh token", next, err)
	}
}

func TestDialectSendsNoCookieOfAJarAndFollowsNoRedirect(t *testing.T) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(backendURL)
	jar.SetCookies(u, []*http.Cookie{{Name: "refresh_token", Value: "of-another-session"}})
	s := &scribe{status: http.StatusTemporaryRedirect, header: http.Header{"Location": {"https://elsewhere.example/"}}}
	c := oauth.NewDialectClient(oauth.CookieDialect(), oauth.DialectConfig{BaseURL: backendURL, HTTPClient: &http.Client{Transport: s, Jar: jar}})
	_, err = c.Refresh(t.Context(), pairOf())
	if !errors.Is(err, oauth.ErrMisconfigured) || len(s.requests) != 1 {
		t.Errorf("%d requests, error %v; want one that is not followed", len(s.requests), err)
	}
	if got := s.requests[0].Header["Cookie"]; len(got) != 1 || strings.Contains(got[0], "another") {
		t.Errorf("cookies %v; want the pair's alone", got)
	}
}

func TestDialectNeedsSomethingToSend(t *testing.T) {
	s := &scribe{status: 200}
	c := s.client(oauth.CookieDialect())
	for _, pair := range []*oauth.TokenPair{nil, {AccessToken: "a"}} {
		_, err := c.Refresh(t.Context(), pair)
		if !errors.Is(err, oauth.ErrLoginRequired) || !errors.Is(err, oauth.ErrRefreshTokenRequired) {
			t.Errorf("Refresh(%v): %v; want ErrRefreshTokenRequired", pair, err)
		}
	}
	for _, evil := range []string{"r; admin=1", "r\r\nX-Evil: 1", "ä"} {
		_, err := c.Refresh(t.Context(), &oauth.TokenPair{RefreshToken: evil})
		if !errors.Is(err, oauth.ErrMisconfigured) || strings.Contains(err.Error(), evil) {
			t.Errorf("a token that breaks a cookie: %v; want ErrMisconfigured without the token", err)
		}
	}
	if err := c.Revoke(t.Context(), nil); !errors.Is(err, oauth.ErrMisconfigured) {
		t.Errorf("Revoke(nil): %v", err)
	}
	if len(s.requests) != 0 {
		t.Errorf("%d requests were sent", len(s.requests))
	}
}

func TestMistakesInADialectAreReported(t *testing.T) {
	for name, edit := range map[string]func(*oauth.Dialect, *oauth.DialectConfig){
		"no refresh path":         func(d *oauth.Dialect, _ *oauth.DialectConfig) { d.Refresh.Path = "" },
		"no refresh token":        func(d *oauth.Dialect, _ *oauth.DialectConfig) { d.Refresh.Fields = nil },
		"path without slash":      func(d *oauth.Dialect, _ *oauth.DialectConfig) { d.Login.Path = ".evil.example/login" },
		"unknown value":           func(d *oauth.Dialect, _ *oauth.DialectConfig) { d.Login.Fields[0].Value = "otp" },
		"unknown place":           func(d *oauth.Dialect, _ *oauth.DialectConfig) { d.Refresh.Fields[0].Place = "query" },
		"field without name":      func(d *oauth.Dialect, _ *oauth.DialectConfig) { d.Refresh.Fields[0].Name = "" },
		"name that breaks a line": func(d *oauth.Dialect, _ *oauth.DialectConfig) { *d = d.InCookie("a\r\nb") },
		"unknown encoding":        func(d *oauth.Dialect, _ *oauth.DialectConfig) { d.Refresh.Encoding = "xml" },
		"two bare strings":        func(d *oauth.Dialect, _ *oauth.DialectConfig) { d.Login.Encoding = oauth.EncodeJSONString },
		"success as an error": func(d *oauth.Dialect, _ *oauth.DialectConfig) {
			d.Refresh.Errors[1] = oauth.DialectError{Status: 200, Means: oauth.ErrTokenInvalid}
		},
		"outage as an error": func(d *oauth.Dialect, _ *oauth.DialectConfig) {
			d.Refresh.Errors[1] = oauth.DialectError{Status: 429, Means: oauth.ErrTokenInvalid}
		},
		"error that fits all":   func(d *oauth.Dialect, _ *oauth.DialectConfig) { d.Login.Errors[0].Status = 0 },
		"error without meaning": func(d *oauth.Dialect, _ *oauth.DialectConfig) { d.Refresh.Errors[1].Means = io.EOF },
		"status that ends a session": func(d *oauth.Dialect, _ *oauth.DialectConfig) {
			d.Refresh.Errors[1] = oauth.DialectError{Status: 401, Means: oauth.ErrLoginRequired}
		},
		"codes that cannot be found": func(d *oauth.Dialect, _ *oauth.DialectConfig) { d.Answer.ErrorCode = nil },
		"no address":                 func(_ *oauth.Dialect, cfg *oauth.DialectConfig) { cfg.BaseURL = "" },
		"plain HTTP":                 func(_ *oauth.Dialect, cfg *oauth.DialectConfig) { cfg.BaseURL = "http://api.example.com" },
	} {
		t.Run(name, func(t *testing.T) {
			s := &scribe{status: 200}
			d, cfg := oauth.KratosDialect(), oauth.DialectConfig{BaseURL: backendURL, HTTPClient: &http.Client{Transport: s}}
			edit(&d, &cfg)
			_, err := oauth.NewDialectClient(d, cfg).Refresh(t.Context(), pairOf())
			if !errors.Is(err, oauth.ErrMisconfigured) || len(s.requests) != 0 {
				t.Errorf("error %v after %d requests; want ErrMisconfigured before any", err, len(s.requests))
			}
		})
	}
}

func TestDialectClientSharesNothingWithItsArguments(t *testing.T) {
	s := &scribe{status: 200, body: `{"access_token":"a"}`}
	d := oauth.KratosDialect()
	c := s.client(d)
	d.Refresh.Fields[0].Name, d.Refresh.Errors[0].Status = "changed", 0
	if _, err := c.Refresh(t.Context(), pairOf()); err != nil || strings.Contains(s.bodies[0], "changed") {
		t.Errorf("error %v, sent %s; want what the dialect said before", err, s.bodies[0])
	}
	_ = d.InCookie("r")
	if f := d.Refresh.Fields[0]; f.Place != oauth.InBody || f.Name != "changed" {
		t.Errorf("InCookie changed its receiver: %v", f)
	}
	same, other := s.client(oauth.KratosDialect()).ConfigID(), s.client(oauth.KratosDialect().InCookie("r")).ConfigID()
	if c.ConfigID() != same || same == other {
		t.Errorf("ConfigID %q, %q for the same and %q for another dialect", c.ConfigID(), same, other)
	}
}

func TestRetryAfterOfABackendIsHeeded(t *testing.T) {
	s := &scribe{status: 503, header: http.Header{"Retry-After": {"60"}}}
	c := s.client(oauth.KratosDialect())
	for range 2 {
		var fail *oauth.Error
		if _, err := c.Refresh(t.Context(), pairOf()); !errors.As(err, &fail) || fail.RetryAt.IsZero() {
			t.Errorf("error %v; want one that says when to try again", err)
		}
	}
	if len(s.requests) != 1 {
		t.Errorf("%d requests; want one", len(s.requests))
	}
}

func TestLogoutOfADeadSessionIsDone(t *testing.T) {
	for _, tt := range []struct {
		dialect oauth.Dialect
		status  int
		body    string
		want    error
	}{
		{oauth.KratosDialect(), 200, ``, nil},
		{oauth.KratosDialect(), 401, `{"error":{"reason":"TOKEN_EXPIRED"}}`, nil},
		{oauth.KratosDialect(), 401, `{"error":{"reason":"OTHER"}}`, oauth.ErrTransient},
		{oauth.KratosDialect(), 503, ``, oauth.ErrTransient},
		{oauth.ASPNETDialect(), 204, ``, nil},
		{oauth.ASPNETDialect(), 401, ``, nil},
		{oauth.ASPNETDialect(), 401, `<html>`, oauth.ErrTransient},
		{oauth.GinJWTDialect(), 200, `{"code":200}`, nil},
		{oauth.GinJWTDialect(), 401, `{"code":401,"message":"token is expired"}`, oauth.ErrTransient}, // the access token
		{oauth.SanicJWTDialect(), 200, ``, oauth.ErrMisconfigured},
	} {
		s := &scribe{status: tt.status, body: tt.body}
		if err := s.client(tt.dialect).Revoke(t.Context(), pairOf()); !errors.Is(err, tt.want) {
			t.Errorf("%s: logout answered by %d %s is %v; want %v", tt.dialect.Name, tt.status, tt.body, err, tt.want)
		}
	}
}

func TestDialectClientPrintsNoSecret(t *testing.T) {
	const secret = "s3cr3t"
	s := &scribe{status: 401, body: `{"error":{"reason":"TOKEN_EXPIRED","message":"` + secret + `"}}`}
	c := s.client(oauth.KratosDialect())
	_, err := c.Refresh(t.Context(), &oauth.TokenPair{RefreshToken: secret})
	var out bytes.Buffer
	fmt.Fprintf(&out, "%v %+v %#v %v %+v", c, c, c, err, err)
	if strings.Contains(out.String(), secret) {
		t.Errorf("a secret is in %s", out.String())
	}
	if want := "oauth: refresh: TOKEN_EXPIRED (HTTP 401): login required: refresh token expired"; err.Error() != want {
		t.Errorf("error %q; want %q", err, want)
	}
}
