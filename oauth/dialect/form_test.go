package dialect_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/dialect"
)

// jwtWith returns an unsigned JWT.
func jwtWith(claims string) string {
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"none"}`)) + "." + part([]byte(claims)) + ".c2ln"
}

func TestTemplatesAreFilled(t *testing.T) {
	token := func(f dialect.Field) dialect.Dialect {
		return dialect.Dialect{Refresh: dialect.Request{Path: "/r", Fields: []dialect.Field{
			{Value: dialect.RefreshToken, Place: dialect.InBody, Name: "rt"}, f,
		}}}
	}
	for _, tt := range []struct {
		field  dialect.Field
		access string
		header http.Header
		body   string
		broken bool
	}{
		{dialect.Field{Fixed: "application/vnd.api+json", Place: dialect.InHeader, Name: "Content-Type"}, "a.b", http.Header{"Content-Type": {"application/vnd.api+json"}}, `{"rt":"r"}`, false},
		{dialect.Field{Template: `Token token="{access_token}"`, Place: dialect.InHeader, Name: "Authorization"}, "a.b", http.Header{"Authorization": {`Token token="a.b"`}}, `{"rt":"r"}`, false},
		{dialect.Field{Template: `Token token="{access_token}"`, Place: dialect.InHeader, Name: "Authorization"}, `a" evil="`, nil, ``, true},
		{dialect.Field{Template: `Token token="{access_token}"`, Place: dialect.InHeader, Name: "Authorization"}, `a\`, nil, ``, true},
		{dialect.Field{Template: `Token {access_token}`, Place: dialect.InHeader, Name: "X-Auth"}, "a\nb", nil, ``, true},
		{dialect.Field{Template: `Token {access_token}`, Place: dialect.InHeader, Name: "X-Auth"}, `a"b`, http.Header{"X-Auth": {`Token a"b`}}, `{"rt":"r"}`, false},
		{dialect.Field{Template: `id={device_id},token={access_token}`, Place: dialect.InAuthorization, Name: "Acme"}, "a", http.Header{"Authorization": {`Acme id=laptop,token=a`}}, `{"rt":"r"}`, false},
		{dialect.Field{Template: `v1:{access_token}`, Place: dialect.InCookie, Name: "at"}, "a", http.Header{"Cookie": {`at=v1:a`}}, `{"rt":"r"}`, false},
		{dialect.Field{Template: `v1:{access_token}`, Place: dialect.InCookie, Name: "at"}, "a; b=c", nil, ``, true},
		{dialect.Field{Template: `{{"{access_token}"}}`, Place: dialect.InBody, Name: "old"}, `a"b`, nil, ``, false},
		{dialect.Field{Template: `{{{access_token}}}`, Place: dialect.InBody, Name: "old"}, "a", nil, `{"old":"{a}","rt":"r"}`, false},
		{dialect.Field{Template: `Token {access_token}`, Place: dialect.InHeader, Name: "X-Auth"}, "", nil, `{"rt":"r"}`, false},
	} {
		s := &scribe{status: 200, body: `{"access_token":"new"}`}
		_, err := s.client(token(tt.field)).Refresh(t.Context(), &oauth.TokenPair{AccessToken: tt.access, RefreshToken: "r"})
		if tt.broken {
			if !errors.Is(err, oauth.ErrMisconfigured) || len(s.requests) > 0 || strings.Contains(err.Error(), "evil") {
				t.Errorf("%s with %q: %v after %d requests; want ErrMisconfigured before any", tt.field.Template, tt.access, err, len(s.requests))
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.field.Template, err)
			continue
		}
		for name, want := range tt.header {
			if got := s.requests[0].Header[name]; fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: %s %q; want %q", tt.field.Template, name, got, want)
			}
		}
		if tt.body != "" && s.bodies[0] != tt.body {
			t.Errorf("%s: sent %s; want %s", tt.field.Template, s.bodies[0], tt.body)
		}
		if tt.access == "" && s.requests[0].Header.Get("X-Auth") != "" {
			t.Errorf("sent %q without a token", s.requests[0].Header.Get("X-Auth"))
		}
	}
}

