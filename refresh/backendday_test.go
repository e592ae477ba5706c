package refresh_test

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/dialect"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// A backendDay is a backend as a team has set it up, and the dialect that is edited for it.
type backendDay struct {
	backendCase
	logout bool // there is one
}

// sanicDays are sanic-jwt as people set it up. A backend that reads tokens in the URL alone
// is not among them: see oauth.Presentation.
func sanicDays() map[string]backendDay {
	day := func(s oauthtest.SanicJWTSettings, edit func(d *dialect.Dialect)) backendDay {
		d := dialect.SanicJWT()
		edit(&d)
		return backendDay{backendCase: backendCase{
			backend: oauthtest.SanicJWTBackend, dialect: d, reason: oauth.ErrTokenInvalid,
			server: oauthtest.Config{AccessTokenLifetime: 30 * minute, Backends: oauthtest.BackendSettings{SanicJWT: s}},
		}}
	}
	refreshToken := dialect.Field{Value: dialect.RefreshToken, Place: dialect.InCookie, Name: "refresh_token"}
	return map[string]backendDay{
		"sanic-jwt": day(oauthtest.SanicJWTSettings{}, func(*dialect.Dialect) {}),
		"sanic-jwt, other paths and names": day(oauthtest.SanicJWTSettings{
			URLPrefix: "/api/v2", PathToAuthenticate: "/login", PathToRefresh: "/renew", PathToVerify: "/check",
			AccessTokenName: "jwt", RefreshTokenName: "renewal", ClaimAud: "the-api", ClaimIss: "the-app",
		}, func(d *dialect.Dialect) {
			d.Login.Path, d.Refresh.Path = "/api/v2/login", "/api/v2/renew"
			d.Answer.AccessToken, d.Answer.RefreshToken, d.Refresh.Fields[1].Name = "jwt", "renewal", "renewal"
		}),
		"sanic-jwt, prefix JWT": day(oauthtest.SanicJWTSettings{AuthorizationHeaderPrefix: "JWT"}, func(d *dialect.Dialect) {
			d.Refresh.Fields[0].Name, d.Presentation = "JWT", oauth.Presentation{Scheme: "JWT"}
		}),
		"sanic-jwt, x-token without a prefix": day(oauthtest.SanicJWTSettings{AuthorizationHeader: "x-token", NoAuthorizationHeaderPrefix: true}, func(d *dialect.Dialect) {
			d.Refresh.Fields[0] = dialect.Field{Value: dialect.AccessToken, Place: dialect.InHeader, Name: "x-token"}
			d.Presentation = oauth.Presentation{Header: "x-token"}
		}),
		"sanic-jwt, cookies": day(oauthtest.SanicJWTSettings{CookieSet: true, CookieAccessTokenName: "at"}, func(d *dialect.Dialect) {
			d.Refresh.Fields = []dialect.Field{{Value: dialect.AccessToken, Place: dialect.InCookie, Name: "at"}, refreshToken}
			d.Presentation = oauth.Presentation{Cookie: "at"}
		}),
		"sanic-jwt, lax cookies and headers": day(oauthtest.SanicJWTSettings{CookieSet: true, CookieLax: true, QueryStringSet: true, QueryStringLax: true},
			func(*dialect.Dialect) {}),
		"sanic-jwt, split cookies, other paths and names": day(oauthtest.SanicJWTSettings{
			CookieSet: true, CookieSplit: true, CookieSignatureName: "sig", URLPrefix: "/api/auth", AccessTokenName: "jwt", RefreshTokenName: "renewal",
		}, func(d *dialect.Dialect) {
			d.Login.Path, d.Refresh.Path = "/api/auth", "/api/auth/refresh"
			d.Answer.AccessToken, d.Answer.RefreshToken = "jwt", "renewal"
			d.Refresh.Fields = []dialect.Field{{Value: dialect.AccessToken, Place: dialect.InCookie, Name: "access_token"}, refreshToken}
			d.Presentation = oauth.Presentation{Cookie: "access_token", SignatureCookie: "sig"}
		}),
	}
}

func backendDays() map[string]backendDay {
	days := sanicDays()
	kratos := func(s oauthtest.GoKratosSettings) backendDay {
		return backendDay{backendCase{
			backend: oauthtest.GoKratosBackend, dialect: dialect.Kratos(), reason: oauth.ErrTokenInvalid, hesitates: s.RefreshError,
			server: oauthtest.Config{Backends: oauthtest.BackendSettings{GoKratos: s}},
		}, true}
	}
	days["go-kratos"] = kratos(oauthtest.GoKratosSettings{})
	days["go-kratos, proto names, nested errors"] = kratos(oauthtest.GoKratosSettings{ProtoNames: true, NestedErrors: true, NoMetadata: true})
	days["go-kratos, one word for all"] = kratos(oauthtest.GoKratosSettings{RefreshError: true})

	ginDays(days)

	tutorial := func(server oauthtest.Config) backendDay {
		return backendDay{backendCase{
			backend: oauthtest.ASPNETBackend, dialect: dialect.ASPNET(), reason: oauth.ErrTokenInvalid, hesitates: true, server: server,
		}, true}
	}
	days["aspnet"] = tutorial(oauthtest.Config{})
	days["aspnet, no other refresh token"] = tutorial(oauthtest.Config{NoRotation: true})
	days["aspnet, problems and bare strings"] = tutorial(oauthtest.Config{NoRotation: true, Backends: oauthtest.BackendSettings{
		ASPNET: oauthtest.ASPNETSettings{Problems: true, BareRefresh: true},
	}})
	return days
}

