package wire

import "errors"

// The kinds of failure, and finer reasons. Package oauth has them under the same
// names, and documents them there.
var (
	ErrLoginRequired = errors.New("login required")
	ErrTransient     = errors.New("temporarily failed")
	ErrMisconfigured = errors.New("misconfigured")

	ErrRefreshTokenRequired = errors.New("no refresh token")
	ErrTokenExpired         = errors.New("refresh token expired")
	ErrTokenReused          = errors.New("refresh token was already used")
	ErrTokenInvalid         = errors.New("refresh token invalid")
	ErrUserNotFound         = errors.New("user not found")
	ErrAccessDenied         = errors.New("access denied")
	ErrCodeExpired          = errors.New("code expired")

	ErrClientRefused       = errors.New("the server refuses the client")
	ErrClientSecretExpired = errors.New("client secret expired")

	ErrNoToken      = errors.New("the answer holds no token")
	ErrUnreadAnswer = errors.New("the answer holds tokens where none are expected")

	ErrProxyAuth            = errors.New("the proxy wants a user name and password")
	ErrUntrustedCertificate = errors.New("the server's certificate is not trusted")
)

// Reasons that have no name outside of this module.
var (
	ErrRedirect  = errors.New("the server answered with a redirect, which is never followed")
	ErrTrouble   = errors.New("the server speaks of trouble of its own")
	ErrNotUsable = errors.New("the answer does not hold what was asked for")
)
