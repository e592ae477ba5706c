package dialect

import (
	"net/http"

	"github.com/evertoken/evertoken/oauth"
)

// The ready-made dialects. Each call returns a value of its own, for the caller
// to edit where a backend differs: paths, field names, error codes.

// Kratos is that of backends that are built with the Go framework Kratos: JSON
// both ways below /api/v1/auth, names in camelCase (the framework's default) or as in
// the protocol buffers, errors as {"code","reason","message"} (its default) or as
// {"error":{"code","reason","message"}}, refresh tokens that rotate and whose reuse ends
// all of the user's sessions (Grace). Config.DeviceID travels as device_id.
//
// A logout carries both tokens, and needs an access token that lives: see Client.Revoke.
func Kratos() Dialect {
	refusals := []Error{
		{http.StatusBadRequest, "REFRESH_TOKEN_REQUIRED", oauth.ErrRefreshTokenRequired},
		{http.StatusUnauthorized, "TOKEN_INVALID", oauth.ErrTokenInvalid},
		{http.StatusUnauthorized, "TOKEN_EXPIRED", oauth.ErrTokenExpired},
		{http.StatusUnauthorized, "TOKEN_REUSED", oauth.ErrTokenReused},
		{http.StatusNotFound, "USER_NOT_FOUND", oauth.ErrUserNotFound},
		{http.StatusInternalServerError, "REFRESH_ERROR", oauth.ErrTokenInvalid}, // where the backend tells none of them
	}
	device := Field{Value: DeviceID, Place: InBody, Name: "device_id"}
	token := Field{Value: RefreshToken, Place: InBody, Name: "refresh_token"}
	return Dialect{
		Name:  "kratos",
		Grace: oauth.GraceNone,
		Login: Request{Path: "/api/v1/auth/login", Fields: append(nameAndPassword(), device),
			Errors: append(wrongPassword(), refusals[4])},
		Refresh: Request{Path: "/api/v1/auth/refresh", Fields: []Field{token, device}, Errors: refusals},
		Logout:  Request{Path: "/api/v1/auth/logout", Fields: []Field{token, {Value: AccessToken, Place: InAuthorization, Name: "Bearer"}}, Errors: refusals},
		Answer:  Answer{ErrorCodes: []string{"error.reason", "reason"}},
	}
}

// SanicJWT is that of sanic-jwt: a refresh shows the old access token,
// dead or alive, beside the refresh token, which stays the same. Access tokens
// are JWTs whose exp tells their life. It has no logout. Where
// access_token_name, refresh_token_name, authorization_header_prefix, path_to_…
// or url_prefix are set, edit the fields and paths.
func SanicJWT() Dialect {
	return Dialect{
		Name:  "sanic-jwt",
		Login: Request{Path: "/auth", Fields: nameAndPassword(), Errors: wrongPassword()},
		Refresh: Request{
			Path: "/auth/refresh",
			Fields: []Field{
				{Value: AccessToken, Place: InAuthorization, Name: "Bearer"},
				{Value: RefreshToken, Place: InBody, Name: "refresh_token"},
			},
			// Its other exceptions are about the access token or the server's setup.
			Errors: []Error{
				{http.StatusUnauthorized, "AuthenticationFailed", oauth.ErrTokenInvalid},
				{http.StatusInternalServerError, "InvalidRetrieveUserObject", oauth.ErrUserNotFound},
			},
		},
		Answer: Answer{ErrorCodes: []string{"exception"}},
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
		Logout: Request{Path: "/logout", Fields: append(refreshTokenInBody(), Field{Value: AccessToken, Place: InAuthorization, Name: "Bearer"})},
	}
}

// GinJWT2 is that of github.com/appleboy/gin-jwt/v2, which has no refresh tokens: the
// access token renews itself, dead or alive, as long as the server's MaxRefresh says. The
// answer tells its end as a time. The paths are those of its README.
func GinJWT2() Dialect {
	token := []Field{{Value: AccessToken, Place: InAuthorization, Name: "Bearer"}}
	return Dialect{
		Name:    "gin-jwt 2",
		Login:   Request{Path: "/login", Fields: nameAndPassword(), Errors: wrongPassword()},
		Refresh: Request{Method: http.MethodGet, Path: "/auth/refresh_token", Fields: token, Errors: unauthorized()},
		Answer:  Answer{AccessToken: "token"},
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
	return []Field{{Value: Username, Place: InBody, Name: "username"}, {Value: Password, Place: InBody, Name: "password"}}
}

func refreshTokenInBody() []Field {
	return []Field{{Value: RefreshToken, Place: InBody, Name: "refresh_token"}}
}

// wrongPassword decides without an error code: at a login no session is at stake.
func wrongPassword() []Error {
	return []Error{{Status: http.StatusUnauthorized, Means: oauth.ErrLoginRequired}}
}

func unauthorized() []Error {
	return []Error{{Status: http.StatusUnauthorized, Means: oauth.ErrTokenInvalid}}
}
