package backend

import (
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/evertoken/evertoken/internal/authserver/answer"
)

// ASPNETSettings are told in oauthtest.
type ASPNETSettings struct {
	Problems    bool
	BareRefresh bool
}

// aspNET is a server as many tutorials for ASP.NET Core have it.
func aspNET(s ASPNETSettings) speech {
	return speech{
		login: "/login", refresh: "/refresh-token", logout: "/logout",
		refreshToken: func(_ *http.Request, body []byte, _ url.Values) string {
			var raw string
			if json.Unmarshal(body, &raw) != nil {
				return ""
			}
			return raw
		},
		shows:     s.shows,
		refuses:   s.refuses,
		loggedOut: func() *answer.Answer { return &answer.Answer{Status: http.StatusNoContent, Header: http.Header{}} },
	}
}

// shows writes names in camel case, or after a refresh without another refresh token the
// access token alone.
func (s ASPNETSettings) shows(e *Endpoints, a *answer.Answer) {
	tellsUser(e, a, "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name")
	access, raw := a.String("access_token"), a.String(refreshField)
	if s.BareRefresh && raw == "" {
		a.Body, _ = json.Marshal(access) // strings never fail
		a.Fields = nil
		return
	}
	a.Fields = map[string]any{"accessToken": access}
	if raw != "" {
		a.Fields["refreshToken"] = raw
	}
}

// refuses says a status alone, or what the framework makes of it for API controllers
// (RFC 9457).
func (s ASPNETSettings) refuses(why refusal) *answer.Answer {
	if !s.Problems {
		return statusOnly(why)
	}
	status := statusOnly(why).Status
	a := answer.JSON(status, map[string]any{
		"type": "https://tools.ietf.org/html/rfc9110#section-15.5.2", "title": http.StatusText(status), "status": status,
		"traceId": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
	})
	switch status {
	case http.StatusBadRequest:
		a.Fields["type"], a.Fields["title"] = "https://tools.ietf.org/html/rfc9110#section-15.5.1", "One or more validation errors occurred."
		a.Fields["errors"] = map[string]any{"": []any{"A non-empty request body is required."}}
	case http.StatusInternalServerError:
		a.Fields["type"], a.Fields["title"] = "https://tools.ietf.org/html/rfc9110#section-15.6.1", "An error occurred while processing your request."
	}
	a.Header.Set("Content-Type", "application/problem+json; charset=utf-8")
	return a
}

// statusOnly is a refusal without a word.
func statusOnly(why refusal) *answer.Answer {
	status := http.StatusUnauthorized
	switch why {
	case noToken, noBody:
		status = http.StatusBadRequest
	case storeDown, noNewSession:
		status = http.StatusInternalServerError
	}
	return &answer.Answer{Status: status, Header: http.Header{}}
}
