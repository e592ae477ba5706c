package oauth

import "net/http"

// The ready-made dialects. Each call returns a value of its own, for the caller
// to edit where a backend differs: paths, field names, error codes.

// KratosDialect is that of backends in the style of the Go framework Kratos: JSON
// both ways below /api/v1/auth, errors as {"error":{"code","reason","message"}},
// refresh tokens that rotate and whose reuse ends all of the user's sessions.
// DialectConfig.DeviceID travels as device_id.
func KratosDialect() Dialect {
	refusals := []DialectError{
		{http.StatusBadRequest, "REFRESH_TOKEN_REQUIRED", ErrRefreshTokenRequired},
		{http.StatusUnauthorized, "TOKEN_INVALID", ErrTokenInvalid},
		{http.StatusUnauthorized, "TOKEN_EXPIRED", ErrTokenExpired},
		{http.StatusUnauthorized, "TOKEN_REUSED", ErrTokenReused},
		{http.StatusNotFound, "USER_NOT_FOUND", ErrUserNotFound},
	}
	device := DialectField{DialectDeviceID, InBody, "device_id"}
	token := DialectField{DialectRefreshToken, InBody, "refresh_token"}
	return Dialect{
		Name: "kratos",
		Login: DialectRequest{Path: "/api/v1/auth/login", Fields: append(nameAndPassword(), device),
			Errors: append(wrongPassword(), refusals[4])},
		Refresh: DialectRequest{Path: "/api/v1/auth/refresh", Fields: []DialectField{token, device}, Errors: refusals},
		Logout:  DialectRequest{Path: "/api/v1/auth/logout", Fields: []DialectField{token}, Errors: refusals},
		Answer:  DialectAnswer{ErrorCode: []string{"error", "reason"}},
	}
}

// SanicJWTDialect is that of sanic-jwt: a refresh shows the old access token,
// dead or alive, beside the refresh token, which stays the same. Access tokens
// are JWTs whose exp and iat tell their life. There is no logout. Where
// access_token_name, refresh_token_name, authorization_header_prefix, path_to_…
// or url_prefix are set, edit the fields and paths.
func SanicJWTDialect() Dialect {
	return Dialect{
		Name:  "sanic-jwt",
		Login: DialectRequest{Path: "/auth", Fields: nameAndPassword(), Errors: wrongPassword()},
		Refresh: DialectRequest{
			Path: "/auth/refresh",
			Fields: []DialectField{
				{DialectAccessToken, InAuthorization, "Bearer"},
				{DialectRefreshToken, InBody, "refresh_token"},
			},
			// Its other exceptions are about the access token or the server's setup.
			Errors: []DialectError{{http.StatusUnauthorized, "AuthenticationFailed", ErrTokenInvalid}},
		},
		Answer: DialectAnswer{ErrorCode: []string{"exception"}},
	}
}

// GinJWTDialect is that of github.com/appleboy/gin-jwt/v3: refresh tokens rotate,
// and travel in a JSON body (set EncodeForm for a form; for versions that read a
// cookie, see Dialect.InCookie). It refuses with 401 and {"code":401,"message"},
// which holds no error code.
//
// Its README has the logout at /auth/logout: edit Logout.Path. There it wants an
// access token that lives, so refresh before a logout; what it refuses is that
// token, and the session lives on.
func GinJWTDialect() Dialect {
	return Dialect{
		Name:    "gin-jwt",
		Login:   DialectRequest{Path: "/login", Fields: nameAndPassword(), Errors: wrongPassword()},
		Refresh: DialectRequest{Path: "/refresh", Fields: refreshTokenInBody(), Errors: unauthorized()},
		// No Errors: of a dead refresh token it says nothing.
		Logout: DialectRequest{Path: "/logout", Fields: append(refreshTokenInBody(), DialectField{DialectAccessToken, InAuthorization, "Bearer"})},
	}
}

// ASPNETDialect is that of many tutorials for ASP.NET Core: names in camelCase,
// the refresh token as a bare JSON string, 401 without an error code.
func ASPNETDialect() Dialect {
	token := []DialectField{{Value: DialectRefreshToken, Place: InBody}}
	return Dialect{
		Name:    "aspnet",
		Login:   DialectRequest{Path: "/login", Fields: nameAndPassword(), Errors: wrongPassword()},
		Refresh: DialectRequest{Path: "/refresh-token", Encoding: EncodeJSONString, Fields: token, Errors: unauthorized()},
		Logout:  DialectRequest{Path: "/logout", Encoding: EncodeJSONString, Fields: token, Errors: unauthorized()},
		Answer:  DialectAnswer{AccessToken: "accessToken", RefreshToken: "refreshToken", TokenType: "tokenType", ExpiresIn: "expiresIn"},
	}
}

// CookieDialect is that of backends made for browsers, below /auth: the refresh
// token is an HttpOnly cookie, refresh_token, and only the access token is in the
// JSON. The pair holds both, so the cookie is stored with the session.
func CookieDialect() Dialect {
	d := Dialect{
		Name:    "cookie",
		Login:   DialectRequest{Path: "/auth/login", Fields: nameAndPassword(), Errors: wrongPassword()},
		Refresh: DialectRequest{Path: "/auth/refresh", Fields: refreshTokenInBody(), Errors: unauthorized()},
		Logout:  DialectRequest{Path: "/auth/logout", Fields: refreshTokenInBody(), Errors: unauthorized()},
	}
	return d.InCookie("refresh_token")
}

func nameAndPassword() []DialectField {
	return []DialectField{{DialectUsername, InBody, "username"}, {DialectPassword, InBody, "password"}}
}

func refreshTokenInBody() []DialectField {
	return []DialectField{{DialectRefreshToken, InBody, "refresh_token"}}
}

// wrongPassword decides without an error code: at a login no session is at stake.
func wrongPassword() []DialectError {
	return []DialectError{{Status: http.StatusUnauthorized, Means: ErrLoginRequired}}
}

func unauthorized() []DialectError {
	return []DialectError{{Status: http.StatusUnauthorized, Means: ErrTokenInvalid}}
}
