package oauthtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/internal/authserver/refreshtokens"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// postJSON sends a body to one of the server's endpoints, with headers by name
// and value.
func postJSON(t *testing.T, s *oauthtest.Server, e oauthtest.Endpoint, body string, headers ...string) result {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Endpoint(e), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return send(s.Client(), r)
}

const goodLogin = `{"username":"alice","password":"wonderland"}`

func (r result) want(t *testing.T, status int, body string) {
	t.Helper()
	if r.err != nil || r.status != status || r.body != body {
		t.Errorf("HTTP %d %s (%v); want %d %s", r.status, r.body, r.err, status, body)
	}
}

// names returns the fields of an answer, sorted as JSON sorts them.
func (r result) names(t *testing.T) string {
	t.Helper()
	r.wantOK(t)
	var fields map[string]any
	if err := json.Unmarshal([]byte(r.body), &fields); err != nil {
		t.Fatal(err)
	}
	for name := range fields {
		fields[name] = 0
	}
	text, _ := json.Marshal(fields)
	return strings.NewReplacer(`:0`, "", `"`, "", "{", "", "}", "").Replace(string(text))
}

func (r result) wantReason(t *testing.T, status int, reason string) {
	t.Helper()
	e, _ := r.field(t, "error").(map[string]any)
	if r.status != status || e["reason"] != reason || e["code"] != float64(status) || e["message"] == "" {
		t.Errorf("HTTP %d %s; want %d %s", r.status, r.body, status, reason)
	}
}

func TestKratosBackend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{JWTRefreshTokens: true})
		b := oauthtest.KratosBackend
		postJSON(t, s, b.LoginEndpoint(), `{"username":"alice","password":"x"}`).wantReason(t, 401, "INVALID_CREDENTIALS")
		postJSON(t, s, b.LoginEndpoint(), `{"username":"bob","password":"x"}`).wantReason(t, 404, "USER_NOT_FOUND")
		first := postJSON(t, s, b.LoginEndpoint(), goodLogin)
		if got := first.names(t); got != "access_token,expires_in,refresh_token" {
			t.Errorf("login answers with %s", got)
		}
		refresh := func(token string) result {
			return postJSON(t, s, b.RefreshEndpoint(), `{"refresh_token":"`+token+`","device_id":"d"}`)
		}
		old := first.text(t, "refresh_token")
		if strings.Count(old, ".") != 2 {
			t.Error("the refresh token is not a JWT")
		}
		second := refresh(old).wantOK(t)
		if second.text(t, "refresh_token") == old || second.field(t, "expires_in") != 900.0 {
			t.Errorf("answer %s; want a new refresh token and 900 seconds", second.body)
		}
		if got := resourceStatus(t, s, second.text(t, "access_token")); got != 200 {
			t.Errorf("the resource answers %d", got)
		}
		refresh("").wantReason(t, 400, "REFRESH_TOKEN_REQUIRED")
		refresh("nonsense").wantReason(t, 401, "TOKEN_INVALID")
		refresh(old).wantReason(t, 401, "TOKEN_REUSED")
		refresh(second.text(t, "refresh_token")).wantReason(t, 401, "TOKEN_INVALID")
		wantMistakes(t, s, oauthtest.SpentTwice)

		expired := postJSON(t, s, b.LoginEndpoint(), goodLogin).text(t, "refresh_token")
		time.Sleep(oauthtest.DefaultRefreshTokenLifetime + time.Second)
		postJSON(t, s, b.LoginEndpoint(), goodLogin) // makes the server forget what has expired
		refresh(expired).wantReason(t, 401, "TOKEN_EXPIRED")
		ended := postJSON(t, s, b.LoginEndpoint(), goodLogin).text(t, "refresh_token")
		postJSON(t, s, b.LogoutEndpoint(), `{"refresh_token":"`+ended+`"}`).want(t, 200, "{}")
		refresh(ended).wantReason(t, 401, "TOKEN_INVALID")
		gone := postJSON(t, s, b.LoginEndpoint(), goodLogin).text(t, "refresh_token")
		s.EndUser("alice")
		refresh(gone).wantReason(t, 404, "USER_NOT_FOUND")
	})
}

