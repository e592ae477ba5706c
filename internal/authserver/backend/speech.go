package backend

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/evertoken/evertoken/internal/authserver/answer"
)

const refreshField = "refresh_token" // in a body, and as a cookie

func kratos() speech {
	return speech{
		login: "/api/v1/auth/login", refresh: "/api/v1/auth/refresh", logout: "/api/v1/auth/logout",
		refreshToken: func(_ *http.Request, body []byte, _ url.Values) string { return jsonOrForm(body, nil, refreshField) },
		shows:        func(_ *Endpoints, a *answer.Answer) { only(a, "access_token", refreshField, "expires_in") },
		refuses:      kratosError,
		loggedOut:    func() *answer.Answer { return answer.JSON(http.StatusOK, map[string]any{}) },
	}
}

func kratosError(why refusal) *answer.Answer {
	e := map[refusal]struct {
		status int
		reason string
	}{
		badPassword:  {http.StatusUnauthorized, "INVALID_CREDENTIALS"},
		unknownUser:  {http.StatusNotFound, "USER_NOT_FOUND"},
		noToken:      {http.StatusBadRequest, "REFRESH_TOKEN_REQUIRED"},
		deadToken:    {http.StatusUnauthorized, "TOKEN_INVALID"},
		expiredToken: {http.StatusUnauthorized, "TOKEN_EXPIRED"},
		reusedToken:  {http.StatusUnauthorized, "TOKEN_REUSED"},
		storeDown:    {http.StatusInternalServerError, "INTERNAL"},
		noNewSession: {http.StatusInternalServerError, "INTERNAL"},
	}[why]
	a := answer.JSON(e.status, map[string]any{"error": map[string]any{
		"code": e.status, "reason": e.reason, "message": "oauthtest: " + strings.ToLower(e.reason),
	}})
	a.Refused = why != storeDown && why != noNewSession && why != noToken
	return a
}

func sanicJWT() speech {
	return speech{
		login: "/auth", refresh: "/auth/refresh", keeps: true,
		refreshToken: func(_ *http.Request, body []byte, _ url.Values) string { return jsonOrForm(body, nil, refreshField) },
		guard:        sanicGuard,
		// begin and refreshed put a refresh token into a login's answer alone.
		shows:   func(_ *Endpoints, a *answer.Answer) { only(a, "access_token", refreshField) },
		refuses: sanicRefusal,
	}
}

// sanicGuard wants the session's access token, dead or alive.
func sanicGuard(e *Endpoints, r *http.Request, raw string) *answer.Answer {
	header := r.Header.Get("Authorization")
	if header == "" {
		return sanicError(http.StatusBadRequest, "MissingAuthorizationHeader", "Authorization header not present.")
	}
	scheme, token, _ := strings.Cut(header, " ")
	if scheme != "Bearer" {
		return sanicError(http.StatusBadRequest, "InvalidAuthorizationHeader", "Authorization header is invalid.")
	}
	claims, err := e.Keys.Verify(token)
	if err != nil {
		return sanicError(http.StatusUnauthorized, "Unauthorized", "Auth required.")
	}
	if k, known := e.Sessions.Recall(raw); known && k.Session != claims.Session {
		return sanicRefusal(deadToken)
	}
	return nil
}

func sanicRefusal(why refusal) *answer.Answer {
	if why == storeDown || why == noNewSession {
		return sanicError(http.StatusInternalServerError, "ServerError", "Internal Server Error")
	}
	a := sanicError(http.StatusUnauthorized, "AuthenticationFailed", "Authentication failed.")
	a.Refused = true
	return a
}

func sanicError(status int, exception, reason string) *answer.Answer {
	return answer.JSON(status, map[string]any{"reasons": []any{reason}, "exception": exception})
}

func ginJWT() speech {
	return speech{
		login: "/login", refresh: "/refresh", logout: "/logout",
		refreshToken: func(r *http.Request, body []byte, form url.Values) string {
			if c, err := r.Cookie(refreshField); err == nil {
				return c.Value
			}
			return jsonOrForm(body, form, refreshField)
		},
		shows: func(_ *Endpoints, a *answer.Answer) {
			only(a, "access_token", "token_type", "expires_in", refreshField)
		},
		refuses:   ginError,
		shrugs:    true,
		loggedOut: func() *answer.Answer { return answer.JSON(http.StatusOK, map[string]any{"code": http.StatusOK}) },
	}
}

// ginError has one status for a token that is not valid and for a store that cannot
// be asked for it. A client that asks again has not been told otherwise.
func ginError(why refusal) *answer.Answer {
	status, message := http.StatusUnauthorized, "invalid or expired refresh token"
	switch why {
	case badPassword, unknownUser:
		message = "incorrect Username or Password"
	case noToken:
		status, message = http.StatusBadRequest, "missing refresh_token parameter"
	case storeDown:
		message = "dial tcp: connection refused"
	case noNewSession:
		status, message = http.StatusInternalServerError, "failed to create JWT Token"
	}
	a := answer.JSON(status, map[string]any{"code": status, "message": message})
	a.Header.Set("WWW-Authenticate", `JWT realm="oauthtest"`)
	return a
}

func aspNET() speech {
	return speech{
		login: "/login", refresh: "/refresh-token", logout: "/logout",
		refreshToken: func(_ *http.Request, body []byte, _ url.Values) string {
			var raw string
			if json.Unmarshal(body, &raw) != nil {
				return ""
			}
			return raw
		},
		shows: func(_ *Endpoints, a *answer.Answer) {
			fields := map[string]any{"accessToken": a.Fields["access_token"]}
			if raw, rotated := a.Fields[refreshField]; rotated {
				fields["refreshToken"] = raw
			}
			a.Fields = fields
		},
		refuses:   statusOnly,
		loggedOut: func() *answer.Answer { return &answer.Answer{Status: http.StatusNoContent, Header: http.Header{}} },
	}
}

// statusOnly is a refusal without a word.
func statusOnly(why refusal) *answer.Answer {
	status := http.StatusUnauthorized
	switch why {
	case noToken:
		status = http.StatusBadRequest
	case storeDown, noNewSession:
		status = http.StatusInternalServerError
	}
	return &answer.Answer{Status: status, Header: http.Header{}}
}

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
