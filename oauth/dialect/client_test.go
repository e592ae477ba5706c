package dialect_test

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
	"github.com/evertoken/evertoken/oauth/dialect"
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

func (s *scribe) client(d dialect.Dialect) *dialect.Client {
	return dialect.NewClient(d, dialect.Config{BaseURL: backendURL + "/", DeviceID: "laptop", HTTPClient: &http.Client{Transport: s}})
}

// pairOf has characters that must be encoded.
func pairOf() *oauth.TokenPair {
	return &oauth.TokenPair{AccessToken: "old.access", RefreshToken: `r:+/="&<`}
}

func TestDialectRequestsLookLikeTheBackendWantsThem(t *testing.T) {
	sanicEdited := dialect.SanicJWT()
	sanicEdited.Refresh.Fields = []dialect.Field{
		{Value: dialect.AccessToken, Place: dialect.InAuthorization, Name: "JWT"},
		{Value: dialect.RefreshToken, Place: dialect.InHeader, Name: "x-refresh"},
	}
	ginForm := dialect.GinJWT()
	ginForm.Refresh.Encoding = dialect.EncodeForm

	const asJSON, asForm = "application/json", "application/x-www-form-urlencoded"
	for _, tt := range []struct {
		name, op, path, kind, body string
		dialect                    dialect.Dialect
		header                     http.Header
	}{
		{name: "kratos", op: "login", dialect: dialect.Kratos(), path: "/api/v1/auth/login", kind: asJSON, body: `{"device_id":"laptop","password":"p\"w","username":"alice"}`},
		{name: "kratos", op: "refresh", dialect: dialect.Kratos(), path: "/api/v1/auth/refresh", kind: asJSON, body: `{"device_id":"laptop","refresh_token":"r:+/=\"\u0026\u003c"}`},
		{name: "kratos", op: "revoke", dialect: dialect.Kratos(), path: "/api/v1/auth/logout", kind: asJSON, body: `{"refresh_token":"r:+/=\"\u0026\u003c"}`},
		{name: "sanic-jwt", op: "login", dialect: dialect.SanicJWT(), path: "/auth", kind: asJSON, body: `{"password":"p\"w","username":"alice"}`},
		{name: "sanic-jwt", op: "refresh", dialect: dialect.SanicJWT(), path: "/auth/refresh", kind: asJSON, body: `{"refresh_token":"r:+/=\"\u0026\u003c"}`, header: http.Header{"Authorization": {"Bearer old.access"}}},
		{name: "sanic-jwt edited", op: "refresh", dialect: sanicEdited, path: "/auth/refresh", header: http.Header{"Authorization": {"JWT old.access"}, "X-Refresh": {`r:+/="&<`}}},
		{name: "gin-jwt", op: "refresh", dialect: dialect.GinJWT(), path: "/refresh", kind: asJSON, body: `{"refresh_token":"r:+/=\"\u0026\u003c"}`},
		{name: "gin-jwt form", op: "refresh", dialect: ginForm, path: "/refresh", kind: asForm, body: "refresh_token=r%3A%2B%2F%3D%22%26%3C"},
		{name: "gin-jwt cookie", op: "revoke", dialect: dialect.GinJWT().InCookie("rt"), path: "/logout", header: http.Header{"Authorization": {"Bearer old.access"}, "Cookie": {`rt=r:+/="&<`}}},
		{name: "gin-jwt", op: "revoke", dialect: dialect.GinJWT(), path: "/logout", kind: asJSON, body: `{"refresh_token":"r:+/=\"\u0026\u003c"}`, header: http.Header{"Authorization": {"Bearer old.access"}}},
		{name: "aspnet", op: "refresh", dialect: dialect.ASPNET(), path: "/refresh-token", kind: asJSON, body: `"r:+/=\"\u0026\u003c"`},
		{name: "aspnet", op: "revoke", dialect: dialect.ASPNET(), path: "/logout", kind: asJSON, body: `"r:+/=\"\u0026\u003c"`},
		{name: "aspnet in a cookie", op: "refresh", dialect: dialect.ASPNET().InCookie("rt"), path: "/refresh-token", header: http.Header{"Cookie": {`rt=r:+/="&<`}}},
		{name: "cookie", op: "refresh", dialect: dialect.Cookie(), path: "/auth/refresh", header: http.Header{"Cookie": {`refresh_token=r:+/="&<`}}},
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
func call(ctx context.Context, c *dialect.Client, op string) error {
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
	next, err := s.client(dialect.SanicJWT()).Refresh(t.Context(), old)
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
	c := dialect.NewClient(dialect.Cookie(), dialect.Config{BaseURL: backendURL, HTTPClient: &http.Client{Transport: s, Jar: jar}})
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
	c := s.client(dialect.Cookie())
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
	for name, edit := range map[string]func(*dialect.Dialect, *dialect.Config){
		"no refresh path":         func(d *dialect.Dialect, _ *dialect.Config) { d.Refresh.Path = "" },
		"no refresh token":        func(d *dialect.Dialect, _ *dialect.Config) { d.Refresh.Fields = nil },
		"path without slash":      func(d *dialect.Dialect, _ *dialect.Config) { d.Login.Path = ".evil.example/login" },
		"unknown value":           func(d *dialect.Dialect, _ *dialect.Config) { d.Login.Fields[0].Value = "otp" },
		"unknown place":           func(d *dialect.Dialect, _ *dialect.Config) { d.Refresh.Fields[0].Place = "query" },
		"field without name":      func(d *dialect.Dialect, _ *dialect.Config) { d.Refresh.Fields[0].Name = "" },
		"name that breaks a line": func(d *dialect.Dialect, _ *dialect.Config) { *d = d.InCookie("a\r\nb") },
		"unknown encoding":        func(d *dialect.Dialect, _ *dialect.Config) { d.Refresh.Encoding = "xml" },
		"two bare strings":        func(d *dialect.Dialect, _ *dialect.Config) { d.Login.Encoding = dialect.EncodeJSONString },
		"success as an error": func(d *dialect.Dialect, _ *dialect.Config) {
			d.Refresh.Errors[1] = dialect.Error{Status: 200, Means: oauth.ErrTokenInvalid}
		},
		"outage as an error": func(d *dialect.Dialect, _ *dialect.Config) {
			d.Refresh.Errors[1] = dialect.Error{Status: 429, Means: oauth.ErrTokenInvalid}
		},
		"error that fits all":   func(d *dialect.Dialect, _ *dialect.Config) { d.Login.Errors[0].Status = 0 },
		"error without meaning": func(d *dialect.Dialect, _ *dialect.Config) { d.Refresh.Errors[1].Means = io.EOF },
		"status that ends a session": func(d *dialect.Dialect, _ *dialect.Config) {
			d.Refresh.Errors[1] = dialect.Error{Status: 401, Means: oauth.ErrLoginRequired}
		},
		"codes that cannot be found": func(d *dialect.Dialect, _ *dialect.Config) { d.Answer.ErrorCode = nil },
		"no address":                 func(_ *dialect.Dialect, cfg *dialect.Config) { cfg.BaseURL = "" },
		"plain HTTP":                 func(_ *dialect.Dialect, cfg *dialect.Config) { cfg.BaseURL = "http://api.example.com" },
	} {
		t.Run(name, func(t *testing.T) {
			s := &scribe{status: 200}
			d, cfg := dialect.Kratos(), dialect.Config{BaseURL: backendURL, HTTPClient: &http.Client{Transport: s}}
			edit(&d, &cfg)
			_, err := dialect.NewClient(d, cfg).Refresh(t.Context(), pairOf())
			if !errors.Is(err, oauth.ErrMisconfigured) || len(s.requests) != 0 {
				t.Errorf("error %v after %d requests; want ErrMisconfigured before any", err, len(s.requests))
			}
		})
	}
}

func TestDialectClientSharesNothingWithItsArguments(t *testing.T) {
	s := &scribe{status: 200, body: `{"access_token":"a"}`}
	d := dialect.Kratos()
	c := s.client(d)
	d.Refresh.Fields[0].Name, d.Refresh.Errors[0].Status = "changed", 0
	if _, err := c.Refresh(t.Context(), pairOf()); err != nil || strings.Contains(s.bodies[0], "changed") {
		t.Errorf("error %v, sent %s; want what the dialect said before", err, s.bodies[0])
	}
	_ = d.InCookie("r")
	if f := d.Refresh.Fields[0]; f.Place != dialect.InBody || f.Name != "changed" {
		t.Errorf("InCookie changed its receiver: %v", f)
	}
	same, other := s.client(dialect.Kratos()).ConfigID(), s.client(dialect.Kratos().InCookie("r")).ConfigID()
	if c.ConfigID() != same || same == other {
		t.Errorf("ConfigID %q, %q for the same and %q for another dialect", c.ConfigID(), same, other)
	}
}

func TestRetryAfterOfABackendIsHeeded(t *testing.T) {
	s := &scribe{status: 503, header: http.Header{"Retry-After": {"60"}}}
	c := s.client(dialect.Kratos())
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
		dialect dialect.Dialect
		status  int
		body    string
		want    error
	}{
		{dialect.Kratos(), 200, ``, nil},
		{dialect.Kratos(), 401, `{"error":{"reason":"TOKEN_EXPIRED"}}`, nil},
		{dialect.Kratos(), 401, `{"error":{"reason":"OTHER"}}`, oauth.ErrTransient},
		{dialect.Kratos(), 503, ``, oauth.ErrTransient},
		{dialect.ASPNET(), 204, ``, nil},
		{dialect.ASPNET(), 401, ``, nil},
		{dialect.ASPNET(), 401, `<html>`, oauth.ErrTransient},
		{dialect.GinJWT(), 200, `{"code":200}`, nil},
		{dialect.GinJWT(), 401, `{"code":401,"message":"token is expired"}`, oauth.ErrTransient}, // the access token
		{dialect.SanicJWT(), 200, ``, oauth.ErrMisconfigured},
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
	c := s.client(dialect.Kratos())
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

func TestDialectNamesAreFoundInAnyCase(t *testing.T) {
	s := &scribe{status: 200, body: `{"AccessToken":"at-2","refreshtoken":"x","refreshToken":"rt-2","ExpiresIn":"600"}`}
	pair, err := s.client(dialect.ASPNET()).Refresh(t.Context(), pairOf())
	if err != nil || pair.AccessToken != "at-2" || pair.RefreshToken != "rt-2" || pair.ExpiresIn != 600 {
		t.Errorf("got %v, %v", pair, err)
	}
}

// A cookie is whole, however the body ends.
func TestRefreshTokenInACookieMakesACutAnswerGood(t *testing.T) {
	s := &scribe{status: 200, body: `{"access_token":"at-2","us`, header: http.Header{"Set-Cookie": {"refresh_token=rt-2"}}}
	pair, err := s.client(dialect.Cookie()).Refresh(t.Context(), pairOf())
	if err != nil || pair.AccessToken != "at-2" || pair.RefreshToken != "rt-2" {
		t.Errorf("got %v, %v", pair, err)
	}
}

func TestPathOfADialectIsInItsConfigID(t *testing.T) {
	d := dialect.Kratos()
	before := new(scribe).client(d).ConfigID()
	if d.Answer.TokenPath = "data"; new(scribe).client(d).ConfigID() == before {
		t.Error("another path has the same ConfigID")
	}
}
