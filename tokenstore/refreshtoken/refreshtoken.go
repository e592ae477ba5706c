// Package refreshtoken keeps in Redis the refresh tokens that a server has given out,
// so that restarts and replicas of the server share them.
//
// It is for the other side of OAuth: for servers that make tokens, such as those
// built with github.com/appleboy/gin-jwt/v3, whose core.TokenStore [Store]
// implements without importing it. (Package ginjwt beside it fits it to gin-jwt 3.0, whose
// interface has no contexts; package database keeps the same in PostgreSQL or SQLite.)
// Clients that keep their own sessions want the stores of package tokenstore.
//
//	auth, err := jwt.New(&jwt.GinJWTMiddleware{
//		RefreshTokenStore: refreshtoken.New(refreshtoken.Config{
//			Client: client, NotFound: core.ErrRefreshTokenNotFound, Decode: ginjwt.UserData[*User],
//		}),
//		...
//	})
//
// # What is stored where
//
// Each token is one key: Config.Prefix and the SHA-256 of the token in base64url,
// so that a client that can list keys, or reads the slow log, has no token. Its value is
// the user data as JSON. Redis itself removes it when it expires.
//
// # Coming from gin-jwt's own store
//
// With Config.GinJWTPrefix the store also reads what gin-jwt's Redis store has written, so
// that no user is logged out when a server changes to this one. Such a row is deleted when
// its token is spent; once the longest-lived refresh token has ended there are none left.
//
// # Compatibility
//
// Redis 2.6.12 or newer (SET with PX): one node, one that Sentinel watches, a Cluster, or a
// Ring of several. Each command is about one key. It was tested with Redis 7.0.
package refreshtoken

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strings"
	"sync/atomic"
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
	// Client talks to Redis: a *redis.Client, *redis.ClusterClient or *redis.Ring. Required.
	// It stays the caller's, which closes it; its timeouts and retries are in force.
	Client redis.UniversalClient
	// Prefix begins every key of the store. Stores with the same Prefix in one
	// database are the same store. Empty means DefaultPrefix.
	Prefix string
	// NotFound is what Get returns for a token that is missing or has expired. Nil
	// means tokenstore.ErrNotFound. gin-jwt compares it with its own
	// core.ErrRefreshTokenNotFound: with another error it works, but answers in
	// that error's words.
	NotFound error
	// Decode reads user data from the JSON that Set has made of it. Nil means
	// json.Unmarshal into an any, which makes a map of a struct. A program whose callbacks
	// expect a type of their own sets ginjwt.UserData of that type. Its errors are not shown:
	// they can quote the data.
	Decode func(data []byte) (any, error)
	// GinJWTPrefix is the KeyPrefix of a store of gin-jwt's own, "gin-jwt:" unless the
	// program has set another. Tokens that are not found by their hash are then looked for
	// there, too, by keys that show them to Redis. Empty means not.
	GinJWTPrefix string
}

// String names the prefix. The client, which has a password, is not shown.
func (cfg Config) String() string {
	return fmt.Sprintf("refreshtoken.Config{%s}", cmp.Or(cfg.Prefix, DefaultPrefix))
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (cfg Config) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, cfg.String()) }

// LogValue implements slog.LogValuer.
func (cfg Config) LogValue() slog.Value { return slog.StringValue(cfg.String()) }

// A Store keeps refresh tokens with the data they stand for, and shows no token
// to Redis. Make one with [New]. Safe for concurrent use.
type Store struct {
	client   redis.UniversalClient
	prefix   string
	old      string
	notFound error
	decode   func([]byte) (any, error)
}

// String names the store by its prefix.
func (s Store) String() string { return "refreshtoken.Store{" + s.prefix + "}" }

// Format implements fmt.Formatter: every verb prints what String returns. The client, which
// has a password, is not shown.
func (s Store) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, s.String()) }

// New returns a store. It does not talk to Redis yet. It panics without a Client.
func New(cfg Config) *Store {
	if v := reflect.ValueOf(cfg.Client); cfg.Client == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		panic("refreshtoken: Config.Client is nil")
	}
	if cfg.Decode == nil {
		cfg.Decode = func(data []byte) (v any, err error) { return v, json.Unmarshal(data, &v) }
	}
	return &Store{
		client:   cfg.Client,
		prefix:   cmp.Or(cfg.Prefix, DefaultPrefix),
		old:      cfg.GinJWTPrefix,
		notFound: cmp.Or(cfg.NotFound, tokenstore.ErrNotFound),
		decode:   cfg.Decode,
	}
}

