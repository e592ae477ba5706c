package oauthtest

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

const refreshField = "refresh_token" // in a body, and as a cookie

func kratos() speech {
	return speech{
		login: "/api/v1/auth/login", refresh: "/api/v1/auth/refresh", logout: "/api/v1/auth/logout",
		refreshToken: func(_ *http.Request, body []byte, _ url.Values) string { return jsonOrForm(body, nil, refreshField) },
		shows:        func(_ *Server, a *answer) { only(a, "access_token", refreshField, "expires_in") },
		refuses:      kratosError,
		loggedOut:    func() *answer { return jsonAnswer(http.StatusOK, map[string]any{}) },
	}
}

func kratosError(why refusal) *answer {
	e := map[refusal]struct {
		status int
		reason string
	}{
		badPassword:  {http.StatusUnauthorized, "INVALID_CREDENTIALS"},
		nobody:       {http.StatusNotFound, "USER_NOT_FOUND"},
		noToken:      {http.StatusBadRequest, "REFRESH_TOKEN_REQUIRED"},
		deadToken:    {http.StatusUnauthorized, "TOKEN_INVALID"},
		expiredToken: {http.StatusUnauthorized, "TOKEN_EXPIRED"},
		reusedToken:  {http.StatusUnauthorized, "TOKEN_REUSED"},
		storeDown:    {http.StatusInternalServerError, "INTERNAL"},
		noNewSession: {http.StatusInternalServerError, "INTERNAL"},
	}[why]
	a := jsonAnswer(e.status, map[string]any{"error": map[string]any{
		"code": e.status, "reason": e.reason, "message": "oauthtest: " + strings.ToLower(e.reason),
	}})
	a.refused = why != storeDown && why != noNewSession && why != noToken
	return a
}

func sanicJWT() speech {
	return speech{
		login: "/auth", refresh: "/auth/refresh", keeps: true,
		refreshToken: func(_ *http.Request, body []byte, _ url.Values) string { return jsonOrForm(body, nil, refreshField) },
		guard:        sanicGuard,
		// begin and refreshed put a refresh token into a login's answer alone.
		shows:   func(_ *Server, a *answer) { only(a, "access_token", refreshField) },
		refuses: sanicRefusal,
	}
}

// sanicGuard wants the session's access token, dead or alive.
func sanicGuard(s *Server, r *http.Request, raw string) *answer {
	header := r.Header.Get("Authorization")
	if header == "" {
		return sanicError(http.StatusBadRequest, "MissingAuthorizationHeader", "Authorization header not present.")
	}
	scheme, token, _ := strings.Cut(header, " ")
	if scheme != "Bearer" {
		return sanicError(http.StatusBadRequest, "InvalidAuthorizationHeader", "Authorization header is invalid.")
	}
	claims, err := s.keys.verify(token)
	if err != nil {
		return sanicError(http.StatusUnauthorized, "Unauthorized", "Auth required.")
	}
	s.mu.Lock()
	st := s.tokens[hashOf(raw)]
	s.mu.Unlock()
	if st != nil && st.session.Session != claims.Session {
		return sanicRefusal(deadToken)
	}
	return nil
}

func sanicRefusal(why refusal) *answer {
	if why == storeDown || why == noNewSession {
		return sanicError(http.StatusInternalServerError, "ServerError", "Internal Server Error")
	}
	a := sanicError(http.StatusUnauthorized, "AuthenticationFailed", "Authentication failed.")
	a.refused = true
	return a
}

func sanicError(status int, exception, reason string) *answer {
	return jsonAnswer(status, map[string]any{"reasons": []any{reason}, "exception": exception})
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
		shows:     func(_ *Server, a *answer) { only(a, "access_token", "token_type", "expires_in", refreshField) },
		refuses:   ginError,
		shrugs:    true,
		loggedOut: func() *answer { return jsonAnswer(http.StatusOK, map[string]any{"code": http.StatusOK}) },
	}
}

// ginError has one status for a token that is no good and for a store that cannot
// be asked for it. A client that asks again has not been told otherwise.
func ginError(why refusal) *answer {
	status, message := http.StatusUnauthorized, "invalid or expired refresh token"
	switch why {
	case badPassword, nobody:
		message = "incorrect Username or Password"
	case noToken:
		status, message = http.StatusBadRequest, "missing refresh_token parameter"
	case storeDown:
		message = "dial tcp: connection refused"
	case noNewSession:
		status, message = http.StatusInternalServerError, "failed to create JWT Token"
	}
	a := jsonAnswer(status, map[string]any{"code": status, "message": message})
	a.header.Set("WWW-Authenticate", `JWT realm="oauthtest"`)
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
		shows: func(_ *Server, a *answer) {
			fields := map[string]any{"accessToken": a.fields["access_token"]}
			if raw, rotated := a.fields[refreshField]; rotated {
				fields["refreshToken"] = raw
			}
			a.fields = fields
		},
		refuses:   statusOnly,
		loggedOut: func() *answer { return &answer{status: http.StatusNoContent, header: http.Header{}} },
	}
}

// statusOnly is a refusal without a word.
func statusOnly(why refusal) *answer {
	status := http.StatusUnauthorized
	switch why {
	case noToken:
		status = http.StatusBadRequest
	case storeDown, noNewSession:
		status = http.StatusInternalServerError
	}
	return &answer{status: status, header: http.Header{}}
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
		shows: func(s *Server, a *answer) {
			if raw := text(a.fields, refreshField); raw != "" {
				setRefreshCookie(a, raw, int(s.cfg.RefreshTokenLifetime.Seconds()))
			}
			only(a, "access_token", "expires_in")
		},
		refuses: statusOnly,
		loggedOut: func() *answer {
			a := &answer{status: http.StatusNoContent, header: http.Header{}}
			setRefreshCookie(a, "", -1)
			return a
		},
	}
}

func setRefreshCookie(a *answer, raw string, maxAge int) {
	c := http.Cookie{
		Name: refreshField, Value: raw, MaxAge: maxAge, Path: "/",
		HttpOnly: true, Secure: true, SameSite: http.SameSiteStrictMode,
	}
	a.header.Set("Set-Cookie", c.String())
}

// expiredJWT reports whether raw is a refresh token of ours that says itself that
// it has expired.
func (s *Server) expiredJWT(raw string) bool {
	_, err := jwt.Parse(raw, func(*jwt.Token) (any, error) { return s.secret, nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithTimeFunc(s.now))
	return errors.Is(err, jwt.ErrTokenExpired)
}
