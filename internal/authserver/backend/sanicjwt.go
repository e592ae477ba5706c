package backend

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evertoken/evertoken/internal/authserver/answer"
	"github.com/evertoken/evertoken/internal/authserver/form"
	"github.com/evertoken/evertoken/internal/authserver/keys"
)

// SanicJWTSettings are told in oauthtest, under the names that the library has.
type SanicJWTSettings struct {
	URLPrefix, PathToAuthenticate, PathToRefresh, PathToVerify string

	AccessTokenName, RefreshTokenName string

	AuthorizationHeader, AuthorizationHeaderPrefix string
	NoAuthorizationHeaderPrefix                    bool

	CookieSet, CookieLax, CookieSplit                              bool
	CookieAccessTokenName, CookieSignatureName, CookieRefreshToken string

	QueryStringSet, QueryStringLax bool

	ClaimAud, ClaimIss string
	Leeway             time.Duration
}

func (s SanicJWTSettings) withDefaults() SanicJWTSettings {
	for field, value := range map[*string]string{
		&s.URLPrefix: "/auth", &s.PathToAuthenticate: "/", &s.PathToRefresh: "/refresh", &s.PathToVerify: "/verify",
		&s.AccessTokenName: "access_token", &s.RefreshTokenName: refreshField,
		&s.AuthorizationHeader: "Authorization", &s.AuthorizationHeaderPrefix: "Bearer",
		&s.CookieAccessTokenName: "access_token", &s.CookieSignatureName: "access_token_signature", &s.CookieRefreshToken: refreshField,
	} {
		if *field == "" {
			*field = value
		}
	}
	if s.NoAuthorizationHeaderPrefix {
		s.AuthorizationHeaderPrefix = ""
	}
	if s.Leeway == 0 {
		s.Leeway = 3 * time.Minute
	}
	return s
}

// A sanicApp is a program on the library: its settings, and the refresh token that the
// program keeps for each person, as the library's documentation has it. The next login
// overwrites it.
type sanicApp struct {
	SanicJWTSettings

	mu     sync.Mutex        // guards what follows
	newest map[string]string // by person, as the client has it
	known  map[string]string // as the server's sessions have it, by how the client has it
}

func sanicJWT(s SanicJWTSettings) speech {
	app := &sanicApp{SanicJWTSettings: s, newest: make(map[string]string), known: make(map[string]string)}
	return speech{
		login: strings.TrimSuffix(s.URLPrefix+s.PathToAuthenticate, "/"), refresh: s.URLPrefix + s.PathToRefresh, api: s.URLPrefix + s.PathToVerify,
		keeps: true, refreshToken: app.refreshToken, spends: app.spends, guard: app.guard, shows: app.shows, refuses: sanicRefusal,
		serves: app.verify,
	}
}

// refreshToken reads a request as the library does: with cookies only those, unless they are
// lax.
func (app *sanicApp) refreshToken(r *http.Request, body []byte, _ url.Values) string {
	if app.CookieSet {
		if raw := cookie(r, app.CookieRefreshToken); raw != "" || !app.CookieLax {
			return raw
		}
	}
	if app.QueryStringSet {
		if raw := r.URL.Query().Get("refresh_token"); raw != "" || !app.QueryStringLax {
			return raw
		}
	}
	var fields map[string]any
	if json.Unmarshal(body, &fields) != nil {
		return ""
	}
	if n, is := fields[app.RefreshTokenName].(float64); is && n != 0 { // it is compared, and is not the one
		return strconv.FormatFloat(n, 'f', -1, 64)
	}
	return answer.String(fields, app.RefreshTokenName)
}