func TestBodiesNestWhereNamesHaveDots(t *testing.T) {
	d := dialect.Kratos()
	d.Login.Fields = []dialect.Field{
		{Value: dialect.Username, Place: dialect.InBody, Name: "user.email"},
		{Value: dialect.Password, Place: dialect.InBody, Name: "user.secret.password"},
		{Fixed: "acme", Place: dialect.InBody, Name: "tenant"},
		{Value: dialect.BasicCredentials, Place: dialect.InAuthorization, Name: "Basic"},
	}
	s := &scribe{status: 200, body: `{"access_token":"a"}`}
	if _, err := s.client(d).Login(t.Context(), "alice", "p:w"); err != nil {
		t.Fatal(err)
	}
	if want := `{"tenant":"acme","user":{"email":"alice","secret":{"password":"p:w"}}}`; s.bodies[0] != want {
		t.Errorf("sent %s; want %s", s.bodies[0], want)
	}
	if user, password, ok := s.requests[0].BasicAuth(); !ok || user != "alice" || password != "p:w" {
		t.Errorf("sent %q", s.requests[0].Header.Get("Authorization"))
	}
	d.Login.Encoding = dialect.EncodeForm
	if _, err := s.client(d).Login(t.Context(), "ali:ce", "p"); err != nil {
		t.Fatal(err)
	}
	if want := `tenant=acme&user.email=ali%3Ace&user.secret.password=p`; s.bodies[1] != want || s.requests[1].Header.Get("Authorization") != "" {
		t.Errorf("sent %s, %q; want %s and no Basic: a name has no colon there", s.bodies[1], s.requests[1].Header.Get("Authorization"), want)
	}
}

// ending is a dialect that ends sessions by their identifiers.
func ending(path string) dialect.Dialect {
	d := dialect.GinJWT()
	token := []dialect.Field{{Value: dialect.AccessToken, Place: dialect.InAuthorization}}
	d.Logout = dialect.Request{Method: http.MethodDelete, Path: path, Fields: token, Errors: []dialect.Error{{Status: 404, Means: oauth.ErrTokenInvalid}}}
	return d
}

func TestSessionsAreEndedByTheirIdentifier(t *testing.T) {
	pair := func(id string, claims string) *oauth.TokenPair {
		return &oauth.TokenPair{AccessToken: jwtWith(claims), RefreshToken: "r", ExpiresAt: time.Now().Add(time.Hour), Extra: map[string]json.RawMessage{"session": json.RawMessage(id)}}
	}
	for _, tt := range []struct {
		path string
		pair *oauth.TokenPair
		want string // the address; empty: nothing is sent
	}{
		{"/sessions/{answer.session.id}", pair(`{"id":"s-1"}`, `{}`), "/sessions/s-1"},
		{"/sessions/{answer.session.id}", pair(`{"Id":42}`, `{}`), "/sessions/42"},
		{"/sessions/{answer.session}", pair(`"a/b?c=d#e"`, `{}`), "/sessions/a%2Fb%3Fc=d%23e"},
		{"/sessions/{claim.sid}", pair(`1`, `{"sid":"s-2"}`), "/sessions/s-2"},
		{"/devices/{device_id}/{claim.sid}.json", pair(`1`, `{"sid":7}`), "/devices/laptop/7.json"},
		{"/sessions/{answer.session}", pair(`".."`, `{}`), ""},
		{"/sessions/{answer.session}/now", pair(`"."`, `{}`), ""},
		{"/sessions/{answer.session}", pair(`""`, `{}`), ""},
		{"/sessions/{answer.other}", pair(`"a"`, `{}`), ""},
		{"/sessions/{claim.sid}", pair(`1`, `{"sid":["a"]}`), ""},
	} {
		s := &scribe{status: http.StatusNoContent}
		err := s.client(ending(tt.path)).Revoke(t.Context(), tt.pair)
		if tt.want == "" {
			if !errors.Is(err, oauth.ErrMisconfigured) || !errors.Is(err, oauth.ErrNotRevoked) || len(s.requests) > 0 {
				t.Errorf("%s: %v after %d requests; want ErrNotRevoked before any: a logout is not to fail for ever", tt.path, err, len(s.requests))
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.path, err)
			continue
		}
		r := s.requests[0]
		if got := strings.TrimPrefix(r.URL.String(), backendURL); r.Method != http.MethodDelete || got != tt.want || s.bodies[0] != "" || r.Header.Get("Content-Type") != "" {
			t.Errorf("%s: sent %s %s with a body of %d; want DELETE %s", tt.path, r.Method, got, len(s.bodies[0]), tt.want)
		}
	}
}

// answering answers each request by its path.
type answering map[string]int