// What it answers to what is in recorded_test.go; here is what becomes of the session.
func TestSanicJWTBackend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{})
		b := oauthtest.SanicJWTBackend
		first := postJSON(t, s, b.LoginEndpoint(), goodLogin)
		token := first.text(t, "refresh_token")
		if len(token) != 48 || strings.Trim(token, "0123456789abcdef") != "" {
			t.Errorf("the refresh token is %q; want 48 hexadecimal digits", token)
		}
		time.Sleep(time.Hour) // the access token is dead, which does not matter
		body, access := `{"refresh_token":"`+token+`"}`, "Bearer "+first.text(t, "access_token")
		s.Script(oauthtest.Fault{Endpoint: b.RefreshEndpoint(), User: "alice", Status: 503})
		if got := postJSON(t, s, b.RefreshEndpoint(), body, "Authorization", access); got.status != 503 {
			t.Errorf("HTTP %d; want alice's fault", got.status)
		}
		for range 2 {
			postJSON(t, s, b.RefreshEndpoint(), body, "Authorization", access).wantOK(t)
		}
		postJSON(t, s, b.RefreshEndpoint()+"/", body, "Authorization", access).wantOK(t) // Sanic is not strict
		if n := s.Requests(b.RefreshEndpoint()); n != 4 {
			t.Errorf("%d requests for refreshes; want 4, with and without a final slash", n)
		}
		if got := postJSON(t, s, b.RefreshEndpoint(), `{"refresh_token":7}`, "Authorization", access); got.status != 401 || got.text(t, "exception") != "AuthenticationFailed" {
			t.Errorf("a number for a refresh token: HTTP %d; want it to be another one than alice's", got.status)
		}
		postJSON(t, s, b.LogoutEndpoint(), body).want(t, 404, "oauthtest: there is no such page\n")
		wantMistakes(t, s)
	})
}

func TestGinJWTBackend(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{NoReuseDetection: true})
	b := oauthtest.GinJWTBackend
	postJSON(t, s, b.LoginEndpoint(), `{"username":"alice","password":"x"}`).
		want(t, 401, `{"code":401,"message":"incorrect Username or Password"}`)
	first := postJSON(t, s, b.LoginEndpoint(), goodLogin)
	if got := first.names(t); got != "access_token,expires_in,refresh_token,token_type" {
		t.Errorf("login answers with %s", got)
	}
	old := first.text(t, "refresh_token")
	second := postJSON(t, s, b.RefreshEndpoint(), `{"refresh_token":"`+old+`"}`).text(t, "refresh_token")
	third := post(t.Context(), s.Client(), s.Endpoint(b.RefreshEndpoint()), form("refresh_token", second)).wantOK(t).text(t, "refresh_token")
	fourth := postJSON(t, s, b.RefreshEndpoint(), `{"refresh_token":"`+old+`"}`, "Cookie", "refresh_token="+third).wantOK(t).text(t, "refresh_token")
	wantMistakes(t, s)
	postJSON(t, s, b.RefreshEndpoint(), ``).want(t, 400, `{"code":400,"message":"missing refresh_token parameter"}`)
	postJSON(t, s, b.RefreshEndpoint(), `{"refresh_token":"`+old+`"}`).want(t, 401, `{"code":401,"message":"invalid or expired refresh token"}`)
	wantMistakes(t, s, oauthtest.SpentTwice)
	for _, idle := range []string{``, `{"refresh_token":"nonsense"}`, `{"refresh_token":"` + third + `"}`} {
		postJSON(t, s, b.LogoutEndpoint(), idle).want(t, 200, `{"code":200}`)
	}
	if n := s.Sessions("alice"); n != 1 {
		t.Errorf("%d sessions after logouts with no token of one; want 1", n)
	}
	postJSON(t, s, b.LogoutEndpoint(), `{"refresh_token":"`+fourth+`"}`).want(t, 200, `{"code":200}`)
	if n := s.Sessions("alice"); n != 0 {
		t.Errorf("%d sessions after logout", n)
	}
}

// fullStore has no room for another refresh token.
type fullStore struct{ oauthtest.RefreshTokenStore }

func (fullStore) Set(context.Context, string, any, time.Time) error { return errors.New("full") }

func TestLoginAtABackendWhoseStoreIsDownIsNoRefusal(t *testing.T) {
	for b, body := range map[oauthtest.Backend]string{
		oauthtest.KratosBackend:   `{"error":{"code":500,"message":"oauthtest: internal","reason":"INTERNAL"}}`,
		oauthtest.GoKratosBackend: `{"code":500,"message":"oauthtest: connection refused","metadata":{},"reason":""}`,
		oauthtest.SanicJWTBackend: `{"description":"Internal Server Error","message":"The server encountered an internal error and cannot complete your request.","status":500}`,
		oauthtest.GinJWTBackend:   `{"code":500,"message":"failed to create JWT Token"}`,
		oauthtest.ASPNETBackend:   ``,
		oauthtest.CookieBackend:   ``,
	} {
		s := oauthtest.New(oauthtest.Config{RefreshTokens: fullStore{new(refreshtokens.Memory)}})
		postJSON(t, s, b.LoginEndpoint(), goodLogin).want(t, 500, body)
	}
}