func cookie(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// missing is what the library lacks in a request.
func (app *sanicApp) missing() (exception, reason string) {
	switch {
	case app.CookieSet && !app.CookieLax:
		return "MissingAuthorizationCookie", "Authorization cookie not present."
	case app.QueryStringSet && !app.QueryStringLax:
		return "MissingAuthorizationQueryArg", "Authorization query argument not present."
	}
	return "MissingAuthorizationHeader", "Authorization header not present."
}

// accessToken returns the access token of a request, and whether the header, if that is
// looked at, has the form that it must have.
func (app *sanicApp) accessToken(r *http.Request) (token string, formed bool) {
	if app.CookieSet {
		token = cookie(r, app.CookieAccessTokenName)
		if app.CookieSplit && token != "" {
			token += "." + cookie(r, app.CookieSignatureName)
		}
		if token != "" || !app.CookieLax {
			return token, true
		}
	}
	if app.QueryStringSet {
		if token = r.URL.Query().Get("access_token"); token != "" || !app.QueryStringLax {
			return token, true
		}
	}
	header := r.Header.Get(app.AuthorizationHeader)
	if app.AuthorizationHeaderPrefix == "" || header == "" {
		return header, true
	}
	parts := strings.Split(header, " ")
	if len(parts) != 2 || parts[0] != app.AuthorizationHeaderPrefix {
		return "", false
	}
	return parts[1], true
}

// protected returns the claims of the access token in a request, dead or alive, or the
// library's refusal.
func (app *sanicApp) protected(e *Endpoints, r *http.Request) (*keys.AccessClaims, *answer.Answer) {
	token, formed := app.accessToken(r)
	if token == "" && formed {
		_, reason := app.missing()
		return nil, sanicError(http.StatusUnauthorized, "Unauthorized", reason)
	}
	claims, fault := e.access(token, app.Leeway)
	if !formed || fault == accessMalformed || fault == accessForged {
		return nil, sanicError(http.StatusUnauthorized, "Unauthorized", "Auth required.")
	}
	return claims, nil
}

// guard looks in the library's order: at the access token, for the person, into the
// program's store, and only then for the refresh token.
func (app *sanicApp) guard(e *Endpoints, r *http.Request, body []byte, raw string) *answer.Answer {
	claims, refused := app.protected(e, r)
	if refused != nil {
		return refused
	}
	if !e.Users.Knows(claims.Subject) {
		return sanicError(http.StatusInternalServerError, "InvalidRetrieveUserObject",
			"The retrieve_user method should return either a dict or an object with a to_dict method.")
	}
	app.mu.Lock()
	newest := app.newest[claims.Subject]
	known := app.known[newest]
	app.mu.Unlock()
	var fields map[string]any
	switch {
	case known != "" && e.Sessions.StoreFails(form.Detached(r), known):
		return sanicRefusal(storeDown)
	case raw == "" && !app.CookieSet && !app.QueryStringSet && json.Unmarshal(body, &fields) != nil:
		return sanicRefusal(noBody)
	case raw == "":
		exception, reason := app.missing()
		return sanicError(http.StatusBadRequest, exception, reason)
	case raw != newest:
		refused = sanicRefusal(deadToken)
		refused.Refused = false // which of the two tokens is wrong, the client does not hear
		return refused
	}
	return nil
}

// spends returns a refresh token as the server's sessions have it.
func (app *sanicApp) spends(raw string) string {
	app.mu.Lock()
	defer app.mu.Unlock()
	return app.known[raw]
}

// shows gives a login's refresh token the library's form, 48 hexadecimal digits. A refresh
// has none.
func (app *sanicApp) shows(e *Endpoints, a *answer.Answer) {
	var person string
	tells(e, a, func(c *keys.AccessClaims) jwt.MapClaims {
		person = c.Subject
		public := jwt.MapClaims{"user_id": person}
		for claim, value := range map[string]string{"aud": app.ClaimAud, "iss": app.ClaimIss} {
			if value != "" {
				public[claim] = value
			}
		}
		return public
	})
	access, known := a.String("access_token"), a.String(refreshField)
	a.Fields, a.Access = map[string]any{app.AccessTokenName: access}, app.AccessTokenName
	var raw string
	if known != "" {
		sum := sha256.Sum256([]byte(known))
		raw = hex.EncodeToString(sum[:24])
		a.Fields[app.RefreshTokenName] = raw
		app.mu.Lock()
		app.newest[person], app.known[raw] = raw, known
		app.mu.Unlock()
	}
	if app.CookieSet {
		app.setCookies(a, access, raw)
	}
}

func (app *sanicApp) setCookies(a *answer.Answer, access, raw string) {
	set := func(name, value string, hidden bool) {
		c := http.Cookie{Name: name, Value: value, Path: "/", HttpOnly: hidden}
		a.Header.Add("Set-Cookie", c.String())
	}
	if dot := strings.LastIndexByte(access, '.'); app.CookieSplit && dot >= 0 {
		set(app.CookieAccessTokenName, access[:dot], false)
		set(app.CookieSignatureName, access[dot+1:], true)
	} else {
		set(app.CookieAccessTokenName, access, true)
	}
	if raw != "" {
		set(app.CookieRefreshToken, raw, true)
	}
}

// verify is the library's own API for access tokens.
func (app *sanicApp) verify(e *Endpoints, r *http.Request) *answer.Answer {
	token, formed := app.accessToken(r)
	switch {
	case !formed:
		return sanicError(http.StatusBadRequest, "InvalidAuthorizationHeader", "Authorization header is invalid.")
	case token == "":
		exception, reason := app.missing()
		return sanicError(http.StatusUnauthorized, exception, reason)
	}
	_, fault := e.access(token, app.Leeway)
	if fault == accessGood {
		return answer.JSON(http.StatusOK, map[string]any{"valid": true})
	}
	reason := "Auth required."
	if fault == accessExpired {
		reason = "Signature has expired."
	}
	a := sanicError(http.StatusUnauthorized, "InvalidToken", reason)
	a.Fields["valid"] = false
	return a
}

func sanicRefusal(why refusal) *answer.Answer {
	switch why {
	case storeDown, noNewSession, noBody: // no exception of the library: the framework's page
		return answer.JSON(http.StatusInternalServerError, map[string]any{
			"description": "Internal Server Error", "status": http.StatusInternalServerError,
			"message": "The server encountered an internal error and cannot complete your request.",
		})
	}
	a := sanicError(http.StatusUnauthorized, "AuthenticationFailed", "Authentication failed.")
	a.Refused = true
	return a
}

func sanicError(status int, exception, reason string) *answer.Answer {
	return answer.JSON(status, map[string]any{"reasons": []any{reason}, "exception": exception})
}
