package main

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	ginjwt2 "github.com/appleboy/gin-jwt/v2"
	ginjwt "github.com/appleboy/gin-jwt/v3"

	"github.com/evertoken/evertoken/internal/recorded"
)

// The twins in oauthtest are held to the same records.
func TestGinJWTAnswersAsRecorded(t *testing.T) {
	v3 := func(t *testing.T) http.Handler {
		handler, err := newHandler(options{AccessTokenLifetime: 3600, Password: "wonderland"})
		if err != nil {
			t.Fatal(err)
		}
		return handler
	}
	for name, start := range map[string]func(*testing.T) http.Handler{
		"gin-jwt-3": v3,
		"gin-jwt-3-odd": func(t *testing.T) http.Handler {
			handler, err := newHandler(options{AccessTokenLifetime: 3600, Password: "wonderland", odd: func(mw *ginjwt.GinJWTMiddleware) {
				mw.TokenHeadName, mw.TokenLookup = "JWT", "header: X-Token, cookie: at"
				mw.SendCookie, mw.CookieName, mw.RefreshTokenCookieName = true, "at", "rt"
			}})
			if err != nil {
				t.Fatal(err)
			}
			return handler
		},
		"gin-jwt-2-odd": func(t *testing.T) http.Handler {
			return newGinJWT2(t, 2*time.Hour, func(mw *ginjwt2.GinJWTMiddleware) {
				mw.TokenHeadName, mw.TokenLookup = "JWT", "header: X-Token, cookie: jwt"
			})
		},
		"gin-jwt-2": func(t *testing.T) http.Handler { return newGinJWT2(t, 2*time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := inProcess{start(t)}
				player := recorded.Player{
					Send: server.RoundTrip,
					Do: map[string]func(){
						"access token expired": func() { time.Sleep(time.Hour + time.Second) },
						"MaxRefresh over":      func() { time.Sleep(time.Hour) },
					},
				}
				player.Play(t, name)
			})
		})
	}
}
