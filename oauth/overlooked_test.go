package oauth

import (
	"errors"
	"strings"
	"testing"
)

// A refresh token that the answer brings takes the place of the one that was sent, or that one
// is known to be spent: sent again, it would be reuse. rt-1 was sent, and "" means that it is
// kept.
func TestLaw5_ARefreshTokenElsewhereInTheAnswerIsNotOverlooked(t *testing.T) {
	const jwt, unread = "eyJhbGciOiJIUzI1NiJ9.e30.c2ln", "(unread)"
	long := strings.Repeat("0123456789abcdef", 2)
	for _, tt := range []struct{ path, body, cookie, want string }{
		{"", `{"access_token":"at-2","refreshToken":"rt-2"}`, "", "rt-2"},
		{"", `{"access_token":"at-2","RefreshToken":"rt-2"}`, "", "rt-2"},
		{"", `{"access_token":"at-2","refresh-token":"rt-2"}`, "", "rt-2"},
		{"", `{"access_token":"at-2","refresh_token":"","Refresh_Token":"rt-2"}`, "", "rt-2"},
		{"", `{"access_token":"at-2","refresh_token":null,"refreshToken":"rt-2"}`, "", "rt-2"},
		{"", `{"access_token":"at-2","refresh_token":"rt-2","refresh_token":""}`, "", "rt-2"},
		{"", `{"access_token":"at-2","refresh_token":"rt-2","refresh_token":null,}`, "", "rt-2"},
		{"", `{"access_token":"at-2","refresh_token":"rt-2"}`, "refresh_token=rt-3", "rt-2"},

		{"", `{"access_token":"at-2","new_refresh_token":"rt-2"}`, "", unread},
		{"", `{"access_token":"at-2","refresh_token_2":"rt-2"}`, "", unread},
		{"", `{"access_token":"at-2","data":{"refresh_token":"rt-2"}}`, "", unread},
		{"", `{"access_token":"at-2","data":{"access_token":"at-2","refresh_token":"rt-2"}}`, "", unread},
		{"", `{"access_token":"at-2","tokens":{"refresh":"rt-2"}}`, "", unread},
		{"", `{"access_token":"at-2","refresh":"` + jwt + `"}`, "", unread},
		{"", `{"access_token":"at-2","refresh":"` + long + `"}`, "", unread},
		{"data", `{"data":{"access_token":"at-2"},"refresh_token":"rt-2"}`, "", unread},
		{"", `{"access_token":"at-2"}`, "refresh_token=rt-2; HttpOnly", unread},
		{"", `{"access_token":"at-2"}`, "__Host-refreshToken=rt-2; Max-Age=60", unread},
		{"", `{"access_token":"at-2"}`, `refresh_token={"t":"rt-2"}`, unread},

		{"", `{"access_token":"at-2"}`, "", ""},
		{"", `{"access_token":"at-2","refresh_token_expires_in":86400,"refresh_expires_in":86400}`, "", ""},
		{"", `{"access_token":"at-2","refresh_url":"/refresh","refresh":"/oauth/token/refresh/now"}`, "", ""},
		{"", `{"access_token":"at-2","refresh":3600,"has_refresh_token":true,"rotate_refresh_token":"false"}`, "", ""},
		{"", `{"access_token":"at-2","refresh":"2026-11-20T10:00:00Z","tokens":{"refresh":"2026-11-20T10:00:00Z"}}`, "", ""},
		{"", `{"access_token":"at-2","data":{"refresh_token":"rt-1"},"refreshToken":"rt-1"}`, "", ""},
		{"", `{"access_token":"at-2","data":{"refresh_token":"rt-1"}}`, "refresh_token=rt%2D1", ""},
		{"", `{"access_token":"at-2","other_tokens":[{"access_token":"other","refresh_token":"other"}]}`, "", ""},
		{"data", `{"data":{"access_token":"at-2"},"access_token":"other","refresh_token":"other"}`, "", ""},
		{"", `{"access_token":"at-2"}`, "refresh_token=rt-2; Max-Age=0", ""},
		{"", `{"access_token":"at-2"}`, "refresh_token=rt-2; Expires=Thu, 01 Jan 1970 00:00:00 GMT", ""},
		{"", `{"access_token":"at-2"}`, "lang=de", ""},
	} {
		a := answered(opRefresh, 200, tt.body, "Set-Cookie", tt.cookie)
		a.Settings.Spent, a.Settings.TokenPath = "rt-1", tt.path
		pair, fail := judge(a)
		switch {
		case pair == nil || pair.AccessToken != "at-2":
			t.Errorf("%s %s: %v, %v; want the access token", tt.body, tt.cookie, pair, fail)
		case tt.want == unread:
			if fail == nil || fail.Verdict() != VerdictUnread || !errors.Is(fail, ErrMisconfigured) || strings.Contains(fail.Error(), "rt-2") || fail.Hint == "" {
				t.Errorf("%s %s: %v; want it unread", tt.body, tt.cookie, fail)
			}
		case fail != nil || pair.RefreshToken != tt.want && (tt.want != "" || pair.RefreshToken != "rt-1"):
			t.Errorf("%s %s: refresh token %q, %v; want %q", tt.body, tt.cookie, pair.RefreshToken, fail, tt.want)
		}
		if pair != nil && len(pair.Extra) > 0 && pair.Extra["refreshToken"] != nil && tt.want == "rt-2" {
			t.Errorf("%s: the refresh token is kept a second time", tt.body)
		}
	}
	if pair, fail := judge(answered("exchange", 200, `{"access_token":"at-2","data":{"refresh_token":"rt-2"}}`)); fail != nil || pair == nil {
		t.Errorf("at a login: %v, %v", pair, fail)
	}
}
