// Package refreshtokens keeps the refresh tokens of a server in memory.
package refreshtokens

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"
)

// ErrNotFound means that there is no such token, or that it has expired.
var ErrNotFound = errors.New("refresh token not found")

// A Memory is an oauthtest.RefreshTokenStore in memory. The zero value is ready to
// use. It must not be copied after first use.
type Memory struct {
	// Now replaces time.Now. It must not change after first use.
	Now func() time.Time
	// NotFound is what Get returns for a missing or expired token. Nil means
	// ErrNotFound; a program that knows another sentinel, such as
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

// Set implements oauthtest.RefreshTokenStore. It fails if token is empty or ctx has ended.
func (m *Memory) Set(ctx context.Context, token string, userData any, expiry time.Time) error {
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

// Get implements oauthtest.RefreshTokenStore.
func (m *Memory) Get(ctx context.Context, token string) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[token]
	if !ok || !now.Before(e.expiry) {
		delete(m.entries, token)
		return nil, cmp.Or(m.NotFound, ErrNotFound)
	}
	return e.userData, nil
}

// Delete implements oauthtest.RefreshTokenStore.
func (m *Memory) Delete(ctx context.Context, token string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.entries, token)
	return nil
}

// Cleanup implements oauthtest.RefreshTokenStore.
func (m *Memory) Cleanup(ctx context.Context) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sweepLocked(now), nil
}

// Count implements oauthtest.RefreshTokenStore. Like gin-jwt's own store it sweeps nothing,
// and counts what has expired until it is swept.
func (m *Memory) Count(ctx context.Context) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.entries), nil
}

func (m *Memory) sweepLocked(now time.Time) int {
	before := len(m.entries)
	for token, e := range m.entries {
		if !now.Before(e.expiry) {
			delete(m.entries, token)
		}
	}
	return before - len(m.entries)
}

func (m *Memory) now() time.Time {
	if m.Now != nil {
		return m.Now()
	}
	return time.Now()
}