var (
	errEmptyToken = errors.New("a refresh token cannot be empty")
	errPast       = errors.New("it would have ended already: its expiry is not in the future")
	errValue      = errors.New("the user data cannot be decoded") // an error of json would quote it
)

// Set stores userData under token until expiry, replacing what was there.
//
// userData must be of a kind that encoding/json can write. It fails, and changes nothing, if
// token is empty, expiry is not in the future, or Redis cannot be reached.
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
		return failed("save", errPast)
	}
	life = max(life, time.Millisecond) // less is more in go-redis too, with a line in the log
	return failed("save", s.client.Set(ctx, s.key(token), value, life).Err())
}

// Get returns the user data of token as Config.Decode reads it; without one a number is a
// float64, a struct a map[string]any. If the token is missing or has expired, it
// returns Config.NotFound itself. Other errors say nothing about the token.
func (s *Store) Get(ctx context.Context, token string) (any, error) {
	if token == "" {
		return nil, s.notFound
	}
	value, err := s.client.Get(ctx, s.key(token)).Bytes()
	if errors.Is(err, redis.Nil) {
		return s.getOld(ctx, token)
	}
	if err != nil {
		return nil, failed("read", err)
	}
	return s.read(value)
}

func (s *Store) read(value []byte) (any, error) {
	userData, err := s.decode(value)
	if err != nil {
		return nil, failed("read", errValue)
	}
	return userData, nil
}

// getOld is Get for what gin-jwt's own store has written.
func (s *Store) getOld(ctx context.Context, token string) (any, error) {
	if s.old == "" {
		return nil, s.notFound // gin-jwt compares with ==
	}
	value, err := s.client.Get(ctx, s.old+token).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, s.notFound
	}
	if err != nil {
		return nil, failed("read", err)
	}
	var row struct {
		UserData json.RawMessage `json:"user_data"`
		Expiry   time.Time       `json:"expiry"`
	}
	if json.Unmarshal(value, &row) != nil {
		return nil, failed("read", errValue)
	}
	if !time.Now().Before(row.Expiry) {
		return nil, s.notFound
	}
	return s.read(row.UserData)
}

// Delete removes token. If there is none, it succeeds.
func (s *Store) Delete(ctx context.Context, token string) error {
	if token == "" {
		return nil
	}
	err := s.client.Del(ctx, s.key(token)).Err()
	if s.old != "" { // by itself: in a Cluster the two are on different nodes
		err = errors.Join(err, s.client.Del(ctx, s.old+token).Err())
	}
	return failed("delete", err)
}

// Cleanup has nothing to do, since Redis removes expired tokens by itself: it
// returns zero.
func (s *Store) Cleanup(ctx context.Context) (int, error) { return 0, ctx.Err() }

// Count returns the number of tokens, and removes none. It looks at every key of the database,
// a thousand at a time, on all nodes of a Cluster or Ring at once. It may be off by those that
// come and go meanwhile, or that Redis moves in its memory or to another node.
func (s *Store) Count(ctx context.Context) (int, error) {
	var count atomic.Int64
	each := func(ctx context.Context, node redis.Cmdable) error {
		for _, prefix := range s.prefixes() {
			n, err := countOn(ctx, node, prefix)
			if err != nil {
				return err
			}
			count.Add(int64(n))
		}
		return nil
	}
	onNode := func(ctx context.Context, node *redis.Client) error { return each(ctx, node) }
	var err error
	switch client := s.client.(type) {
	case *redis.ClusterClient:
		err = client.ForEachMaster(ctx, onNode)
	case *redis.Ring:
		err = client.ForEachShard(ctx, onNode)
	default:
		err = each(ctx, client)
	}
	if err != nil {
		return 0, failed("count", err)
	}
	return int(count.Load()), nil
}

// prefixes returns what the keys begin with, so that none begins with two of them.
func (s *Store) prefixes() []string {
	switch {
	case s.old == "", strings.HasPrefix(s.old, s.prefix):
		return []string{s.prefix}
	case strings.HasPrefix(s.prefix, s.old):
		return []string{s.old}
	}
	return []string{s.prefix, s.old}
}

// countOn counts the keys of one node that begin with a prefix.
func countOn(ctx context.Context, node redis.Cmdable, prefix string) (int, error) {
	count := 0
	for cursor := uint64(0); ; {
		keys, next, err := node.Scan(ctx, cursor, literal(prefix)+"*", scanCount).Result()
		if err != nil {
			return 0, err
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
