// Package refreshtoken keeps in Redis the refresh tokens that a server has given out,
// so that restarts and replicas of the server share them.
//
// It is for the other side of OAuth: for servers that make tokens, such as those
// built with github.com/appleboy/gin-jwt/v3, whose core.TokenStore [Store]
// implements without importing it. Clients that keep their own sessions want the
// stores of package tokenstore.
//
//	auth, err := jwt.New(&jwt.GinJWTMiddleware{
//		RefreshTokenStore: refreshtoken.New(refreshtoken.Config{Client: client, NotFound: core.ErrRefreshTokenNotFound}),
//		...
//	})
//
// # What is stored where
//
// Each token is one key: Config.Prefix and the SHA-256 of the token in base64url,
// so that a client that can list keys, or reads the slow log, has no token. Its value is
// the user data as JSON. Redis itself removes it when it expires.
//
// # Compatibility
//
// Redis 2.6.12 or newer (SET with PX), one node or one that Sentinel watches. It
// was tested with Redis 7.0.
package refreshtoken

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/evertoken/evertoken/tokenstore"
)

// DefaultPrefix begins the keys of a Store whose Config has no Prefix.
const DefaultPrefix = "refresh-token:"

// scanCount is how many keys Redis looks at in one step of Count: enough that a
// million keys take a thousand round trips, and few enough that each step blocks
// Redis for less than a millisecond.
const scanCount = 1000

// Config is what a [Store] needs.
type Config struct {
	// Client talks to Redis. Required. It stays the caller's, which closes it; its
	// timeouts and retries are in force.
	Client *redis.Client
	// Prefix begins every key of the store. Stores with the same Prefix in one
	// database are the same store. Empty means DefaultPrefix.
	Prefix string
	// NotFound is what Get returns for a token that is missing or has expired. Nil
	// means tokenstore.ErrNotFound. gin-jwt compares it with its own
	// core.ErrRefreshTokenNotFound: with another error it works, but answers in
	// that error's words.
	NotFound error
}

// A Store keeps refresh tokens with the data they stand for, and shows no token
// to Redis. Make one with [New]. Safe for concurrent use.
type Store struct {
	client   *redis.Client
	prefix   string
	notFound error
}

// New returns a store. It does not talk to Redis yet. It panics without a Client.
func New(cfg Config) *Store {
	if cfg.Client == nil {
		panic("refreshtoken: Config.Client is nil")
	}
	return &Store{
		client:   cfg.Client,
		prefix:   cmp.Or(cfg.Prefix, DefaultPrefix),
		notFound: cmp.Or(cfg.NotFound, tokenstore.ErrNotFound),
	}
}

var errEmptyToken = errors.New("a refresh token cannot be empty")

// Set stores userData under token until expiry, replacing what was there. After
// expiry there is nothing to store, so that only removes what was there.
//
// userData must be of a kind that encoding/json can write. It fails if token is
// empty, or Redis cannot be reached.
func (s *Store) Set(ctx context.Context, token string, userData any, expiry time.Time) error {
	if token == "" {
		return failed("save", errEmptyToken)
	}
	value, err := json.Marshal(userData)
	if err != nil {
		return failed("save", err)
	}
	life := time.Until(expiry)
	if life <= 0 {
		return s.Delete(ctx, token)
	}
	life = max(life, time.Millisecond) // less is more in go-redis too, with a line in the log
	return failed("save", s.client.Set(ctx, s.key(token), value, life).Err())
}

// Get returns the user data of token as encoding/json reads it: a number is a
// float64, a struct a map[string]any. If the token is missing or has expired, it
// returns Config.NotFound itself. Other errors say nothing about the token.
func (s *Store) Get(ctx context.Context, token string) (any, error) {
	value, err := s.client.Get(ctx, s.key(token)).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, s.notFound // gin-jwt compares with ==
	}
	if err != nil {
		return nil, failed("read", err)
	}
	var userData any
	if json.Unmarshal(value, &userData) != nil {
		return nil, failed("read", errors.New("the value is not JSON")) // an error of json would quote it
	}
	return userData, nil
}

// Delete removes token. If there is none, it succeeds.
func (s *Store) Delete(ctx context.Context, token string) error {
	return failed("delete", s.client.Del(ctx, s.key(token)).Err())
}

// Cleanup has nothing to do, since Redis removes expired tokens by itself: it
// returns zero.
func (s *Store) Cleanup(ctx context.Context) (int, error) { return 0, ctx.Err() }

// Count returns the number of tokens. It looks at every key of the database, a
// thousand at a time, and may be off by those that come and go meanwhile, or that
// Redis moves in its memory.
func (s *Store) Count(ctx context.Context) (int, error) {
	count := 0
	for cursor := uint64(0); ; {
		keys, next, err := s.client.Scan(ctx, cursor, literal(s.prefix)+"*", scanCount).Result()
		if err != nil {
			return 0, failed("count", err)
		}
		count += len(keys)
		if next == 0 {
			return count, nil
		}
		cursor = next
	}
}

// key is where a token is: under its hash, which shows nothing of it.
func (s *Store) key(token string) string {
	sum := sha256.Sum256([]byte(token))
	return s.prefix + base64.RawURLEncoding.EncodeToString(sum[:])
}

// literal returns a pattern of Redis that matches text alone.
func literal(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(text)
}

// failed tells what failed, or returns nil if nothing did.
func failed(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("refreshtoken: cannot %s a refresh token: %w", doing, err)
}
