package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	ginjwt2 "github.com/appleboy/gin-jwt/v2"
	"github.com/gin-gonic/gin"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/dialect"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// newGinJWT2 is gin-jwt 2 with the routes that its README has.
func newGinJWT2(t *testing.T, maxRefresh time.Duration, odd ...func(*ginjwt2.GinJWTMiddleware)) http.Handler {
	t.Helper()
	settings := &ginjwt2.GinJWTMiddleware{
		Realm: "conformance", Key: []byte("no secret: a server for tests"), Timeout: time.Hour, MaxRefresh: maxRefresh, IdentityKey: "id",
		PayloadFunc: func(user any) ginjwt2.MapClaims { return ginjwt2.MapClaims{"id": user} },
		Authenticator: func(c *gin.Context) (any, error) {
			var login struct{ Username, Password string }
			if c.ShouldBindJSON(&login) != nil || login.Username != "alice" || login.Password != "wonderland" {
				return nil, ginjwt2.ErrFailedAuthentication
			}
			return login.Username, nil
		},
	}
	for _, set := range odd {
		set(settings)
	}
	mw, err := ginjwt2.New(settings)
	if err != nil {
		t.Fatal(err)
	}
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.POST("/login", mw.LoginHandler)
	r.POST("/logout", mw.LogoutHandler)
	auth := r.Group("/auth")
	auth.GET("/refresh_token", mw.RefreshHandler)
	auth.Use(mw.MiddlewareFunc())
	auth.GET("/hello", func(c *gin.Context) { c.String(http.StatusOK, "hello") })
	return r
}

// inProcess serves requests without sockets, so that they fit into a bubble.
type inProcess struct{ handler http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	return w.Result(), nil
}

// There are no refresh tokens: the access token renews itself, for as long as MaxRefresh
// says after its last issue. A session lives for days, and ends in the server's own words.
func TestSessionAtGinJWT2LivesByItsAccessTokenAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := newGinJWT2(t, 2*time.Hour)
		c := dialect.NewClient(dialect.GinJWT2(), dialect.Config{BaseURL: "https://gin.example", HTTPClient: &http.Client{Transport: inProcess{handler}}})
		if _, err := c.Login(t.Context(), "alice", "x"); !errors.Is(err, oauth.ErrLoginRequired) {
			t.Errorf("a wrong password: %v", err)
		}
		pair, err := c.Login(t.Context(), "alice", "wonderland")
		if err != nil {
			t.Fatal(err)
		}
		if life, known := pair.Lifetime(); !known || (life-time.Hour).Abs() > time.Second || pair.RefreshToken != pair.AccessToken {
			t.Fatalf("pair %v, life %v", pair, life)
		}
		var mu sync.Mutex
		var told []error
		m := refresh.NewManager(refresh.Config{OAuthClient: c, Store: new(tokenstore.Memory), OnRefreshFail: func(err error) bool {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, err)
			return false
		}})
		if err := m.Start(t.Context(), pair); err != nil {
			t.Fatal(err)
		}
		api := &http.Client{Transport: m.Transport(inProcess{handler})}
		for range 2 * 24 * 6 {
			time.Sleep(10 * time.Minute)
			resp, err := api.Get("https://gin.example/auth/hello")
			if err != nil {
				t.Fatal(err)
			}
			if resp.Body.Close(); resp.StatusCode != http.StatusOK {
				t.Fatalf("the API answers %d", resp.StatusCode)
			}
		}
		m.Stop()
		time.Sleep(4 * time.Hour) // without a renewal
		if err := m.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		defer m.Stop()
		time.Sleep(time.Hour)
		if mu.Lock(); len(told) != 1 || !errors.Is(told[0], oauth.ErrTokenInvalid) {
			t.Errorf("OnRefreshFail heard %v; want that a login helps", told)
		}
		mu.Unlock()
	})
}
