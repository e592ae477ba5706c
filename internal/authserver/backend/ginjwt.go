package backend

import (
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/authserver/answer"
	"github.com/evertoken/evertoken/internal/authserver/form"
	"github.com/evertoken/evertoken/internal/authserver/keys"
)

// GinJWTSettings are told in oauthtest.
type GinJWTSettings struct {
	TokenHeadName, TokenLookup         string
	SendCookie                         bool
	CookieName, RefreshTokenCookieName string
}

func (s GinJWTSettings) withDefaults() GinJWTSettings {
	for field, value := range map[*string]string{
		&s.TokenHeadName: "Bearer", &s.TokenLookup: "header:Authorization", &s.CookieName: "jwt", &s.RefreshTokenCookieName: refreshField,
	} {
		if *field == "" {
			*field = value
		}
	}
	return s
}

// ginJWT is version 3, which rotates refresh tokens.
func ginJWT(s GinJWTSettings) speech {
	v := ginBearer
	v.GinJWTSettings = s.withDefaults()
	return speech{
		login: "/login", refresh: "/refresh", logout: "/logout", behind: "/auth/logout", api: "/auth/hello", wantsLogin: true,
		refreshToken: v.refreshToken,
		shows: func(e *Endpoints, a *answer.Answer) {
			tells(e, a, originally(e.Now()))
			if v.SendCookie {
				v.setCookies(e, a)
			}
			only(a, "access_token", "token_type", "expires_in", refreshField)
		},
		refuses: v.refusal,
		shrugs:  true,
		loggedOut: func() *answer.Answer {
			a := answer.JSON(http.StatusOK, map[string]any{"code": http.StatusOK})
			if v.SendCookie {
				v.setCookie(a, v.CookieName, "", -1, false)
				v.setCookie(a, v.RefreshTokenCookieName, "", -1, true)
			}
			return a
		},
		serves: v.serveAPI,
	}
}

// refreshToken finds the refresh token of a request: a cookie counts before the body, and of
// that only what its media type says.
func (v ginVersion) refreshToken(r *http.Request, body []byte, form url.Values) string {
	if raw := cookie(r, v.RefreshTokenCookieName); raw != "" {
		return raw
	}
	switch kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind {
	case "application/x-www-form-urlencoded", "application/json":
		return jsonOrForm(body, form, refreshField)
	}
	return ""
}

func (v ginVersion) setCookies(e *Endpoints, a *answer.Answer) {
	life, _ := a.Fields["expires_in"].(int64)
	v.setCookie(a, v.CookieName, a.String("access_token"), int(life), false)
	if raw := a.String(refreshField); raw != "" {
		v.setCookie(a, v.RefreshTokenCookieName, raw, int(e.RefreshTokenLifetime/time.Second), true)
	}
}

// setCookie sets a cookie; the library escapes what its refresh tokens never have, and ours do.
func (v ginVersion) setCookie(a *answer.Answer, name, value string, maxAge int, secret bool) {
	c := http.Cookie{Name: name, Value: value, MaxAge: maxAge, Path: "/", HttpOnly: secret, Secure: secret}
	a.Header.Add("Set-Cookie", c.String())
}

// A ginVersion is what differs between the versions in what they say of a token.
type ginVersion struct {
	GinJWTSettings
	challenge, malformed, forged, expired string
}

var (
	ginBearer = ginVersion{
		challenge: `Bearer realm="oauthtest"`,
		malformed: "token is malformed: token contains an invalid number of segments",
		forged:    "token signature is invalid: signature is invalid",
		expired:   "token is expired",
	}
	ginPlain = ginVersion{
		challenge: "JWT realm=oauthtest",
		malformed: "token contains an invalid number of segments",
		forged:    "signature is invalid",
		expired:   "Token is expired",
	}
)

// refusal has one status for a token that is not valid and for a store that cannot
// be asked for it. A client that asks again has not been told otherwise.
func (v ginVersion) refusal(why refusal) *answer.Answer {
	status, message := http.StatusUnauthorized, "invalid or expired refresh token"
	switch why {
	case badPassword, noSuchUser:
		message = "incorrect Username or Password"
	case noLogin:
		message = "missing Username or Password"
	case noToken, noBody:
		status, message = http.StatusBadRequest, "missing refresh_token parameter"
	case storeDown:
		message = "dial tcp: connection refused"
	case noNewSession:
		status, message = http.StatusInternalServerError, "failed to create JWT Token"
	}
	return v.error(status, message)
}

