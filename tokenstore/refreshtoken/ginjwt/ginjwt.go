// Package ginjwt fits stores for refresh tokens to github.com/appleboy/gin-jwt/v3, without
// importing it: those of packages refreshtoken (Redis) and database (PostgreSQL, SQLite)
// beside it, and any other of their form.
//
// Since gin-jwt 3.1 they are its core.TokenStore as they are. For 3.0, whose interface has
// no contexts, there is [WithoutContext].
//
//	store := refreshtoken.New(refreshtoken.Config{
//		Client: client, NotFound: core.ErrRefreshTokenNotFound, Decode: ginjwt.UserData[*User],
//	})
//	auth, err := jwt.New(&jwt.GinJWTMiddleware{RefreshTokenStore: store, ...})
package ginjwt

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// A Store is core.TokenStore of gin-jwt 3.1 and newer.
type Store interface {
	// Set stores userData under token until expiry, replacing what was there.
	Set(ctx context.Context, token string, userData any, expiry time.Time) error
	// Get returns the user data of token, or core.ErrRefreshTokenNotFound.
	Get(ctx context.Context, token string) (any, error)
	// Delete removes token, and does nothing if it is missing.
	Delete(ctx context.Context, token string) error
	// Cleanup removes expired tokens and returns how many there were.
	Cleanup(ctx context.Context) (int, error)
	// Count returns the number of tokens.
	Count(ctx context.Context) (int, error)
}

// UserData reads user data as a T: it is the Decode of a store whose program gives values of
// that type to gin-jwt, a struct or a pointer to one. Without it a struct comes back as a
// map[string]any, a type assertion in PayloadFunc fails, and the token after the first
// refresh names no user.
func UserData[T any](data []byte) (any, error) {
	if string(data) == "null" {
		return nil, nil // and not a pointer to nothing
	}
	var user T
	if err := json.Unmarshal(data, &user); err != nil {
		return nil, err
	}
	return user, nil
}

// DefaultTimeout bounds the calls of a [Contextless] that is given no other limit.
const DefaultTimeout = 10 * time.Second

// A Contextless is core.TokenStore of gin-jwt 3.0. Make one with [WithoutContext]. It is safe
// for concurrent use.
type Contextless struct {
	store   Store
	timeout time.Duration
}

// Format implements fmt.Formatter: every verb prints the type of the store alone.
func (c *Contextless) Format(w fmt.State, _ rune) {
	_, _ = fmt.Fprintf(w, "ginjwt.Contextless{%T}", c.store)
}

// WithoutContext returns a store for gin-jwt 3.0. Each of its calls ends after timeout, since
// no request's context can end it. Zero means DefaultTimeout.
func WithoutContext(s Store, timeout time.Duration) *Contextless {
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	return &Contextless{s, timeout}
}

func (c *Contextless) limit() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), c.timeout)
}

// Set is [Store].Set.
func (c *Contextless) Set(token string, userData any, expiry time.Time) error {
	ctx, cancel := c.limit()
	defer cancel()
	return c.store.Set(ctx, token, userData, expiry)
}

// Get is [Store].Get. The errors are the store's own, which gin-jwt compares.
func (c *Contextless) Get(token string) (any, error) {
	ctx, cancel := c.limit()
	defer cancel()
	return c.store.Get(ctx, token)
}

// Delete is [Store].Delete.
func (c *Contextless) Delete(token string) error {
	ctx, cancel := c.limit()
	defer cancel()
	return c.store.Delete(ctx, token)
}

// Cleanup is [Store].Cleanup.
func (c *Contextless) Cleanup() (int, error) {
	ctx, cancel := c.limit()
	defer cancel()
	return c.store.Cleanup(ctx)
}

// Count is [Store].Count.
func (c *Contextless) Count() (int, error) {
	ctx, cancel := c.limit()
	defer cancel()
	return c.store.Count(ctx)
}
