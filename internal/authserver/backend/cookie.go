package backend

import (
	"net/http"
	"net/url"

	"github.com/evertoken/evertoken/internal/authserver/answer"
)

func cookieBackend() speech {
	return speech{
		login: "/auth/login", refresh: "/auth/refresh", logout: "/auth/logout",
		refreshToken: func(r *http.Request, _ []byte, _ url.Values) string {
			c, err := r.Cookie(refreshField)
			if err != nil {
				return ""
			}
			return c.Value
		},
		shows: func(e *Endpoints, a *answer.Answer) {
			if raw := a.String(refreshField); raw != "" {
				setRefreshCookie(a, raw, int(e.RefreshTokenLifetime.Seconds()))
			}
			only(a, "access_token", "expires_in")
		},
		refuses: statusOnly,
		loggedOut: func() *answer.Answer {
			a := &answer.Answer{Status: http.StatusNoContent, Header: http.Header{}}
			setRefreshCookie(a, "", -1)
			return a
		},
	}
}

func setRefreshCookie(a *answer.Answer, raw string, maxAge int) {
	c := http.Cookie{
		Name: refreshField, Value: raw, MaxAge: maxAge, Path: "/",
		HttpOnly: true, Secure: true, SameSite: http.SameSiteStrictMode,
	}
	a.Header.Set("Set-Cookie", c.String())
}
