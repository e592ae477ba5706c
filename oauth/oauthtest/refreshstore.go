package oauthtest

import (
	"context"
	"time"

	"github.com/evertoken/evertoken/internal/authserver/refreshtokens"
)

// ErrRefreshTokenNotFound means that a RefreshTokenStore has no such token, or
// that it has expired.
var ErrRefreshTokenNotFound = refreshtokens.ErrNotFound

// A RefreshTokenStore keeps refresh tokens with the data they stand for. It has
// the methods of core.TokenStore in github.com/appleboy/gin-jwt/v3, so a store
// written for one side serves the other.
//
// The server passes hashes for tokens and a string for user data, so a store
// may serialize both as it likes. Implementations are safe for concurrent use.
type RefreshTokenStore interface {
	// Set stores userData under token until expiry, replacing what was there.
	Set(ctx context.Context, token string, userData any, expiry time.Time) error
	// Get returns the user data of token, or an error that wraps
	// ErrRefreshTokenNotFound if it is missing or expired.
	Get(ctx context.Context, token string) (any, error)
	// Delete removes token, and does nothing if it is missing.
	Delete(ctx context.Context, token string) error
	// Cleanup removes expired tokens and returns how many there were.
	Cleanup(ctx context.Context) (int, error)
	// Count returns the number of tokens, and removes none. A store may count expired ones
	// until Cleanup.
	Count(ctx context.Context) (int, error)
}
