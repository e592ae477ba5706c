// Command ginjwt is a backend that the Evertoken project did not write:
// github.com/appleboy/gin-jwt, with the routes that its README has, logout behind
// the middleware among them. One is added: the same logout in front of it.
//
// The test that starts it opens the socket and passes it as file descriptor 3.
// File descriptor 4 is a pipe that ends when the test does; the server ends with
// it. The environment variable OPTIONS holds a JSON object: see [options].
package main

import (
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	ginjwt "github.com/appleboy/gin-jwt/v3"
	"github.com/appleboy/gin-jwt/v3/core"
	"github.com/appleboy/gin-jwt/v3/store"
	"github.com/gin-gonic/gin"
	"github.com/golang-jwt/jwt/v5"
	"github.com/redis/go-redis/v9"

	"github.com/evertoken/evertoken/internal/authserver/refreshtokens"
	"github.com/evertoken/evertoken/tokenstore/refreshtoken"
)

type options struct {
	AccessTokenLifetime int    `json:"accessTokenLifetime"` // seconds
	Password            string `json:"password"`            // of alice
	Redis               string `json:"redis"`               // host:port; empty keeps refresh tokens in memory
	Ours                bool   `json:"ours"`                // keep them by Evertoken's store of that kind

	odd func(*ginjwt.GinJWTMiddleware) // what a test sets besides
}

func main() {
	var o options
	if err := json.Unmarshal([]byte(os.Getenv("OPTIONS")), &o); err != nil {
		log.Fatal(err)
	}
	handler, err := newHandler(o)
	if err != nil {
		log.Fatal(err)
	}
	socket, err := net.FileListener(os.NewFile(3, "socket"))
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.NewFile(4, "lifeline"))
		os.Exit(0)
	}()
	log.Fatal((&http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}).Serve(socket))
}

func newHandler(o options) (http.Handler, error) {
	tokens, err := newTokenStore(o)
	if err != nil {
		return nil, err
	}
	settings := &ginjwt.GinJWTMiddleware{
		Realm:             "conformance",
		Key:               []byte("no secret: a server for tests"),
		Timeout:           time.Duration(o.AccessTokenLifetime) * time.Second,
		RefreshTokenStore: tokens,
		Authenticator:     o.authenticate,
		PayloadFunc: func(user any) jwt.MapClaims {
			return jwt.MapClaims{ginjwt.IdentityKey: user}
		},
	}
	if o.odd != nil {
		o.odd(settings)
	}
	mw, err := ginjwt.New(settings)
	if err != nil {
		return nil, err
	}
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.POST("/login", mw.LoginHandler)
	r.POST("/refresh", mw.RefreshHandler)
	r.POST("/logout", mw.LogoutHandler)
	auth := r.Group("/auth", mw.MiddlewareFunc())
	auth.POST("/logout", mw.LogoutHandler)
	auth.GET("/hello", func(c *gin.Context) { c.String(http.StatusOK, "hello") })
	return r, nil
}

// newTokenStore returns the library's own store of either kind, or ours.
func newTokenStore(o options) (core.TokenStore, error) {
	switch {
	case o.Redis == "" && o.Ours:
		return &refreshtokens.Memory{NotFound: core.ErrRefreshTokenNotFound}, nil
	case o.Redis == "":
		return store.NewInMemoryRefreshTokenStore(), nil
	case o.Ours:
		client := redis.NewClient(&redis.Options{Addr: o.Redis})
		return refreshtoken.New(refreshtoken.Config{Client: client, NotFound: core.ErrRefreshTokenNotFound}), nil
	}
	cfg := store.DefaultRedisConfig()
	cfg.Addr = o.Redis
	return store.NewRedisRefreshTokenStore(cfg)
}

func (o options) authenticate(c *gin.Context) (any, error) {
	var login struct {
		Username string `form:"username" json:"username" binding:"required"`
		Password string `form:"password" json:"password" binding:"required"`
	}
	if c.ShouldBind(&login) != nil {
		return nil, ginjwt.ErrMissingLoginValues
	}
	if login.Username != "alice" || login.Password != o.Password {
		return nil, ginjwt.ErrFailedAuthentication
	}
	return login.Username, nil
}