func TestASPNETBackend(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	b := oauthtest.ASPNETBackend
	postJSON(t, s, b.LoginEndpoint(), `{"username":"alice","password":"x"}`).want(t, 401, "")
	first := postJSON(t, s, b.LoginEndpoint(), goodLogin)
	if got := first.names(t); got != "accessToken,refreshToken" {
		t.Errorf("login answers with %s", got)
	}
	old := first.text(t, "refreshToken")
	second := postJSON(t, s, b.RefreshEndpoint(), `"`+old+`"`)
	if got := second.names(t); got != "accessToken,refreshToken" {
		t.Errorf("refresh answers with %s", got)
	}
	postJSON(t, s, b.RefreshEndpoint(), `{"refresh_token":"x"}`).want(t, 400, "")
	postJSON(t, s, b.RefreshEndpoint(), `"nonsense"`).want(t, 401, "")
	wantMistakes(t, s)
	postJSON(t, s, b.LogoutEndpoint(), `"`+second.text(t, "refreshToken")+`"`).want(t, 204, "")
	postJSON(t, s, b.LogoutEndpoint(), `"nonsense"`).want(t, 401, "")
	if n := s.Sessions("alice"); n != 0 {
		t.Errorf("%d sessions after logout", n)
	}

	plain := oauthtest.New(oauthtest.Config{NoRotation: true})
	old = postJSON(t, plain, b.LoginEndpoint(), goodLogin).text(t, "refreshToken")
	if got := postJSON(t, plain, b.RefreshEndpoint(), `"`+old+`"`).names(t); got != "accessToken" {
		t.Errorf("refresh without rotation answers with %s", got)
	}
}

func TestCookieBackend(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	b := oauthtest.CookieBackend
	cookieOf := func(r result) *http.Cookie {
		t.Helper()
		cookies := (&http.Response{Header: r.header}).Cookies()
		if len(cookies) != 1 || cookies[0].Name != "refresh_token" || !cookies[0].HttpOnly || !cookies[0].Secure {
			t.Fatalf("cookies %v; want one, HttpOnly and Secure", cookies)
		}
		return cookies[0]
	}
	first := postJSON(t, s, b.LoginEndpoint(), goodLogin)
	if got := first.names(t); got != "access_token,expires_in" {
		t.Errorf("login answers with %s", got)
	}
	old := cookieOf(first)
	if old.MaxAge != 7*24*3600 {
		t.Errorf("the cookie lives %d s; want a week", old.MaxAge)
	}
	second := postJSON(t, s, b.RefreshEndpoint(), "", "Cookie", "refresh_token="+old.Value)
	if got := second.names(t); got != "access_token,expires_in" || cookieOf(second).Value == old.Value {
		t.Errorf("refresh answers with %s, a new cookie %v", got, cookieOf(second).Value != old.Value)
	}
	postJSON(t, s, b.RefreshEndpoint(), `{"refresh_token":"x"}`).want(t, 400, "")
	wantMistakes(t, s)
	out := postJSON(t, s, b.LogoutEndpoint(), "", "Cookie", "refresh_token="+cookieOf(second).Value)
	out.want(t, 204, "")
	if c := cookieOf(out); c.Value != "" || c.MaxAge >= 0 {
		t.Errorf("logout leaves the cookie %v", c)
	}
	postJSON(t, s, b.RefreshEndpoint(), "", "Cookie", "refresh_token="+cookieOf(second).Value).want(t, 401, "")
	wantMistakes(t, s, oauthtest.SpentAfterRevocation)
}

func TestBackendsTakeFaultsAndListen(t *testing.T) {
	s := oauthtest.NewServer(oauthtest.Config{IssuerPath: "/tenant"})
	defer s.Close()
	for _, b := range []oauthtest.Backend{
		oauthtest.KratosBackend, oauthtest.GoKratosBackend, oauthtest.SanicJWTBackend, oauthtest.GinJWTBackend, oauthtest.ASPNETBackend, oauthtest.CookieBackend,
	} {
		cfg := s.DialectConfig(b)
		if want := s.Issuer() + string(b); cfg.BaseURL != want || cfg.HTTPClient != nil {
			t.Errorf("%s is at %s with client %v; want %s and sockets", b, cfg.BaseURL, cfg.HTTPClient, want)
		}
		for _, e := range []oauthtest.Endpoint{b.LoginEndpoint(), b.RefreshEndpoint()} {
			s.Script(oauthtest.Fault{Endpoint: e, Status: 418})
			for _, want := range []int{418, 405} {
				if got := get(t.Context(), http.DefaultClient, s.Endpoint(e), ""); got.err != nil || got.status != want {
					t.Errorf("GET %s: %d, %v; want %d", e, got.status, got.err, want)
				}
			}
		}
	}
}
