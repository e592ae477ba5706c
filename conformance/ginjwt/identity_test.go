package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	ginjwt3 "github.com/appleboy/gin-jwt/v3"
	"github.com/appleboy/gin-jwt/v3/core"
	"github.com/appleboy/gin-jwt/v3/store"
	"github.com/gin-gonic/gin"
	"github.com/golang-jwt/jwt/v5"
	"github.com/redis/go-redis/v9"

	"github.com/evertoken/evertoken/oauth/dialect"
	"github.com/evertoken/evertoken/tokenstore/refreshtoken"
	"github.com/evertoken/evertoken/tokenstore/refreshtoken/ginjwt"
)

// An account is what a program with gin-jwt has of a person.
type account struct {
	Name string
	ID   int64
}

// newServerOf is gin-jwt with a struct for user data, and refresh tokens in tokens.
func newServerOf(t *testing.T, tokens core.TokenStore) http.Handler {
	t.Helper()
	mw, err := ginjwt3.New(&ginjwt3.GinJWTMiddleware{
		Realm: "conformance", Key: []byte("no secret: a server for tests"), Timeout: time.Hour, RefreshTokenStore: tokens,
		PayloadFunc: func(user any) jwt.MapClaims {
			if a, ok := user.(*account); ok {
				return jwt.MapClaims{ginjwt3.IdentityKey: a.Name}
			}
			return jwt.MapClaims{}
		},
		Authenticator: func(*gin.Context) (any, error) { return &account{"alice", 9007199254740993}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.POST("/login", mw.LoginHandler)
	r.POST("/refresh", mw.RefreshHandler)
	return r
}

// identity is whose access token it is.
func identity(t *testing.T, token string) any {
	t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(data, &claims); err != nil {
		t.Fatal(err)
	}
	return claims[ginjwt3.IdentityKey]
}

func TestIdentityOutlivesRefreshes(t *testing.T) {
	addr := startRedis(t)
	client := redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { _ = client.Close() })
	ours := refreshtoken.New(refreshtoken.Config{
		Client: client, NotFound: core.ErrRefreshTokenNotFound, Decode: ginjwt.UserData[*account], GinJWTPrefix: "gin-jwt:",
	})
	cfg := store.DefaultRedisConfig()
	cfg.Addr = addr
	theirs, err := store.NewRedisRefreshTokenStore(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = theirs.Close() })
	for name, before := range map[string]core.TokenStore{"a login on our store": ours, "a login on its own, before the server changed": theirs} {
		t.Run(name, func(t *testing.T) {
			clientOf := func(tokens core.TokenStore) *dialect.Client {
				return dialect.NewClient(dialect.GinJWT(), dialect.Config{
					BaseURL: "https://gin.example", HTTPClient: &http.Client{Transport: inProcess{newServerOf(t, tokens)}},
				})
			}
			pair, err := clientOf(before).Login(t.Context(), "alice", "x")
			if err != nil {
				t.Fatal(err)
			}
			for n := range 3 {
				if pair, err = clientOf(ours).Refresh(t.Context(), pair); err != nil {
					t.Fatalf("refresh %d: %v", n+1, err)
				}
				if got := identity(t, pair.AccessToken); got != "alice" {
					t.Errorf("after refresh %d the token is %v's", n+1, got)
				}
			}
		})
	}
	if n, err := ours.Count(context.Background()); n != 2 || err != nil {
		t.Errorf("%d refresh tokens (%v); want one a session", n, err)
	}
}
