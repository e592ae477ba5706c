package backend

import (
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/evertoken/evertoken/internal/authserver/answer"
	"github.com/evertoken/evertoken/internal/authserver/keys"
)

const refreshField = "refresh_token" // in a body, and as a cookie

// kratos is a backend with an encoder of its own: snake case, errors under "error".
func kratos() speech {
	return speech{
		login: "/api/v1/auth/login", refresh: "/api/v1/auth/refresh", logout: "/api/v1/auth/logout",
		refreshToken: func(_ *http.Request, body []byte, _ url.Values) string { return jsonOrForm(body, nil, refreshField) },
		shows:        func(_ *Endpoints, a *answer.Answer) { only(a, "access_token", refreshField, "expires_in") },
		refuses: func(why refusal) *answer.Answer {
			e := kratosReasons[why]
			return kratosRefusal(why, answer.JSON(e.status, map[string]any{"error": map[string]any{
				"code": e.status, "reason": e.reason, "message": "oauthtest: " + strings.ToLower(e.reason),
			}}))
		},
		loggedOut: func() *answer.Answer { return answer.JSON(http.StatusOK, map[string]any{}) },
	}
}

type kratosReason struct {
	status int
	reason string
}

var kratosReasons = map[refusal]kratosReason{
	badPassword:  {http.StatusUnauthorized, "INVALID_CREDENTIALS"},
	unknownUser:  {http.StatusNotFound, "USER_NOT_FOUND"},
	noSuchUser:   {http.StatusNotFound, "USER_NOT_FOUND"},
	noToken:      {http.StatusBadRequest, "REFRESH_TOKEN_REQUIRED"},
	deadToken:    {http.StatusUnauthorized, "TOKEN_INVALID"},
	expiredToken: {http.StatusUnauthorized, "TOKEN_EXPIRED"},
	reusedToken:  {http.StatusUnauthorized, "TOKEN_REUSED"},
	storeDown:    {http.StatusInternalServerError, "INTERNAL"},
	noNewSession: {http.StatusInternalServerError, "INTERNAL"},
	noBody:       {http.StatusBadRequest, "CODEC"},
}

func kratosRefusal(why refusal, a *answer.Answer) *answer.Answer {
	switch why {
	case deadToken, expiredToken, reusedToken, unknownUser:
		a.Refused = true
	}
	return a
}

// GoKratosSettings are told in oauthtest.
type GoKratosSettings struct {
	ProtoNames   bool
	NestedErrors bool
	RefreshError bool
	NoMetadata   bool
}

// goKratos is a backend as the framework is by default: what protojson reads and writes,
// errors at the top, a media type on every request.
func goKratos(s GoKratosSettings) speech {
	sp := speech{
		login: "/api/v1/auth/login", refresh: "/api/v1/auth/refresh", logout: "/api/v1/auth/logout", api: "/api/v1/me",
		refreshToken: func(_ *http.Request, body []byte, form url.Values) string {
			if raw := jsonOrForm(body, form, refreshField); raw != "" {
				return raw
			}
			return jsonOrForm(body, form, "refreshToken")
		},
		reads: s.reads, refuses: s.refuses, admits: s.admits, caller: kratosCaller, shrugs: true,
		shows: func(e *Endpoints, a *answer.Answer) {
			tellsUser(e, a, "user")
			a.Fields = s.tokens(a)
		},
		loggedOut: func() *answer.Answer { return answer.JSON(http.StatusOK, map[string]any{}) },
	}
	sp.serves = func(e *Endpoints, r *http.Request) *answer.Answer {
		if refused := s.admits(e, r); refused != nil {
			return refused
		}
		return answer.JSON(http.StatusOK, map[string]any{"user": kratosCaller(e, r).Subject})
	}
	return sp
}

func kratosCaller(e *Endpoints, r *http.Request) *keys.AccessClaims {
	claims, _ := e.access(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), 0)
	return claims
}

// tokens are those of an answer as protojson writes the message: 64-bit numbers as strings.
func (s GoKratosSettings) tokens(a *answer.Answer) map[string]any {
	life, _ := a.Fields["expires_in"].(int64)
	refresh, _ := a.Fields[refreshField].(string)
	if s.ProtoNames {
		return map[string]any{"access_token": a.Fields["access_token"], refreshField: refresh, "expires_in": strconv.FormatInt(life, 10)}
	}
	return map[string]any{"accessToken": a.Fields["access_token"], "refreshToken": refresh, "expiresIn": strconv.FormatInt(life, 10)}
}

// reads refuses a request that no codec of the framework can read.
func (s GoKratosSettings) reads(r *http.Request, body []byte) *answer.Answer {
	header := r.Header.Get("Content-Type")
	switch kind, _, _ := mime.ParseMediaType(header); kind {
	case "application/x-www-form-urlencoded":
		return nil
	case "application/json":
		var fields map[string]any
		if len(body) > 0 && json.Unmarshal(body, &fields) != nil {
			return s.error(http.StatusBadRequest, "CODEC", "body unmarshal proto: syntax error")
		}
		return nil
	}
	return s.error(http.StatusBadRequest, "CODEC", "unregister Content-Type: "+header)
}

// admits refuses a request without an access token that lives.
func (s GoKratosSettings) admits(e *Endpoints, r *http.Request) *answer.Answer {
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !bearer && s.NoMetadata {
		return s.error(http.StatusUnauthorized, "UNAUTHORIZED", "oauthtest: unauthorized")
	}
	if !bearer {
		return s.error(http.StatusUnauthorized, "TOKEN_MISSING", "oauthtest: no access token")
	}
	if _, fault := e.access(token, 0); fault != accessGood {
		return s.error(http.StatusUnauthorized, "TOKEN_EXPIRED", "oauthtest: the access token is not valid")
	}
	return nil
}

func (s GoKratosSettings) refuses(why refusal) *answer.Answer {
	switch why {
	case deadToken, expiredToken, reusedToken, unknownUser:
		if s.RefreshError {
			return s.error(http.StatusInternalServerError, "REFRESH_ERROR", "oauthtest: refresh failed")
		}
	case storeDown, noNewSession: // an error that the program does not name has no reason
		return s.error(http.StatusInternalServerError, "", "oauthtest: connection refused")
	}
	e := kratosReasons[why]
	return kratosRefusal(why, s.error(e.status, e.reason, "oauthtest: "+strings.ToLower(e.reason)))
}

func (s GoKratosSettings) error(status int, reason, message string) *answer.Answer {
	fields := map[string]any{"code": status, "reason": reason, "message": message}
	if s.NestedErrors {
		return answer.JSON(status, map[string]any{"error": fields})
	}
	fields["metadata"] = map[string]any{}
	return answer.JSON(status, fields)
}
