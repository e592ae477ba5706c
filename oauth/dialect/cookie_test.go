package dialect

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
)

// Both tokens may come as cookies, beside whatever body, as from backends made for browsers.
func TestTokensComeAsCookies(t *testing.T) {
	both := Answer{AccessCookie: "at", RefreshCookie: "rt"}
	const minute = time.Minute
	for name, tt := range map[string]struct {
		status          int
		body            string
		cookies         []string
		access, refresh string
		life            time.Duration // of the access token; 0: not known
	}{
		"no body":               {204, "", []string{"at=at-2; Max-Age=60; HttpOnly", "rt=rt-2; Path=/auth; HttpOnly"}, "at-2", "rt-2", minute},
		"words":                 {200, "OK", []string{"at=at-2", "rt=rt-2"}, "at-2", "rt-2", 0},
		"a list":                {200, `["ok"]`, []string{"at=at-2", "rt=rt-2"}, "at-2", "rt-2", 0},
		"an object":             {200, `{"user":{"id":7},"expires_in":60}`, []string{"at=at-2; Max-Age=3600", "rt=rt-2"}, "at-2", "rt-2", minute},
		"an object that is cut": {200, `{"user":{"id":7`, []string{"at=at-2", "rt=rt-2"}, "at-2", "rt-2", 0},
		"set twice":             {200, `{}`, []string{"at=at-1", "rt=rt-1", "at=at-2", "rt=rt-2"}, "at-2", "rt-2", 0},
		"deleted, and set":      {200, `{}`, []string{"at=gone; Max-Age=0", "at=at-2", "rt=rt-2"}, "at-2", "rt-2", 0},
		"the body has one":      {200, `{"access_token":"at-2"}`, []string{"rt=rt-2"}, "at-2", "rt-2", 0},
		"no refresh token":      {204, "", []string{"at=at-2"}, "at-2", "", 0},
		"another's":             {204, "", []string{"session=at-2", "rt=rt-2"}, "", "rt-2", 0},
		"deleted":               {204, "", []string{"at=at-2; Max-Age=0", "rt=rt-2"}, "", "rt-2", 0},
		"too long":              {204, "", []string{"at=" + strings.Repeat("x", 17000), "rt=rt-2"}, "", "rt-2", 0},
		"a refusal":             {401, `{}`, []string{"at=at-2", "rt=rt-2"}, "", "", 0},
	} {
		a := answered(opRefresh, tt.status, tt.body)
		a.Settings.Spent = "rt-1"
		for _, cookie := range tt.cookies {
			a.Header.Add("Set-Cookie", cookie)
		}
		pair, fail := judge(both, nil, a)
		if tt.access == "" {
			if (pair != nil) != (tt.refresh != "") || pair != nil && (pair.AccessToken != "" || pair.RefreshToken != tt.refresh) || fail == nil {
				t.Errorf("%s: %v, %v; want an error, and no more than the refresh token %q", name, pair, fail, tt.refresh)
			}
			continue
		}
		if fail != nil || pair.AccessToken != tt.access || pair.RefreshToken != tt.refresh {
			t.Errorf("%s: %v, %v; want %s and %s", name, pair, fail, tt.access, tt.refresh)
			continue
		}
		if life, known := pair.Lifetime(); known != (tt.life > 0) || known && life != tt.life {
			t.Errorf("%s: the access token lives %v; want %v", name, life, tt.life)
		}
	}
}

// A token that tells its own end does not live as long as its cookie.
func TestACookieDoesNotMakeATokenLiveLonger(t *testing.T) {
	a := answered(opRefresh, http.StatusNoContent, "")
	now := a.ServerTime()
	a.Header.Add("Set-Cookie", "at="+bearer(now.Add(5*time.Minute))+"; Max-Age=864000")
	pair, fail := judge(Answer{AccessCookie: "at"}, nil, a)
	if fail != nil {
		t.Fatal(fail)
	}
	if life, known := pair.Lifetime(); !known || life > 5*time.Minute+time.Second || life < 4*time.Minute {
		t.Errorf("it lives %v, %v; want five minutes", life, known)
	}
}

