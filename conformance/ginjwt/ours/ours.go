// Package ours has Evertoken's stores for refresh tokens in the form in which gin-jwt's own
// tests can be run on them: see suite_test.go.
package ours

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/appleboy/gin-jwt/v3/core"
	"github.com/redis/go-redis/v9"

	"github.com/evertoken/evertoken/internal/authserver/refreshtokens"
	"github.com/evertoken/evertoken/tokenstore/refreshtoken"
)

// Redis is the environment variable with the address of a Redis. Without it tokens are in memory.
const Redis = "EVERTOKEN_SUITE_REDIS"

// A Store is one of ours, with what gin-jwt's memory store has beyond the interface.
type Store struct {
	core.TokenStore

	mu    sync.Mutex // guards known
	known map[string]bool
}

var (
	once   sync.Once
	client *redis.Client
)

// New returns an empty store.
func New() *Store {
	s := &Store{known: make(map[string]bool)}
	addr := os.Getenv(Redis)
	if addr == "" {
		s.TokenStore = &refreshtokens.Memory{NotFound: core.ErrRefreshTokenNotFound}
		return s
	}
	once.Do(func() { client = redis.NewClient(&redis.Options{Addr: addr}) })
	s.TokenStore = refreshtoken.New(refreshtoken.Config{Client: client, NotFound: core.ErrRefreshTokenNotFound, Prefix: rand.Text() + ":"})
	return s
}

// Set stores by ours. One of gin-jwt's tests wants this wording.
func (s *Store) Set(ctx context.Context, token string, userData any, expiry time.Time) error {
	if token == "" {
		return errors.New("token cannot be empty")
	}
	s.mu.Lock()
	s.known[token] = true
	s.mu.Unlock()
	return s.TokenStore.Set(ctx, token, userData, expiry)
}

func (s *Store) tokens() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for token := range s.known {
		list = append(list, token)
	}
	return list
}

// GetAll returns what the store has.
func (s *Store) GetAll() map[string]*core.RefreshTokenData {
	all := make(map[string]*core.RefreshTokenData)
	for _, token := range s.tokens() {
		if user, err := s.Get(context.Background(), token); err == nil {
			all[token] = &core.RefreshTokenData{UserData: user}
		}
	}
	return all
}

// Clear removes all tokens.
func (s *Store) Clear() {
	for _, token := range s.tokens() {
		_ = s.Delete(context.Background(), token)
	}
}
