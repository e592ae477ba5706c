package dialect

import (
	"net/http"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/oauth"
)

// A refresh token in another place than the dialect has is taken where it can be meant by
// nothing else, and otherwise known to be unread: the one that was sent is spent.
func TestLaw5_ARefreshTokenOutsideOfTheDialectIsNotOverlooked(t *testing.T) {
	const unread = "(unread)"
	named := Answer{AccessToken: "token", RefreshToken: "rtoken"}
	for name, tt := range map[string]struct {
		n                  Answer
		body, cookie, want string
	}{
		"the standard name":         {named, `{"token":"at-2","refresh_token":"rt-2"}`, "", "rt-2"},
		"in camel case":             {named, `{"token":"at-2","refreshToken":"rt-2"}`, "", "rt-2"},
		"the name, empty":           {named, `{"token":"at-2","rtoken":"","refresh_token":"rt-2"}`, "", "rt-2"},
		"the name and another":      {named, `{"token":"at-2","rtoken":"rt-2","refresh_token":"x"}`, "", "rt-2"},
		"deeper":                    {Kratos().Answer, `{"accessToken":"at-2","tokens":{"refreshToken":"rt-2"}}`, "", unread},
		"a cookie":                  {GinJWT().Answer, `{"access_token":"at-2"}`, "refresh_token=rt-2; HttpOnly", unread},
		"a prefix":                  {Cookie().Answer, `{"access_token":"at-2"}`, "__Host-refresh_token=rt-2; HttpOnly", unread},
		"another spelling":          {Cookie().Answer, `{"access_token":"at-2"}`, "refreshToken=rt-2; HttpOnly", unread},
		"JSON in the cookie":        {Cookie().Answer, `{"access_token":"at-2"}`, `refresh_token={"t":"rt-2"}; HttpOnly`, unread},
		"a cookie too long to keep": {Cookie().Answer, `{"access_token":"at-2"}`, "refresh_token=" + strings.Repeat("x", 17000), unread},
		"a cookie of its own name":  {Answer{RefreshCookie: "sid"}, `{"access_token":"at-2"}`, `sid={"t":"rt-2"}`, unread},
		"the cookie":                {Cookie().Answer, `{"access_token":"at-2"}`, "refresh_token=rt-2", "rt-2"},
		"the cookie is deleted":     {Cookie().Answer, `{"access_token":"at-2"}`, "refresh_token=rt-2; Max-Age=0", ""},
		"the one that was sent":     {GinJWT().Answer, `{"access_token":"at-2"}`, "refresh_token=rt-1", ""},
		"none":                      {named, `{"token":"at-2","refresh_in":5}`, "", ""},
	} {
		a := answered(opRefresh, http.StatusOK, tt.body, "Set-Cookie", tt.cookie)
		a.Settings.Spent = "rt-1"
		pair, fail := judge(tt.n, nil, a)
		switch {
		case pair == nil || pair.AccessToken != "at-2":
			t.Errorf("%s: %v, %v; want the access token", name, pair, fail)
		case tt.want == unread:
			if fail == nil || fail.Verdict() != oauth.VerdictUnread || strings.Contains(fail.Error(), "rt-2") {
				t.Errorf("%s: %v; want it unread", name, fail)
			}
		case fail != nil || pair.RefreshToken != tt.want:
			t.Errorf("%s: refresh token %q, %v; want %q", name, pair.RefreshToken, fail, tt.want)
		case pair.Extra["refresh_token"] != nil:
			t.Errorf("%s: the refresh token is kept a second time", name)
		}
	}
}

// A digit makes another name.
func TestTokenTwoIsNotTheToken(t *testing.T) {
	pair, fail := judge(Answer{AccessToken: "token"}, nil, answered(opRefresh, http.StatusOK, `{"token_2":"second-factor","user":1}`))
	if pair != nil || fail == nil {
		t.Errorf("%v, %v; want no pair", pair, fail)
	}
	if pair, fail := judge(Answer{AccessToken: "token_2"}, nil, answered(opRefresh, http.StatusOK, `{"Token2":"at-2"}`)); fail != nil || pair.AccessToken != "at-2" {
		t.Errorf("%v, %v; want the token", pair, fail)
	}
}