func (a answering) client(d dialect.Dialect, sent *[]string) *dialect.Client {
	transport := roundTripper(func(r *http.Request) (*http.Response, error) {
		path := strings.TrimPrefix(r.URL.Path, "/v2")
		*sent = append(*sent, path)
		return &http.Response{StatusCode: a[path], Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	})
	return dialect.NewClient(d, dialect.Config{BaseURL: backendURL, HTTPClient: &http.Client{Transport: transport}})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestALogoutCanBeARequestForEachToken(t *testing.T) {
	access := dialect.Field{Value: dialect.AccessToken, Place: dialect.InAuthorization}
	refresh := dialect.Field{Value: dialect.RefreshToken, Place: dialect.InAuthorization}
	gone := []dialect.Error{{Status: 401, Means: oauth.ErrTokenInvalid}}
	d := dialect.GinJWT()
	d.Revocations = []dialect.Request{
		{Method: http.MethodDelete, Path: "/access", Fields: []dialect.Field{access}, Errors: gone},
		{Method: http.MethodDelete, Path: "/refresh", Fields: []dialect.Field{refresh}, Errors: gone},
	}
	d.Logout = dialect.Request{}
	withLogout := d
	withLogout.Logout = dialect.Request{Path: "/logout", Errors: gone}
	for name, tt := range map[string]struct {
		dialect dialect.Dialect
		answers answering
		pair    oauth.TokenPair
		dead    bool // the access token
		sent    string
		want    error
	}{
		"both":                       {d, answering{"/access": 204, "/refresh": 204}, oauth.TokenPair{AccessToken: "a", RefreshToken: "r"}, false, "/access /refresh", nil},
		"no access token":            {d, answering{"/access": 204, "/refresh": 204}, oauth.TokenPair{RefreshToken: "r"}, false, "/refresh", nil},
		"no refresh token":           {d, answering{"/access": 204, "/refresh": 204}, oauth.TokenPair{AccessToken: "a"}, false, "/access", nil},
		"over already":               {d, answering{"/access": 401, "/refresh": 401}, oauth.TokenPair{AccessToken: "a", RefreshToken: "r"}, false, "/access /refresh", nil},
		"trouble stops it":           {d, answering{"/access": 503, "/refresh": 204}, oauth.TokenPair{AccessToken: "a", RefreshToken: "r"}, false, "/access", oauth.ErrTransient},
		"trouble with the second":    {d, answering{"/access": 204, "/refresh": 503}, oauth.TokenPair{AccessToken: "a", RefreshToken: "r"}, false, "/access /refresh", oauth.ErrTransient},
		"a refusal does not stop it": {d, answering{"/access": 404, "/refresh": 204}, oauth.TokenPair{AccessToken: "a", RefreshToken: "r"}, false, "/access /refresh", oauth.ErrNotRevoked},
		"a dead access token first":  {d, answering{"/access": 401, "/refresh": 204}, oauth.TokenPair{AccessToken: "a", RefreshToken: "r"}, true, "/access", oauth.ErrTransient},
		"logout is the last":         {withLogout, answering{"/access": 204, "/refresh": 204, "/logout": 204}, oauth.TokenPair{AccessToken: "a", RefreshToken: "r"}, false, "/access /refresh /logout", nil},
	} {
		t.Run(name, func(t *testing.T) {
			tt.pair.ExpiresAt = time.Now().Add(time.Hour)
			if tt.dead {
				tt.pair.ExpiresAt = time.Now().Add(-time.Hour)
			}
			var sent []string
			c := tt.answers.client(tt.dialect, &sent)
			if err := c.Revoke(t.Context(), &tt.pair); !errors.Is(err, tt.want) {
				t.Errorf("%v; want %v", err, tt.want)
			}
			if got := strings.Join(sent, " "); got != tt.sent {
				t.Errorf("sent %s; want %s", got, tt.sent)
			}
			if !c.CanRevoke() || !c.RevokesByAccessToken() {
				t.Error("it has a logout that carries the access token")
			}
		})
	}
	if c := new(scribe).client(dialect.ASPNET()); c.RevokesByAccessToken() {
		t.Error("this logout carries the refresh token alone")
	}
}

// net/http sends a GET again on its own when a connection that it kept breaks. The server
// may have spent the token by then.
func TestARefreshByGetIsNotSentTwice(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			fmt.Fprint(w, `{"access_token":"a"}`)
			return
		}
		if r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
			t.Errorf("a GET with a body: %d, %v", r.ContentLength, r.TransferEncoding)
		}
		panic(http.ErrAbortHandler)
	}))
	defer server.Close()
	d := dialect.GinJWT2()
	d.Answer.AccessToken = ""
	c := dialect.NewClient(d, dialect.Config{BaseURL: server.URL, HTTPClient: server.Client()})
	if _, err := c.Refresh(t.Context(), pairOf()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Refresh(t.Context(), pairOf()); !errors.Is(err, oauth.ErrTransient) {
		t.Errorf("error %v; want ErrTransient", err)
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("the server was asked %d times; want twice", n)
	}
}

