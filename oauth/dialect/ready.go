package dialect

import (
	"net/http"

	"github.com/evertoken/evertoken/oauth"
)

// The ready-made dialects. Each call returns a value of its own, for the caller
// to edit where a backend differs: paths, field names, error codes.

// Kratos is that of backends in the style of the Go framework Kratos: JSON
// both ways below /api/v1/auth, errors as {"error":{"code","reason","message"}},
// refresh tokens that rotate and whose reuse ends all of the user's sessions.
// Config.DeviceID travels as device_id.
func Kratos() Dialect {
	refusals := []Error{
		{http.StatusBadRequest, "REFRESH_TOKEN_REQUIRED", oauth.ErrRefreshTokenRequired},
		{http.StatusUnauthorized, "TOKEN_INVALID", oauth.ErrTokenInvalid},
		{http.StatusUnauthorized, "TOKEN_EXPIRED", oauth.ErrTokenExpired},
		{http.StatusUnauthorized, "TOKEN_REUSED", oauth.ErrTokenReused},
		{http.StatusNotFound, "USER_NOT_FOUND", oauth.ErrUserNotFound},
	}
	device := Field{DeviceID, InBody, "device_id"}
	token := Field{RefreshToken, InBody, "refresh_token"}
	return Dialect{
		Name: "kratos",
		Login: Request{Path: "/api/v1/auth/login", Fields: append(nameAndPassword(), device),
			Errors: append(wrongPassword(), refusals[4])},
		Refresh: Request{Path: "/api/v1/auth/refresh", Fields: []Field{token, device}, Errors: refusals},
		Logout:  Request{Path: "/api/v1/auth/logout", Fields: []Field{token}, Errors: refusals},
		Answer:  Answer{ErrorCode: []string{"error", "reason"}},
	}
}

// SanicJWT is that of sanic-jwt: a refresh shows the old access token,
// dead or alive, beside the refresh token, which stays the same. Access tokens
// are JWTs whose exp and iat tell their life. It has no logout. Where
// access_token_name, refresh_token_name, authorization_header_prefix, path_to_…
// or url_prefix are set, edit the fields and paths.
func SanicJWT() Dialect {
	return Dialect{
		Name:  "sanic-jwt",
		Login: Request{Path: "/auth", Fields: nameAndPassword(), Errors: wrongPassword()},
		Refresh: Request{
			Path: "/auth/refresh",
			Fields: []Field{
				{AccessToken, InAuthorization, "Bearer"},
				{RefreshToken, InBody, "refresh_token"},
			},
			// Its other exceptions are about the access token or the server's setup.
			Errors: []Error{{http.StatusUnauthorized, "AuthenticationFailed", oauth.ErrTokenInvalid}},
		},
		Answer: Answer{ErrorCode: []string{"exception"}},
	}
}

// GinJWT is that of github.com/appleboy/gin-jwt/v3: refresh tokens rotate,
// and travel in a JSON body (set EncodeForm for a form; for versions that read a
// cookie, see Dialect.InCookie). It refuses with 401 and {"code":401,"message"},
// which holds no error code.
//
// Its README has the logout at /auth/logout: edit Logout.Path. There it wants an
// access token that lives, so refresh before a logout; what it refuses is that
// token, and the session lives on.
func GinJWT() Dialect {
	return Dialect{
		Name:    "gin-jwt",
		Login:   Request{Path: "/login", Fields: nameAndPassword(), Errors: wrongPassword()},
		Refresh: Request{Path: "/refresh", Fields: refreshTokenInBody(), Errors: unauthorized()},
		// No Errors: of a dead refresh token it says nothing.
		Logout: Request{Path: "/logout", Fields: append(refreshTokenInBody(), Field{AccessToken, InAuthorization, "Bearer"})},
	}
}

// ASPNET is that of many tutorials for ASP.NET Core: names in camelCase,
// the refresh token as a bare JSON string, 401 without an error code.
func ASPNET() Dialect {
	token := []Field{{Value: RefreshToken, Place: InBody}}
	return Dialect{
		Name:    "aspnet",
		Login:   Request{Path: "/login", Fields: nameAndPassword(), Errors: wrongPassword()},
		Refresh: Request{Path: "/refresh-token", Encoding: EncodeJSONString, Fields: token, Errors: unauthorized()},
		Logout:  Request{Path: "/logout", Encoding: EncodeJSONString, Fields: token, Errors: unauthorized()},
		Answer:  Answer{AccessToken: "accessToken", RefreshToken: "refreshToken", TokenType: "tokenType", ExpiresIn: "expiresIn"},
	}
}

// Cookie is that of backends made for browsers, below /auth: the refresh
// token is an HttpOnly cookie, refresh_token, and only the access token is in the
// JSON. The pair holds both, so the cookie is stored with the session.
func Cookie() Dialect {
	d := Dialect{
		Name:    "cookie",
		Login:   Request{Path: "/auth/login", Fields: nameAndPassword(), Errors: wrongPassword()},
		Refresh: Request{Path: "/auth/refresh", Fields: refreshTokenInBody(), Errors: unauthorized()},
		Logout:  Request{Path: "/auth/logout", Fields: refreshTokenInBody(), Errors: unauthorized()},
	}
	return d.InCookie("refresh_token")
}

func nameAndPassword() []Field {
	return []Field{{Username, InBody, "username"}, {Password, InBody, "password"}}
}

func refreshTokenInBody() []Field {
	return []Field{{RefreshToken, InBody, "refresh_token"}}
}

// wrongPassword decides without an error code: at a login no session is at stake.
func wrongPassword() []Error {
	return []Error{{Status: http.StatusUnauthorized, Means: oauth.ErrLoginRequired}}
}

func unauthorized() []Error {
	return []Error{{Status: http.StatusUnauthorized, Means: oauth.ErrTokenInvalid}}
}
