package dialect_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

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
		{name: "kratos", op: "revoke", dialect: dialect.Kratos(), path: "/api/v1/auth/logout", kind: asJSON, body: `{"refresh_token":"r:+/=\"\u0026\u003c"}`, header: http.Header{"Authorization": {"Bearer old.access"}}},
		{name: "sanic-jwt", op: "login", dialect: dialect.SanicJWT(), path: "/auth", kind: asJSON, body: `{"password":"p\"w","username":"alice"}`},
		{name: "sanic-jwt", op: "refresh", dialect: dialect.SanicJWT(), path: "/auth/refresh", kind: asJSON, body: `{"refresh_token":"r:+/=\"\u0026\u003c"}`, header: http.Header{"Authorization": {"Bearer old.access"}}},
		{name: "sanic-jwt edited", op: "refresh", dialect: sanicEdited, path: "/auth/refresh", kind: asJSON, body: `{}`, header: http.Header{"Authorization": {"JWT old.access"}, "X-Refresh": {`r:+/="&<`}}},
		{name: "gin-jwt", op: "refresh", dialect: dialect.GinJWT(), path: "/refresh", kind: asJSON, body: `{"refresh_token":"r:+/=\"\u0026\u003c"}`},
		{name: "gin-jwt form", op: "refresh", dialect: ginForm, path: "/refresh", kind: asForm, body: "refresh_token=r%3A%2B%2F%3D%22%26%3C"},
		{name: "gin-jwt cookie", op: "revoke", dialect: dialect.GinJWT().InCookie("rt"), path: "/logout", kind: asJSON, body: `{}`, header: http.Header{"Authorization": {"Bearer old.access"}, "Cookie": {`rt=r:+/="&<`}}},
		{name: "gin-jwt", op: "revoke", dialect: dialect.GinJWT(), path: "/logout", kind: asJSON, body: `{"refresh_token":"r:+/=\"\u0026\u003c"}`, header: http.Header{"Authorization": {"Bearer old.access"}}},
		{name: "aspnet", op: "refresh", dialect: dialect.ASPNET(), path: "/refresh-token", kind: asJSON, body: `"r:+/=\"\u0026\u003c"`},
		{name: "aspnet", op: "revoke", dialect: dialect.ASPNET(), path: "/logout", kind: asJSON, body: `"r:+/=\"\u0026\u003c"`},
		{name: "aspnet in a cookie", op: "refresh", dialect: dialect.ASPNET().InCookie("rt"), path: "/refresh-token", header: http.Header{"Cookie": {`rt=r:+/="&<`}}},
		{name: "cookie", op: "refresh", dialect: dialect.Cookie(), path: "/auth/refresh", kind: asJSON, body: `{}`, header: http.Header{"Cookie": {`refresh_token=r:+/="&<`}}},
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
		"unknown method":          func(d *dialect.Dialect, _ *dialect.Config) { d.Refresh.Method = "DELETE" },
		"GET with a body":         func(d *dialect.Dialect, _ *dialect.Config) { d.Refresh.Method = "GET" },
		"fixed and a value":       func(d *dialect.Dialect, _ *dialect.Config) { d.Login.Fields[0].Fixed = "x" },
		"presentation that is two": func(d *dialect.Dialect, _ *dialect.Config) {
			d.Presentation = oauth.Presentation{Header: "X", Cookie: "c"}
		},
		"unknown encoding": func(d *dialect.Dialect, _ *dialect.Config) { d.Refresh.Encoding = "xml" },
		"two bare strings": func(d *dialect.Dialect, _ *dialect.Config) { d.Login.Encoding = dialect.EncodeJSONString },
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
		"codes that cannot be found": func(d *dialect.Dialect, _ *dialect.Config) { d.Answer.ErrorCodes = nil },
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

func TestRetryAfterOfABackendIsTold(t *testing.T) {
	s := &scribe{status: 503, header: http.Header{"Retry-After": {"60"}}}
	c := s.client(dialect.Kratos())
	var fail *oauth.Error
	if _, err := c.Refresh(t.Context(), pairOf()); !errors.As(err, &fail) || fail.RetryAt.IsZero() {
		t.Errorf("error %v; want one that says when to try again", err)
	}
}