func TestFurtherNamesAreThoseOfTheLogin(t *testing.T) {
	d := dialect.Kratos()
	if got := d.FurtherNames(); got != nil {
		t.Errorf("got %q; want none", got)
	}
	d.Login.Fields = append(d.Login.Fields, dialect.Field{Value: dialect.Further("otp"), Place: dialect.InBody, Name: "a"},
		dialect.Field{Template: "{further.captcha}:{further.otp}", Place: dialect.InHeader, Name: "X-B"})
	if got := d.FurtherNames(); fmt.Sprint(got) != "[otp captcha]" {
		t.Errorf("got %q", got)
	}
}

func TestARefusedProgramIsTheClientsMatter(t *testing.T) {
	d := dialect.Kratos()
	d.Refresh.Errors = []dialect.Error{{Status: 403, Code: "APP_TOO_OLD", Means: oauth.ErrClientRefused}}
	s := &scribe{status: 403, body: `{"reason":"APP_TOO_OLD"}`}
	_, err := s.client(d).Refresh(t.Context(), pairOf())
	fail, ok := errors.AsType[*oauth.Error](err)
	if !ok || !errors.Is(err, oauth.ErrMisconfigured) || !errors.Is(err, oauth.ErrClientRefused) || fail.Verdict() != oauth.VerdictClient {
		t.Errorf("%v; want ErrClientRefused, which is the client's matter", err)
	}
}

func TestFieldsCanBeJSONThemselves(t *testing.T) {
	d := dialect.Kratos()
	d.Login.Fields = []dialect.Field{
		{Value: dialect.Password, Place: dialect.InBody, Name: "password"},
		{Fixed: "true", Place: dialect.InBody, Name: "options.remember", JSON: true},
		{Value: dialect.Further("otp"), Place: dialect.InBody, Name: "otp", JSON: true},
	}
	s := &scribe{status: 200, body: `{"access_token":"a"}`}
	if _, err := s.client(d).LoginWith(t.Context(), "alice", "12", map[string]string{"otp": "123456"}); err != nil {
		t.Fatal(err)
	}
	if want := `{"options":{"remember":true},"otp":123456,"password":"12"}`; s.bodies[0] != want {
		t.Errorf("sent %s; want %s", s.bodies[0], want)
	}
	for _, otp := range []string{"s3cret", `1,"admin":true`, "01"} {
		_, err := s.client(d).LoginWith(t.Context(), "alice", "12", map[string]string{"otp": otp})
		if !errors.Is(err, oauth.ErrMisconfigured) || strings.Contains(err.Error(), otp) || len(s.requests) != 1 {
			t.Errorf("%q: %v after %d requests; want ErrMisconfigured without the value", otp, err, len(s.requests))
		}
	}
}

// GoTrue (Supabase) tells login and refresh apart by a query, beside a body in JSON.
func TestQueryHasFixedTexts(t *testing.T) {
	d := dialect.Dialect{Refresh: dialect.Request{Path: "/token", Fields: []dialect.Field{
		{Value: dialect.RefreshToken, Place: dialect.InBody, Name: "refresh_token"},
		{Fixed: "refresh_token", Place: dialect.InQuery, Name: "grant_type"},
		{Fixed: "é&b=c", Place: dialect.InQuery, Name: "rest_route"},
	}}}
	s := &scribe{status: 200, body: `{"access_token":"new"}`}
	if _, err := s.client(d).Refresh(t.Context(), &oauth.TokenPair{RefreshToken: "r"}); err != nil {
		t.Fatal(err)
	}
	if got, want := s.requests[0].URL.RequestURI(), "/token?grant_type=refresh_token&rest_route=%C3%A9%26b%3Dc"; !strings.HasSuffix(got, want) || s.bodies[0] != `{"refresh_token":"r"}` {
		t.Errorf("sent to %s: %s; want %s", got, s.bodies[0], want)
	}
}