// ginDays adds gin-jwt 3 and 2 as people set them up.
func ginDays(days map[string]backendDay) {
	gin := func(edit func(*dialect.Dialect)) backendDay {
		d := dialect.GinJWT()
		edit(&d)
		return backendDay{backendCase{
			backend: oauthtest.GinJWTBackend, dialect: d, reason: oauth.ErrTokenInvalid, hesitates: true, server: oauthtest.Config{NoReuseDetection: true},
		}, true}
	}
	days["gin-jwt"] = gin(func(*dialect.Dialect) {})
	days["gin-jwt, forms, logout behind the middleware"] = gin(func(d *dialect.Dialect) {
		d.Login.Encoding, d.Refresh.Encoding, d.Logout.Encoding, d.Logout.Path = dialect.EncodeForm, dialect.EncodeForm, dialect.EncodeForm, "/auth/logout"
	})
	cookies := gin(func(d *dialect.Dialect) {
		*d = d.InCookie("rt")
		d.Logout.Fields[1] = dialect.Field{Value: dialect.AccessToken, Place: dialect.InCookie, Name: "at"}
		d.Presentation = oauth.Presentation{Cookie: "at"}
	})
	cookies.server.Backends.GinJWT = oauthtest.GinJWTSettings{
		TokenHeadName: "JWT", TokenLookup: "header: X-Token, cookie: at", SendCookie: true, CookieName: "at", RefreshTokenCookieName: "rt",
	}
	days["gin-jwt, everything in cookies"] = cookies
	header := gin(func(d *dialect.Dialect) { d.Presentation = oauth.Presentation{Header: "X-Token", Scheme: "JWT"} })
	header.server.Backends.GinJWT = oauthtest.GinJWTSettings{TokenHeadName: "JWT", TokenLookup: "header: X-Token"}
	days["gin-jwt, another header and head name"] = header
	days["gin-jwt, cookie"] = gin(func(d *dialect.Dialect) { *d = d.InCookie("refresh_token") })
	days["gin-jwt 2"] = backendDay{backendCase{
		backend: oauthtest.GinJWT2Backend, dialect: dialect.GinJWT2(), reason: oauth.ErrTokenInvalid, hesitates: true,
	}, false}

	odd2 := dialect.GinJWT2()
	odd2.Refresh.Fields = []dialect.Field{{Value: dialect.AccessToken, Place: dialect.InCookie, Name: "jwt"}}
	odd2.Presentation = oauth.Presentation{Header: "X-Token", Scheme: "JWT"}
	days["gin-jwt 2, cookie and another header"] = backendDay{backendCase{
		backend: oauthtest.GinJWT2Backend, dialect: odd2, reason: oauth.ErrTokenInvalid, hesitates: true,
		server: oauthtest.Config{Backends: oauthtest.BackendSettings{GinJWT2: oauthtest.GinJWT2Settings{
			TokenHeadName: "JWT", TokenLookup: "header: X-Token, cookie: jwt", MaxRefresh: 24 * time.Hour,
		}}},
	}, false}
}

// api is where a client shows its access token.
func (b backendDay) api(f *fixture) string {
	if _, _, _, own := f.server.BackendEndpoints(b.backend); own != "" {
		return f.server.Endpoint(own)
	}
	return f.server.Resource()
}

// A day at each backend, whose own API sees the token every five minutes; then a logout, and
// another login, whose session the backend ends and says so in its own words.
func TestASessionLivesForADayAtEachBackend(t *testing.T) {
	for name, b := range backendDays() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told failures
				f, client := newBackendFixture(t, b.backendCase, told.use)
				liveADay(t, f, b)
				if err := f.Logout(t.Context()); err != nil {
					t.Fatal(err)
				}
				if n := f.server.Sessions("alice"); b.logout && n != 0 {
					t.Errorf("%d sessions after the logout", n)
				}
				if heard := told.heard(); len(heard) != 0 {
					t.Errorf("OnRefreshFail heard %v", heard)
				}
				again, err := client.Login(t.Context(), "alice", "wonderland")
				if err != nil {
					t.Fatal(err)
				}
				if err := f.UpdateTokens(again); err != nil {
					t.Fatal(err)
				}
				f.server.RevokeAll("alice")
				time.Sleep(2 * time.Hour)
				heard := told.heard()
				if len(heard) != 1 || !errors.Is(heard[0], oauth.ErrLoginRequired) || !errors.Is(heard[0], b.reason) {
					t.Errorf("OnRefreshFail heard %v; want one error that is %q", heard, b.reason)
				}
				want := refresh.StateLoginRequired
				if b.hesitates {
					want = refresh.StateSuspected
				}
				f.inState(t, want)
				f.clean(t)
			})
		})
	}
}

// liveADay asks the API every five minutes, and has the tokens renewed ahead.
func liveADay(t *testing.T, f *fixture, b backendDay) {
	t.Helper()
	client := &http.Client{Transport: f.Transport(f.server.Client().Transport)}
	_, renewals, _, _ := f.server.BackendEndpoints(b.backend)
	for range 24 * 12 {
		time.Sleep(5 * minute)
		if left := time.Until(f.GetExpiresAt()); left <= 0 {
			t.Fatalf("the token is %v past its end", -left)
		}
		if status := get(t, client, b.api(f)); status != http.StatusOK {
			t.Fatalf("the API answers %d", status)
		}
	}
	life := b.server.AccessTokenLifetime
	if life == 0 {
		life = oauthtest.DefaultAccessTokenLifetime
	}
	day := int(24 * time.Hour / life)
	if n := f.server.Requests(renewals); n < day || n > 2*day {
		t.Errorf("%d refreshes in a day of tokens of %v", n, life)
	}
}