func TestLogoutOfADeadSessionIsDone(t *testing.T) {
	for _, tt := range []struct {
		dialect dialect.Dialect
		status  int
		body    string
		want    error
		dead    bool // the access token
	}{
		{dialect.Kratos(), 200, ``, nil, false},
		{dialect.Kratos(), 401, `{"error":{"reason":"TOKEN_EXPIRED"}}`, nil, false},
		{dialect.Kratos(), 401, `{"error":{"reason":"OTHER"}}`, oauth.ErrNotRevoked, false},
		{dialect.Kratos(), 401, `{"error":{"reason":"TOKEN_EXPIRED"}}`, oauth.ErrTransient, true},
		{dialect.Kratos(), 401, `{"code":401,"reason":"TOKEN_MISSING"}`, oauth.ErrTransient, true},
		{dialect.Kratos(), 200, ``, nil, true},
		{dialect.ASPNET(), 401, ``, nil, true}, // where the logout carries the refresh token alone
		{dialect.Kratos(), 503, ``, oauth.ErrTransient, false},
		{dialect.ASPNET(), 204, ``, nil, false},
		{dialect.ASPNET(), 401, ``, nil, false},
		{dialect.ASPNET(), 401, `<html>`, oauth.ErrNotRevoked, false},
		{dialect.ASPNET(), 404, `<html>`, oauth.ErrNotRevoked, false},
		{dialect.Kratos(), 403, `{"error":{"reason":"OTHER"}}`, oauth.ErrNotRevoked, true},
		{dialect.Kratos(), 501, ``, oauth.ErrNotRevoked, true},
		{dialect.GinJWT(), 200, `{"code":200}`, nil, false},
		{dialect.GinJWT(), 401, `{"code":401,"message":"token is expired"}`, oauth.ErrNotRevoked, false}, // the access token
		{dialect.SanicJWT(), 200, ``, oauth.ErrMisconfigured, false},
	} {
		s := &scribe{status: tt.status, body: tt.body}
		pair := pairOf()
		if pair.ExpiresAt = time.Now().Add(time.Minute); tt.dead {
			pair.ExpiresAt = time.Now()
		}
		if err := s.client(tt.dialect).Revoke(t.Context(), pair); !errors.Is(err, tt.want) {
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

// A refresh.Manager is told what happens to a token that is sent again.
func TestADialectTellsTheGraceOfItsBackend(t *testing.T) {
	for text, want := range map[string]time.Duration{"": 0, "grace: none": oauth.GraceNone, "grace: until-used": oauth.GraceUntilUsed, "grace: 30s": 30 * time.Second} {
		d, err := dialect.Parse([]byte("refresh:\n  path: /r\n  fields:\n    - {value: refresh_token, place: body, name: rt}\n" + text))
		if got := new(scribe).client(d).RefreshGrace(); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
		data, err := json.Marshal(d)
		if again, err2 := dialect.Parse(data); err != nil || err2 != nil || again.Grace != want {
			t.Errorf("%q: written as %s, %v, read as %v, %v", text, data, err, again.Grace, err2)
		}
	}
	if got := new(scribe).client(dialect.Kratos()).RefreshGrace(); got != oauth.GraceNone {
		t.Errorf("Kratos: %v; its reuse ends all of a person's sessions", got)
	}
	d := dialect.Kratos()
	d.Grace = -2
	if _, err := json.Marshal(d); err == nil {
		t.Error("a grace that is none is written")
	}
}

// A session that was ended by a mistake in the table is asked about again when the table is
// corrected.
func TestConfigIDOfADialectHasHowAnswersAreRead(t *testing.T) {
	id := new(scribe).client(dialect.Kratos()).ConfigID()
	for name, change := range map[string]func(*dialect.Dialect){
		"path":   func(d *dialect.Dialect) { d.Answer.TokenPath = "data" },
		"code":   func(d *dialect.Dialect) { d.Answer.ErrorCodes = []string{"code"} },
		"row":    func(d *dialect.Dialect) { d.Refresh.Errors = d.Refresh.Errors[1:] },
		"word":   func(d *dialect.Dialect) { d.Refresh.Errors[0].Code = "OTHER" },
		"status": func(d *dialect.Dialect) { d.Refresh.Errors[0].Status = 418 },
		"means":  func(d *dialect.Dialect) { d.Refresh.Errors[0].Means = oauth.ErrTransient },
	} {
		d := dialect.Kratos()
		if change(&d); new(scribe).client(d).ConfigID() == id {
			t.Errorf("another %s has the same ConfigID", name)
		}
	}
}

// go-kratos writes camelCase and numbers as strings by default, and errors at the top.
func TestKratosIsUnderstoodInBothSpellings(t *testing.T) {
	for _, body := range []string{
		`{"accessToken":"at-2","refreshToken":"rt-2","expiresIn":"900"}`,
		`{"access_token":"at-2","refresh_token":"rt-2","expires_in":"900"}`,
		`{"access_token":"at-2","refreshToken":"rt-2","expiresIn":900}`,
		`{"AccessToken":"at-2","Refresh-Token":"rt-2","ExpiresIn":900}`,
		`{"access_token":"at-2","accessToken":"other","refresh_token":"rt-2","refreshToken":"other","expires_in":900}`,
	} {
		s := &scribe{status: 200, body: body}
		pair, err := s.client(dialect.Kratos()).Refresh(t.Context(), pairOf())
		if err != nil || pair.AccessToken != "at-2" || pair.RefreshToken != "rt-2" || pair.ExpiresIn != 900 {
			t.Errorf("%s: got %v, %v", body, pair, err)
			continue
		}
		if life, known := pair.Lifetime(); !known || life != 15*time.Minute {
			t.Errorf("%s: lifetime %v, %v", body, life, known)
		}
	}
	for reason, want := range map[string]error{
		"REFRESH_TOKEN_REQUIRED": oauth.ErrRefreshTokenRequired, "TOKEN_INVALID": oauth.ErrTokenInvalid,
		"TOKEN_EXPIRED": oauth.ErrTokenExpired, "TOKEN_REUSED": oauth.ErrTokenReused, "USER_NOT_FOUND": oauth.ErrUserNotFound,
	} {
		status := map[string]int{"REFRESH_TOKEN_REQUIRED": 400, "USER_NOT_FOUND": 404}[reason]
		if status == 0 {
			status = 401
		}
		for _, form := range []string{`{"code":%d,"reason":%q,"message":"m","metadata":{}}`, `{"error":{"code":%d,"reason":%q,"message":"m"}}`} {
			s := &scribe{status: status, body: fmt.Sprintf(form, status, reason)}
			if _, err := s.client(dialect.Kratos()).Refresh(t.Context(), pairOf()); !errors.Is(err, want) {
				t.Errorf("%s: %v; want %v", s.body, err, want)
			}
		}
	}
}

func TestADialectCanRenewByTheAccessTokenAlone(t *testing.T) {
	s := &scribe{status: 200, body: `{"code":200,"expire":"2026-11-20T12:00:00Z","token":"at-2"}`}
	next, err := s.client(dialect.GinJWT2()).Refresh(t.Context(), &oauth.TokenPair{AccessToken: "at-1", RefreshToken: "at-1"})
	if err != nil || next.AccessToken != "at-2" || next.RefreshToken != "at-2" || !next.RefreshExpiresAt.IsZero() {
		t.Fatalf("got %v, %v; want the access token as refresh token too", next, err)
	}
	r := s.requests[0]
	if r.Method != http.MethodGet || r.URL.Path != "/v2/auth/refresh_token" || s.bodies[0] != "" || r.Header.Get("Authorization") != "Bearer at-1" || r.Header.Get("Content-Type") != "" {
		t.Errorf("sent %s %s with a body of %d, %v", r.Method, r.URL, len(s.bodies[0]), r.Header)
	}
}

func TestALoginCarriesFurtherFields(t *testing.T) {
	d := dialect.Kratos()
	d.Login.Fields = append(d.Login.Fields,
		dialect.Field{Value: dialect.Further("otp"), Place: dialect.InBody, Name: "totp_code"},
		dialect.Field{Value: dialect.Further("captcha"), Place: dialect.InHeader, Name: "X-Captcha"},
		dialect.Field{Fixed: "acme", Place: dialect.InHeader, Name: "X-Tenant"},
		dialect.Field{Fixed: "password", Place: dialect.InBody, Name: "grant"})
	s := &scribe{status: 200, body: `{"access_token":"a"}`}
	for _, more := range []map[string]string{{"otp": "123456", "captcha": "c", "unknown": "x"}, nil} {
		if _, err := s.client(d).LoginWith(t.Context(), "alice", "p", more); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []string{
		`{"device_id":"laptop","grant":"password","password":"p","totp_code":"123456","username":"alice"}`,
		`{"device_id":"laptop","grant":"password","password":"p","username":"alice"}`,
	} {
		if s.bodies[i] != want || s.requests[i].Header.Get("X-Tenant") != "acme" || s.requests[i].Header.Get("X-Captcha") != []string{"c", ""}[i] {
			t.Errorf("sent %s, %v; want %s", s.bodies[i], s.requests[i].Header, want)
		}
	}
}

// A cookie that is too long to come back is none.
func TestF93_CookieThatNoServerReadsIsNotKept(t *testing.T) {
	for size, want := range map[int]bool{4 << 10: true, 16 << 10: true, 16<<10 + 1: false, 200 << 10: false} {
		s := &scribe{status: 200, body: `{"access_token":"at-2"}`, header: http.Header{"Set-Cookie": {"refresh_token=" + strings.Repeat("r", size)}}}
		pair, err := s.client(dialect.Cookie()).Login(t.Context(), "alice", "wonderland")
		if err != nil {
			t.Fatal(err)
		}
		if kept := len(pair.RefreshToken) == size; kept != want {
			t.Errorf("a cookie of %d bytes: %d are kept", size, len(pair.RefreshToken))
		}
	}
}

// At a backend that keeps both tokens in cookies, the session goes on by its cookies alone.
func TestASessionLivesOnCookiesAlone(t *testing.T) {
	d := dialect.Cookie()
	d.Answer.AccessCookie, d.Presentation.Cookie = "access_token", "access_token"
	s := &scribe{status: http.StatusNoContent, header: http.Header{"Set-Cookie": {"access_token=at-2; HttpOnly", "refresh_token=rt-2; HttpOnly"}}}
	c := s.client(d)
	pair, err := c.Login(t.Context(), "alice", "p")
	if err != nil || pair.AccessToken != "at-2" || pair.RefreshToken != "rt-2" {
		t.Fatalf("login: %v, %v", pair, err)
	}
	s.header = http.Header{"Set-Cookie": {"access_token=at-3", "refresh_token=rt-3"}}
	if pair, err = c.Refresh(t.Context(), pair); err != nil || pair.AccessToken != "at-3" || pair.RefreshToken != "rt-3" {
		t.Fatalf("refresh: %v, %v", pair, err)
	}
	if sent := s.requests[1].Header.Get("Cookie"); sent != "refresh_token=rt-2" {
		t.Errorf("sent %q", sent)
	}
}

// Django REST framework's authtoken, Laravel Sanctum and Strapi 4 give out a token that nothing
// renews: it is the session.
func TestBackendMayHaveNoRefresh(t *testing.T) {
	d := dialect.Dialect{
		Login:  dialect.Request{Path: "/api-token-auth/", Fields: dialect.GinJWT().Login.Fields},
		Logout: dialect.Request{Path: "/logout/", Fields: []dialect.Field{{Value: dialect.AccessToken, Place: dialect.InAuthorization, Name: "Token"}}},
		Answer: dialect.Answer{AccessToken: "token"},
	}
	s := &scribe{status: 200, body: `{"token":"a","refresh_token":"of no use"}`}
	client := s.client(d)
	pair, err := client.Login(t.Context(), "alice", "wonderland")
	if err != nil || pair.AccessToken != "a" || pair.RefreshToken != "" {
		t.Fatalf("%v, %v; want an access token alone", pair, err)
	}
	if _, err := client.Refresh(t.Context(), pair); !errors.Is(err, oauth.ErrLoginRequired) || !errors.Is(err, oauth.ErrRefreshTokenRequired) {
		t.Errorf("refresh: %v; want ErrLoginRequired", err)
	}
	pair.RefreshToken = "r" // as of a session that was there before
	if _, err := client.Refresh(t.Context(), pair); !errors.Is(err, oauth.ErrMisconfigured) {
		t.Errorf("refresh with a token: %v; want ErrMisconfigured", err)
	}
	if err := client.Revoke(t.Context(), pair); err != nil || len(s.requests) != 2 || s.requests[1].Header.Get("Authorization") != "Token a" {
		t.Errorf("logout: %v after %d requests", err, len(s.requests))
	}
	for name, edit := range map[string]func(d *dialect.Dialect){
		"no login":     func(d *dialect.Dialect) { d.Login = dialect.Request{} },
		"half of it":   func(d *dialect.Dialect) { d.Refresh.Fields = dialect.GinJWT().Refresh.Fields },
		"its method":   func(d *dialect.Dialect) { d.Refresh.Method = http.MethodPut },
		"its refusals": func(d *dialect.Dialect) { d.Refresh.Errors = dialect.GinJWT().Refresh.Errors },
	} {
		wrong := d
		edit(&wrong)
		if _, err := s.client(wrong).Login(t.Context(), "a", "b"); !errors.Is(err, oauth.ErrMisconfigured) || !strings.Contains(err.Error(), "refresh.path") {
			t.Errorf("%s: %v; want refresh.path to be required", name, err)
		}
	}
}