func (v ginVersion) error(status int, message string) *answer.Answer {
	a := answer.JSON(status, map[string]any{"code": status, "message": message})
	a.Header.Set("WWW-Authenticate", v.challenge)
	return a
}

// token returns the access token of a request, or what is wrong with the last place of
// TokenLookup.
func (v ginVersion) token(r *http.Request) (string, *answer.Answer) {
	message := ""
	for place := range strings.SplitSeq(v.TokenLookup, ",") {
		kind, name, _ := strings.Cut(strings.TrimSpace(place), ":")
		name = strings.TrimSpace(name)
		if kind == "cookie" {
			if token := cookie(r, name); token != "" {
				return token, nil
			}
			message = "cookie token is empty"
			continue
		}
		header := r.Header.Get(name)
		scheme, token, two := strings.Cut(header, " ")
		switch {
		case header == "":
			message = "auth header is empty"
		case !two || scheme != v.TokenHeadName:
			message = "auth header is invalid"
		default:
			return token, nil
		}
	}
	return "", v.error(http.StatusUnauthorized, message)
}

// fault is what the library says of an access token.
func (v ginVersion) fault(f accessFault) *answer.Answer {
	message := v.forged
	switch f {
	case accessGood:
		return nil
	case accessMalformed:
		message = v.malformed
	case accessExpired:
		message = v.expired
	}
	return v.error(http.StatusUnauthorized, message)
}

func (v ginVersion) serveAPI(e *Endpoints, r *http.Request) *answer.Answer {
	token, refused := v.token(r)
	if refused != nil {
		return refused
	}
	_, fault := e.access(token, 0)
	if refused := v.fault(fault); refused != nil {
		return refused
	}
	hello := answer.Text(http.StatusOK, "hello")
	hello.Body = []byte("hello")
	return hello
}

// GinJWT2Settings are told in oauthtest.
type GinJWT2Settings struct {
	MaxRefresh                 time.Duration
	TokenHeadName, TokenLookup string
}

// ginJWT2 is version 2, which has no refresh tokens: an access token renews itself, dead
// or alive, until MaxRefresh after it was issued. The library keeps nothing, so that what
// ends a session on the server's side is another key.
func ginJWT2(s GinJWT2Settings) speech {
	v := ginPlain
	v.GinJWTSettings = GinJWTSettings{TokenHeadName: s.TokenHeadName, TokenLookup: s.TokenLookup}.withDefaults()
	return speech{
		login: "/login", refresh: "/auth/refresh_token", refreshMethod: http.MethodGet, logout: "/logout", behind: "/auth/logout", api: "/auth/hello",
		wantsLogin: true,
		refreshToken: func(r *http.Request, _ []byte, _ url.Values) string {
			token, _ := v.token(r)
			return token
		},
		shows:     ginExpire,
		refuses:   v.refusal,
		renews:    func(e *Endpoints, r *http.Request, raw string) *answer.Answer { return s.renews(e, r, raw, v) },
		shrugs:    true,
		loggedOut: func() *answer.Answer { return answer.JSON(http.StatusOK, map[string]any{"code": http.StatusOK}) },
		serves:    v.serveAPI,
	}
}

// ginExpire makes a token answer the library's: the token's end is a time.
func ginExpire(e *Endpoints, a *answer.Answer) {
	tells(e, a, originally(e.Now()))
	access := a.String("access_token")
	var expire string
	if claims, err := e.Keys.Verify(access); err == nil {
		expire = claims.ExpiresAt.UTC().Format(time.RFC3339)
	}
	a.Fields, a.Access = map[string]any{"code": http.StatusOK, "expire": expire, "token": access}, "token"
}

func (s GinJWT2Settings) renews(e *Endpoints, r *http.Request, raw string, v ginVersion) *answer.Answer {
	if _, refused := v.token(r); refused != nil {
		return refused
	}
	claims, fault := e.access(raw, 0)
	if fault != accessGood && fault != accessExpired {
		return v.fault(fault)
	}
	if !s.renewable(e, claims) {
		return v.error(http.StatusUnauthorized, "token is expired")
	}
	a := e.Sessions.RefreshOf(form.Detached(r), claims.Session)
	if !a.Committed {
		return v.fault(accessForged) // another key
	}
	ginExpire(e, a)
	return a
}

// renewable reports whether the token was issued no longer ago than MaxRefresh.
func (s GinJWT2Settings) renewable(e *Endpoints, claims *keys.AccessClaims) bool {
	return claims.OrigIssuedAt != nil && !claims.OrigIssuedAt.Before(e.Now().Add(-s.MaxRefresh).Truncate(time.Second))
}
