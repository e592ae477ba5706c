package oauthtest

import (
	"time"

	"github.com/evertoken/evertoken/internal/authserver/backend"
)

// BackendSettings are what teams set in the frameworks behind the home-grown backends. The
// zero value has the frameworks' defaults.
type BackendSettings struct {
	GoKratos GoKratosSettings
	SanicJWT SanicJWTSettings
	GinJWT   GinJWTSettings
	GinJWT2  GinJWT2Settings
	ASPNET   ASPNETSettings
}

// DefaultMaxRefresh is how long gin-jwt 2 takes an access token for a new one after it was
// issued, if nothing else is set. (The library's own default takes none.)
const DefaultMaxRefresh = time.Hour

// GoKratosSettings are what a team on go-kratos writes itself.
type GoKratosSettings struct {
	// ProtoNames writes access_token instead of accessToken: UseProtoNames.
	ProtoNames bool
	// NestedErrors is an ErrorEncoder that writes {"error":{"code","reason","message"}}.
	NestedErrors bool
	// RefreshError answers 500 REFRESH_ERROR to a refresh token that is spent, revoked or
	// unknown, and to one of a user who is gone, as a documented backend does whose
	// switch lacks these cases.
	RefreshError bool
	// NoMetadata leaves the metadata middleware out: a request without an access token is
	// refused with UNAUTHORIZED instead of TOKEN_MISSING.
	NoMetadata bool
}

// SanicJWTSettings are those of sanic-jwt, by the names that it has. What is empty has the
// library's default.
type SanicJWTSettings struct {
	// URLPrefix is /auth; PathToAuthenticate /, PathToRefresh /refresh and PathToVerify
	// /verify are below it.
	URLPrefix, PathToAuthenticate, PathToRefresh, PathToVerify string
	// AccessTokenName is access_token, and RefreshTokenName refresh_token: members of JSON
	// objects.
	AccessTokenName, RefreshTokenName string
	// AuthorizationHeader is Authorization, and AuthorizationHeaderPrefix Bearer.
	// NoAuthorizationHeaderPrefix has none.
	AuthorizationHeader, AuthorizationHeaderPrefix string
	NoAuthorizationHeaderPrefix                    bool
	// CookieSet (cookie_set) sets the tokens as cookies, too, and reads only cookies.
	// CookieLax (cookie_strict off) reads headers where there are none. CookieSplit
	// (cookie_split) has the signature of the access token in a cookie of its own.
	CookieSet, CookieLax, CookieSplit bool
	// CookieAccessTokenName is access_token, CookieSignatureName
	// (cookie_split_signature_name) access_token_signature, and CookieRefreshToken
	// (cookie_refresh_token_name) refresh_token.
	CookieAccessTokenName, CookieSignatureName, CookieRefreshToken string
	// QueryStringSet (query_string_set) reads tokens in the URL, and nothing else unless
	// QueryStringLax is set (query_string_strict off). No client of Evertoken sends them
	// there: the server's auditor takes it for a mistake (TokenInURL).
	QueryStringSet, QueryStringLax bool
	// ClaimAud and ClaimIss are aud and iss of access tokens, which have none by default.
	ClaimAud, ClaimIss string
	// Leeway is how long after its end an access token is still good: 3 minutes.
	Leeway time.Duration
}

// GinJWTSettings are those of gin-jwt 3, by the names that it has.
type GinJWTSettings struct {
	// TokenHeadName is the word before an access token in a header: Bearer.
	TokenHeadName string
	// TokenLookup is where access tokens are looked for, such as "header: X-Token, cookie: jwt".
	// Empty means the Authorization header.
	TokenLookup string
	// SendCookie sets both tokens as cookies, too: CookieName is jwt, and
	// RefreshTokenCookieName refresh_token. A refresh token is read from its cookie without
	// that, as well.
	SendCookie                         bool
	CookieName, RefreshTokenCookieName string
}

// GinJWT2Settings are those of gin-jwt 2.
type GinJWT2Settings struct {
	// MaxRefresh is how long after its issue an access token can be had a new one for. Zero
	// means DefaultMaxRefresh.
	MaxRefresh time.Duration
	// TokenHeadName and TokenLookup are those of GinJWTSettings.
	TokenHeadName, TokenLookup string
}

// ASPNETSettings are what a server does that follows a tutorial for ASP.NET Core.
type ASPNETSettings struct {
	// Problems answers refusals as API controllers do, with application/problem+json (RFC
	// 9457), and not with a status alone.
	Problems bool
	// BareRefresh answers a refresh that gives no other refresh token (Config.NoRotation)
	// with the access token as a bare JSON string.
	BareRefresh bool
}

func (s BackendSettings) parts() backend.Settings {
	setDefault(&s.GinJWT2.MaxRefresh, DefaultMaxRefresh)
	return backend.Settings{
		GoKratos: backend.GoKratosSettings(s.GoKratos),
		SanicJWT: backend.SanicJWTSettings(s.SanicJWT),
		GinJWT:   backend.GinJWTSettings(s.GinJWT),
		GinJWT2:  backend.GinJWT2Settings(s.GinJWT2),
		ASPNET:   backend.ASPNETSettings(s.ASPNET),
	}
}
