package oauthtest

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"
)

// ErrRefreshTokenNotFound means that a RefreshTokenStore has no such token, or
// that it has expired.
var ErrRefreshTokenNotFound = errors.New("refresh token not found")

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
	// Delete removes token. It is no error if there is none.
	Delete(ctx context.Context, token string) error
	// Cleanup removes expired tokens and returns how many there were.
	Cleanup(ctx context.Context) (int, error)
	// Count returns the number of tokens that have not expired.
	Count(ctx context.Context) (int, error)
}

// MemoryRefreshTokens is a RefreshTokenStore in memory. The zero value is ready
// to use. It must not be copied after first use.
type MemoryRefreshTokens struct {
	// Now replaces time.Now. It must not change after first use.
	Now func() time.Time
	// NotFound is what Get returns for a missing or expired token. Nil means
	// ErrRefreshTokenNotFound; a program that knows another sentinel, such as
	// gin-jwt's, sets that.
	NotFound error

	mu      sync.Mutex
	entries map[string]memoryEntry // guarded by mu
	sweepAt int                    // guarded by mu; the size at which Set sweeps
}

type memoryEntry struct {
	userData any
	expiry   time.Time
}

var errEmptyToken = errors.New("oauthtest: a refresh token cannot be empty")

// minSweep is the size below which expired entries are not worth looking for.
const minSweep = 1024

// Set implements RefreshTokenStore. It fails if token is empty or ctx has ended.
func (m *MemoryRefreshTokens) Set(ctx context.Context, token string, userData any, expiry time.Time) error {
	if token == "" {
		return errEmptyToken
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.entries == nil {
		m.entries = make(map[string]memoryEntry)
	}
	// Sweeping whenever the map has doubled keeps it within twice what lives, at
	// a constant cost per Set.
	if len(m.entries) >= max(m.sweepAt, minSweep) {
		m.sweepLocked(now)
		m.sweepAt = 2 * len(m.entries)
	}
	m.entries[token] = memoryEntry{userData, expiry}
	return nil
}

// Get implements RefreshTokenStore.
func (m *MemoryRefreshTokens) Get(ctx context.Context, token string) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[token]
	if !ok || !now.Before(e.expiry) {
		delete(m.entries, token)
		return nil, cmp.Or(m.NotFound, ErrRefreshTokenNotFound)
	}
	return e.userData, nil
}

// Delete implements RefreshTokenStore.
func (m *MemoryRefreshTokens) Delete(ctx context.Context, token string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.entries, token)
	return nil
}

// Cleanup implements RefreshTokenStore.
func (m *MemoryRefreshTokens) Cleanup(ctx context.Context) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sweepLocked(now), nil
}

// Count implements RefreshTokenStore.
func (m *MemoryRefreshTokens) Count(ctx context.Context) (int, error) {
	if _, err := m.Cleanup(ctx); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.entries), nil
}

func (m *MemoryRefreshTokens) sweepLocked(now time.Time) int {
	before := len(m.entries)
	for token, e := range m.entries {
		if !now.Before(e.expiry) {
			delete(m.entries, token)
		}
	}
	return before - len(m.entries)
}

func (m *MemoryRefreshTokens) now() time.Time {
	if m.Now != nil {
		return m.Now()
	}
	return time.Now()
}