// Where a dialect names neither cookie, the message says that it can name both.
func TestLaw5_TokensInCookiesWithoutADialectForThemAreUnread(t *testing.T) {
	a := answered(opRefresh, http.StatusOK, `{"ok":true}`, "Set-Cookie", "access_token=at-2")
	a.Header.Add("Set-Cookie", "refresh_token=rt-2")
	a.Settings.Spent = "rt-1"
	pair, fail := judge(Answer{}, nil, a)
	if pair != nil || fail == nil || fail.Verdict() != oauth.VerdictUnread || !strings.Contains(fail.Error()+fail.Hint, "AccessCookie") {
		t.Errorf("%v, %v", pair, fail)
	}
}

// bearer returns a JWT that ends at a time.
func bearer(end time.Time) string {
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"HS256"}`)) + "." + part(fmt.Appendf(nil, `{"exp":%d}`, end.Unix())) + "." + part([]byte("signature"))
}

// A backend may answer with the header that its APIs want, and with one of its own name for the
// refresh token: Devise-JWT, and tutorials for Spring.
func TestTokensComeInHeaders(t *testing.T) {
	jwt := "eyJhbGciOiJIUzI1NiJ9." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, sentAt.Add(time.Hour).Unix())) + ".c2ln"
	both := Answer{AccessHeader: "authorization", RefreshHeader: "X-Refresh-Token"}
	for name, tt := range map[string]struct {
		status          int
		body            string
		headers         []string
		access, refresh string // access empty: no pair
		misconfigured   bool   // and the answer is spent
	}{
		"no body":              {204, "", []string{"Authorization", "Bearer " + jwt, "X-Refresh-Token", "rt-2"}, jwt, "rt-2", false},
		"an object":            {200, `{"status":{"code":200,"message":"Logged in"}}`, []string{"Authorization", "Bearer " + jwt, "X-Refresh-Token", "Bearer rt-2"}, jwt, "rt-2", false},
		"words":                {200, "OK", []string{"Authorization", jwt, "X-Refresh-Token", "rt-2"}, jwt, "rt-2", false},
		"no refresh token":     {200, "", []string{"Authorization", "bearer " + jwt}, jwt, "", false},
		"the body has one":     {200, `{"access_token":"at-2"}`, []string{"X-Refresh-Token", "rt-2"}, "at-2", "rt-2", false},
		"the other has one":    {200, `{"refresh_token":"rt-2"}`, []string{"Authorization", "Bearer " + jwt}, jwt, "rt-2", false},
		"words for the other":  {200, `{"access_token":"at-2"}`, []string{"X-Refresh-Token", "see the body"}, "at-2", "", false},
		"under another name":   {200, "", []string{"X-Access-Token", jwt, "X-Refresh-Token", "rt-2"}, "", "", true},
		"a refusal":            {401, `{}`, []string{"Authorization", "Bearer " + jwt}, "", "", false},
		"no token, and a word": {200, `{"error":"no"}`, []string{"Authorization", "Bearer"}, "", "", false},
	} {
		for _, op := range []string{opLogin, opRefresh} {
			a := answered(op, tt.status, tt.body, tt.headers...)
			a.Settings.Spent = "rt-1"
			pair, fail := judge(both, nil, a)
			switch {
			case tt.access == "":
				kept := pair != nil && pair.AccessToken == "" && pair.RefreshToken == "rt-2" && op == opRefresh && tt.misconfigured
				if pair != nil && !kept || fail == nil || tt.misconfigured != (fail.Kind == oauth.ErrMisconfigured && fail.Field == "AccessHeader") {
					t.Errorf("%s, %s: %v, %v; want no pair, and that misconfigured is %v", op, name, pair, fail, tt.misconfigured)
				}
			case fail != nil || pair.AccessToken != tt.access || pair.RefreshToken != tt.refresh:
				t.Errorf("%s, %s: %v, %v; want %s and %s", op, name, pair, fail, tt.access, tt.refresh)
			default:
				if life, known := pair.Lifetime(); known != (tt.access == jwt) || known && life.Round(time.Minute) != time.Hour {
					t.Errorf("%s, %s: the access token lives %v", op, name, life)
				}
			}
		}
	}
}
