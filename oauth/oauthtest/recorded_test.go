package oauthtest_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evertoken/evertoken/internal/authserver/refreshtokens"
	"github.com/evertoken/evertoken/internal/recorded"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// A brittleStore is a store that can be down.
type brittleStore struct {
	refreshtokens.Memory
	down atomic.Bool
}

func (s *brittleStore) Get(ctx context.Context, token string) (any, error) {
	if s.down.Load() {
		return nil, errors.New("down")
	}
	return s.Memory.Get(ctx, token)
}

// A twin is a backend as it is set up, by the record that it is held to.
type twin struct {
	backend oauthtest.Backend
	server  oauthtest.Config
}

func twins() map[string]twin {
	cookies := oauthtest.SanicJWTSettings{
		CookieSet: true, CookieSplit: true, URLPrefix: "/api/auth", PathToAuthenticate: "/login", AccessTokenName: "jwt", RefreshTokenName: "renewal",
	}
	return map[string]twin{
		"go-kratos":               {oauthtest.GoKratosBackend, oauthtest.Config{}},
		"go-kratos-proto-names":   {oauthtest.GoKratosBackend, oauthtest.Config{Backends: oauthtest.BackendSettings{GoKratos: oauthtest.GoKratosSettings{ProtoNames: true, NestedErrors: true}}}},
		"go-kratos-refresh-error": {oauthtest.GoKratosBackend, oauthtest.Config{Backends: oauthtest.BackendSettings{GoKratos: oauthtest.GoKratosSettings{RefreshError: true}}}},
		"gin-jwt-3":               {oauthtest.GinJWTBackend, oauthtest.Config{NoReuseDetection: true, AccessTokenLifetime: time.Hour}},
		"gin-jwt-3-odd": {oauthtest.GinJWTBackend, oauthtest.Config{AccessTokenLifetime: time.Hour, RefreshTokenLifetime: 30 * 24 * time.Hour, JWTRefreshTokens: true,
			Backends: oauthtest.BackendSettings{GinJWT: oauthtest.GinJWTSettings{
				TokenHeadName: "JWT", TokenLookup: "header: X-Token, cookie: at", SendCookie: true, CookieName: "at", RefreshTokenCookieName: "rt",
			}}}},
		"gin-jwt-2-odd": {oauthtest.GinJWT2Backend, oauthtest.Config{Backends: oauthtest.BackendSettings{GinJWT2: oauthtest.GinJWT2Settings{
			TokenHeadName: "JWT", TokenLookup: "header: X-Token, cookie: jwt",
		}}}},
		"gin-jwt-2":         {oauthtest.GinJWT2Backend, oauthtest.Config{AccessTokenLifetime: time.Hour, Backends: oauthtest.BackendSettings{GinJWT2: oauthtest.GinJWT2Settings{MaxRefresh: 2 * time.Hour}}}},
		"sanic-jwt":         {oauthtest.SanicJWTBackend, oauthtest.Config{AccessTokenLifetime: 30 * time.Minute}},
		"sanic-jwt-cookies": {oauthtest.SanicJWTBackend, oauthtest.Config{Backends: oauthtest.BackendSettings{SanicJWT: cookies}}},
		"sanic-jwt-header": {oauthtest.SanicJWTBackend, oauthtest.Config{Backends: oauthtest.BackendSettings{SanicJWT: oauthtest.SanicJWTSettings{
			AuthorizationHeader: "x-token", NoAuthorizationHeaderPrefix: true,
		}}}},
		"sanic-jwt-query": {oauthtest.SanicJWTBackend, oauthtest.Config{Backends: oauthtest.BackendSettings{SanicJWT: oauthtest.SanicJWTSettings{QueryStringSet: true}}}},
		"aspnet":          {oauthtest.ASPNETBackend, oauthtest.Config{}},
		"aspnet-problems": {oauthtest.ASPNETBackend, oauthtest.Config{NoRotation: true, Backends: oauthtest.BackendSettings{ASPNET: oauthtest.ASPNETSettings{Problems: true, BareRefresh: true}}}},
	}
}

// The conformance runs ask the real go-kratos and gin-jwt the same.
func TestTwinsAnswerAsTheirOriginals(t *testing.T) {
	for name, tt := range twins() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := new(brittleStore)
				tt.server.RefreshTokens = store
				s := oauthtest.New(tt.server)
				base := s.DialectConfig(tt.backend).BaseURL
				life := tt.server.AccessTokenLifetime
				player := recorded.Player{
					Send: func(r *http.Request) (*http.Response, error) {
						target, err := r.URL.Parse(base + r.URL.RequestURI())
						if err != nil {
							return nil, err
						}
						r.URL, r.Host = target, target.Host
						return s.Client().Do(r)
					},
					Do: map[string]func(){
						"access token expired":  func() { time.Sleep(life + 3*time.Minute + time.Second) },
						"MaxRefresh over":       func() { time.Sleep(life) },
						"refresh token expired": func() { time.Sleep(oauthtest.DefaultRefreshTokenLifetime + time.Second) },
						"refresh token removed": func() { s.RevokeAll("alice") },
						"user gone":             func() { s.EndUser("alice") },
						"store down":            func() { store.down.Store(true) },
						"store up":              func() { store.down.Store(false) },
					},
				}
				player.Play(t, name)
			})
		})
	}
}

// The tokens' claims are those of the originals, and no others: clients read them.
func TestTwinsTellInATokenWhatTheirOriginalsTell(t *testing.T) {
	settings := oauthtest.BackendSettings{SanicJWT: oauthtest.SanicJWTSettings{ClaimAud: "the-api", ClaimIss: "the-app"}}
	for name, tt := range map[string]struct {
		backend  oauthtest.Backend
		settings oauthtest.BackendSettings
		token    string // its member
		has      string
	}{
		"sanic-jwt":                   {oauthtest.SanicJWTBackend, oauthtest.BackendSettings{}, "access_token", "exp user_id"},
		"sanic-jwt with aud and iss":  {oauthtest.SanicJWTBackend, settings, "access_token", "aud exp iss user_id"},
		"aspnet":                      {oauthtest.ASPNETBackend, oauthtest.BackendSettings{}, "accessToken", "exp http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"},
		"gin-jwt":                     {oauthtest.GinJWTBackend, oauthtest.BackendSettings{}, "access_token", "exp identity orig_iat"},
		"gin-jwt 2":                   {oauthtest.GinJWT2Backend, oauthtest.BackendSettings{}, "token", "exp identity orig_iat"},
		"go-kratos, by its own token": {oauthtest.GoKratosBackend, oauthtest.BackendSettings{}, "accessToken", "exp user"},
	} {
		t.Run(name, func(t *testing.T) {
			s := oauthtest.New(oauthtest.Config{Backends: tt.settings})
			login, _, _, _ := s.BackendEndpoints(tt.backend)
			token := postJSON(t, s, login, goodLogin).wantOK(t).text(t, tt.token)
			var claims jwt.MapClaims
			parsed, _, err := jwt.NewParser().ParseUnverified(token, &claims)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(slices.Sorted(maps.Keys(claims)), " "); got != tt.has {
				t.Errorf("claims %s; want %s", got, tt.has)
			}
			if parsed.Header["typ"] != "JWT" {
				t.Errorf("typ %v; want JWT", parsed.Header["typ"])
			}
		})
	}
}
