package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/internal/authserver/refreshtokens"
	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/internal/wrongclock"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/dialect"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A backendCase is a home-grown backend and the dialect for it.
type backendCase struct {
	name    string
	backend oauthtest.Backend
	dialect dialect.Dialect
	server  oauthtest.Config
	// reason is what a session that was ended is refused with.
	reason error
	// hesitates: it takes more than a check interval to be sure of that.
	hesitates bool
	// keeps: its refresh tokens do not rotate.
	keeps bool
}

func backendCases() []backendCase {
	form := dialect.GinJWT()
	form.Refresh.Encoding = dialect.EncodeForm
	noReuse := oauthtest.Config{NoReuseDetection: true}
	return []backendCase{
		{name: "kratos", backend: oauthtest.KratosBackend, dialect: dialect.Kratos(),
			server: oauthtest.Config{JWTRefreshTokens: true}, reason: oauth.ErrTokenInvalid},
		{name: "sanic-jwt", backend: oauthtest.SanicJWTBackend, dialect: dialect.SanicJWT(), reason: oauth.ErrTokenInvalid, keeps: true},
		{name: "gin-jwt by JSON", backend: oauthtest.GinJWTBackend, dialect: dialect.GinJWT(), server: noReuse, reason: oauth.ErrTokenInvalid, hesitates: true},
		{name: "gin-jwt by form", backend: oauthtest.GinJWTBackend, dialect: form, server: noReuse, reason: oauth.ErrTokenInvalid, hesitates: true},
		{name: "gin-jwt by cookie", backend: oauthtest.GinJWTBackend, dialect: dialect.GinJWT().InCookie("refresh_token"), server: noReuse,
			reason: oauth.ErrTokenInvalid, hesitates: true},
		{name: "aspnet", backend: oauthtest.ASPNETBackend, dialect: dialect.ASPNET(), reason: oauth.ErrTokenInvalid, hesitates: true},
		{name: "aspnet without rotation", backend: oauthtest.ASPNETBackend, dialect: dialect.ASPNET(),
			server: oauthtest.Config{NoRotation: true}, reason: oauth.ErrTokenInvalid, hesitates: true, keeps: true},
		{name: "cookie", backend: oauthtest.CookieBackend, dialect: dialect.Cookie(), reason: oauth.ErrTokenInvalid, hesitates: true},
	}
}

// newBackendFixture logs alice in at the backend and starts a manager.
func newBackendFixture(t *testing.T, b backendCase, edits ...func(*refresh.Config)) (*fixture, *dialect.Client) {
	t.Helper()
	f := &fixture{server: oauthtest.New(b.server), store: new(tokenstore.Memory), events: new(recorder)}
	client := dialect.NewClient(b.dialect, f.server.DialectConfig(b.backend))
	var err error
	if f.first, err = client.Login(t.Context(), "alice", "wonderland"); err != nil {
		t.Fatal(err)
	}
	cfg := refresh.Config{OAuthClient: client, Store: f.store, OnEvent: f.events.add}
	for _, edit := range edits {
		edit(&cfg)
	}
	f.Manager = refresh.NewManager(cfg)
	t.Cleanup(f.Stop)
	return f.start(t), client
}

func forEachBackend(t *testing.T, test func(t *testing.T, b backendCase)) {
	for _, b := range backendCases() {
		t.Run(b.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, b) })
		})
	}
}

// refreshThrice lets the session be renewed three times by itself.
func refreshThrice(t *testing.T, f *fixture, b backendCase) {
	t.Helper()
	for n := range 3 {
		before := f.GetTokens()
		// A JWT has whole seconds: what its claims tell is up to one more.
		if life, known := before.Lifetime(); !known || life < 15*minute || life > 15*minute+time.Second {
			t.Fatalf("lifetime %v, %v; want 15m", life, known)
		}
		time.Sleep(12 * minute)
		after := f.GetTokens()
		if after.AccessToken == before.AccessToken || (after.RefreshToken == before.RefreshToken) != b.keeps {
			t.Fatalf("refresh %d: access token renewed %v, refresh token kept %v; want true, %v", n+1,
				after.AccessToken != before.AccessToken, after.RefreshToken == before.RefreshToken, b.keeps)
		}
		f.serve(t, f.saved(t))
	}
	if got := f.server.Requests(b.backend.RefreshEndpoint()); got != 3 {
		t.Errorf("%d requests; want 3", got)
	}
}

func TestSessionAtAHomeGrownBackendLivesUntilLogout(t *testing.T) {
	forEachBackend(t, func(t *testing.T, b backendCase) {
		var told failures
		f, _ := newBackendFixture(t, b, told.use)
		refreshThrice(t, f, b)

		f.server.Script(oauthtest.Fault{Endpoint: b.backend.RefreshEndpoint(), Status: 503, HTML: true, Times: -1})
		time.Sleep(time.Hour)
		if _, err := f.TokenContext(t.Context()); err == nil || errors.Is(err, oauth.ErrLoginRequired) {
			t.Errorf("in an outage: %v; want an error that asks for no login", err)
		}
		f.server.ClearScript()
		time.Sleep(2 * minute)
		f.inState(t, refresh.StateValid)
		f.serve(t, f.saved(t))

		pair := f.saved(t)
		if err := f.Logout(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := 0
		if b.backend.LogoutEndpoint() == "" {
			want = 1 // the backend cannot be told
		}
		if got := f.server.Sessions("alice"); got != want {
			t.Errorf("%d sessions after logout; want %d", got, want)
		}
		if _, err := f.store.Get(t.Context(), "default"); !errors.Is(err, tokenstore.ErrNotFound) {
			t.Errorf("the store after logout of %v: %v; want ErrNotFound", pair, err)
		}
		if n := len(told.heard()); n != 0 {
			t.Errorf("OnRefreshFail was called %d times", n)
		}
		f.clean(t)
	})
}

func TestSessionEndedByAHomeGrownBackendIsReportedOnce(t *testing.T) {
	for when, refreshFirst := range map[string]bool{"after refreshes": true, "before any refresh": false} {
		t.Run(when, func(t *testing.T) {
			forEachBackend(t, func(t *testing.T, b backendCase) {
				var told failures
				f, _ := newBackendFixture(t, b, told.use)
				if refreshFirst {
					refreshThrice(t, f, b)
				}
				f.server.RevokeAll("alice")
				err := f.ForceRefresh(t.Context())
				if got := errors.Is(err, oauth.ErrLoginRequired); got == b.hesitates {
					t.Errorf("the first refusal: %v; login required %v, want %v", err, got, !b.hesitates)
				}
				time.Sleep(time.Hour)
				heard := told.heard()
				if len(heard) != 1 || !errors.Is(heard[0], oauth.ErrLoginRequired) || !errors.Is(heard[0], b.reason) {
					t.Errorf("OnRefreshFail heard %v; want one error that is %q", heard, b.reason)
				}
				want, most := refresh.StateLoginRequired, 0
				if b.hesitates { // a status alone is not a verdict
					want, most = refresh.StateSuspected, 2
				}
				f.inState(t, want)
				if dead := f.record(t).Dead; (dead != nil) == b.hesitates {
					t.Errorf("quarantine is %v; hesitates %v", dead, b.hesitates)
				}
				sent := f.server.Requests(b.backend.RefreshEndpoint())
				time.Sleep(time.Hour)
				if got := f.server.Requests(b.backend.RefreshEndpoint()) - sent; got > most {
					t.Errorf("%d requests with a dead token in the next hour; want at most %d", got, most)
				}
				f.clean(t)
			})
		})
	}
}

func TestReuseElsewhereEndsTheSessionAtABackendOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told failures
		b := backendCases()[0]
		f, client := newBackendFixture(t, b, told.use)
		refreshThrice(t, f, b)
		if _, err := client.Refresh(t.Context(), f.first); !errors.Is(err, oauth.ErrTokenReused) {
			t.Errorf("a thief's refresh: %v; want ErrTokenReused", err)
		}
		time.Sleep(time.Hour)
		if heard := told.heard(); len(heard) != 1 || !errors.Is(heard[0], oauth.ErrLoginRequired) {
			t.Errorf("OnRefreshFail heard %v; want one error", heard)
		}
		if mistakes := f.server.Audit(); len(mistakes) != 1 || mistakes[0].Kind != oauthtest.SpentTwice {
			t.Errorf("the auditor saw %v; want the thief alone", mistakes)
		}
	})
}

func TestLostAnswerOfABackendIsAskedForAgain(t *testing.T) {
	forEachBackend(t, func(t *testing.T, b backendCase) {
		b.server.Grace = minute
		f, _ := newBackendFixture(t, b, func(cfg *refresh.Config) { cfg.Grace = minute })
		f.server.Script(oauthtest.Fault{Endpoint: b.backend.RefreshEndpoint(), AfterCommit: true, Reset: true})
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Error(err)
		}
		f.serve(t, f.saved(t))
		f.clean(t)
	})
}

// At Kratos a token that is sent again ends the person's sessions on all devices.
func TestALostAnswerAtKratosEndsNoOtherDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := backendCases()[0]
		f, client := newBackendFixture(t, b)
		phone, err := client.Login(t.Context(), oauthtest.DefaultUser, oauthtest.DefaultPassword)
		if err != nil {
			t.Fatal(err)
		}
		f.server.Script(oauthtest.Fault{Endpoint: b.backend.RefreshEndpoint(), AfterCommit: true, Reset: true})
		if err := f.ForceRefresh(t.Context()); err == nil {
			t.Error("a lost answer is a refresh")
		}
		time.Sleep(time.Hour)
		if _, err := client.Refresh(t.Context(), phone); err != nil {
			t.Errorf("the phone: %v", err)
		}
		f.clean(t)
	})
}

func TestLaw6_StoreOfABackendThatIsDownIsNotALogout(t *testing.T) {
	forEachBackend(t, func(t *testing.T, b backendCase) {
		var told failures
		store := &brokenTokens{RefreshTokenStore: new(refreshtokens.Memory)}
		b.server.RefreshTokens = store
		f, _ := newBackendFixture(t, b, told.use)
		store.broken.Store(true)
		if err := f.ForceRefresh(t.Context()); err == nil || errors.Is(err, oauth.ErrLoginRequired) {
			t.Errorf("error %v; want one that asks for no login", err)
		}
		time.Sleep(minute / 2)
		store.broken.Store(false)
		time.Sleep(2 * minute)
		f.inState(t, refresh.StateValid)
		if n := len(told.heard()); n != 0 {
			t.Errorf("OnRefreshFail was called %d times", n)
		}
		f.clean(t)
	})
}

// brokenTokens is a backend's store that can be out of reach.
type brokenTokens struct {
	oauthtest.RefreshTokenStore
	broken atomic.Bool
}

func (b *brokenTokens) Get(ctx context.Context, token string) (any, error) {
	if b.broken.Load() {
		return nil, errDiskFull
	}
	return b.RefreshTokenStore.Get(ctx, token)
}

// Many backends tell the end of a token by its exp alone. Our clock may be wrong by more
// than a token's life.
func TestF70_ATokenThatTellsExpAloneIsRenewedAheadOfItsEnd(t *testing.T) {
	for _, b := range backendCases() {
		if b.name != "sanic-jwt" && b.name != "aspnet" {
			continue
		}
		for _, off := range []time.Duration{0, 10 * minute, -10 * minute, 2 * time.Hour, -2 * time.Hour} {
			t.Run(fmt.Sprint(b.name, off), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := &fixture{server: oauthtest.New(b.server), store: new(tokenstore.Memory), events: new(recorder)}
					host := wrongclock.By(off)
					cfg := f.server.DialectConfig(b.backend)
					cfg.Now = host.Now
					client := dialect.NewClient(b.dialect, cfg)
					var err error
					if f.first, err = client.Login(t.Context(), "alice", "wonderland"); err != nil {
						t.Fatal(err)
					}
					if _, claims := member.JWT(f.first.AccessToken); claims["iat"] != nil || claims["exp"] == nil {
						t.Errorf("the twin's tokens tell %v; want exp alone", claims)
					}
					f.Manager = refresh.NewManager(refresh.Config{OAuthClient: client, Store: f.store, Clock: host})
					t.Cleanup(f.Stop)
					f.start(t)
					api, _ := f.wired()
					for range 24 * 4 {
						time.Sleep(15*minute - 10*time.Second)
						if status := get(t, api, f.server.Resource()); status != http.StatusOK {
							t.Fatalf("the API answers %d", status)
						}
					}
					f.served(t)
					f.clean(t)
				})
			})
		}
	}
}

// A documented backend says 500 REFRESH_ERROR to spent, revoked and unknown tokens and to
// users who are gone, as well as when its database is away.
var refreshErrors = map[string]struct {
	backend int // of backendCases
	status  int
	body    string
	reason  error
	listed  *dialect.Error // besides
}{
	"kratos":    {0, 500, `{"code":500,"reason":"REFRESH_ERROR","message":"refresh failed","metadata":{}}`, oauth.ErrTokenInvalid, nil},
	"sanic-jwt": {1, 500, `{"reasons":["x"],"exception":"InvalidRetrieveUserObject"}`, oauth.ErrUserNotFound, nil},
	"a word that is listed without a status": {
		1, 503, `{"exception":"SessionGone"}`, oauth.ErrTokenExpired, &dialect.Error{Code: "SessionGone", Means: oauth.ErrTokenExpired},
	},
}

func TestF69_AListedWordUnderA500IsTroubleFirstAndThenSuspected(t *testing.T) {
	for name, tt := range refreshErrors {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told failures
				b := backendCases()[tt.backend]
				if tt.listed != nil {
					b.dialect.Refresh.Errors = append(b.dialect.Refresh.Errors, *tt.listed)
				}
				f, _ := newBackendFixture(t, b, told.use)
				fault := oauthtest.Fault{Endpoint: b.backend.RefreshEndpoint(), Status: tt.status, Body: tt.body, Times: -1}
				f.server.Script(fault)
				time.Sleep(18 * minute) // its token has just died
				f.inState(t, refresh.StateRetrying)
				waiting := make(chan error, 1)
				go func() { _, err := f.TokenContext(t.Context()); waiting <- err }()
				time.Sleep(10 * time.Second)
				f.server.ClearScript()
				back := time.Now()
				if err := <-waiting; err != nil || time.Since(back) > 3*time.Second {
					t.Errorf("after trouble of some minutes a caller gets %v after %v; want the token within three seconds", err, time.Since(back))
				}
				if heard := told.heard(); len(heard) != 0 {
					t.Errorf("OnRefreshFail heard %v of passing trouble", heard)
				}

				f.server.Script(fault)
				time.Sleep(2 * time.Hour)
				heard := told.heard()
				if len(heard) != 1 || !errors.Is(heard[0], refresh.ErrSuspected) || !errors.Is(heard[0], tt.reason) {
					t.Errorf("OnRefreshFail heard %v; want one suspicion", heard)
				}
				f.inState(t, refresh.StateSuspected)
				sent := f.server.Requests(b.backend.RefreshEndpoint())
				time.Sleep(6 * time.Hour)
				if n := f.server.Requests(b.backend.RefreshEndpoint()) - sent; n < 4 || n > 12 {
					t.Errorf("%d requests in six more hours; want a falling rate", n)
				}
				f.server.ClearScript()
				time.Sleep(time.Hour)
				f.inState(t, refresh.StateValid)
				f.clean(t)
			})
		})
	}
}

// What a dialect lists as trouble is that, however long it lasts and under any status.
func TestLaw6_AWordThatADialectListsAsTroubleIsNeverSuspected(t *testing.T) {
	for _, status := range []int{200, 401, 500} {
		synctest.Test(t, func(t *testing.T) {
			var told failures
			b := backendCases()[1]
			b.dialect.Refresh.Errors = append(b.dialect.Refresh.Errors, dialect.Error{Code: "StoreAway", Means: oauth.ErrTransient})
			f, _ := newBackendFixture(t, b, told.use)
			f.server.Script(oauthtest.Fault{Endpoint: b.backend.RefreshEndpoint(), Status: status, Body: `{"exception":"StoreAway"}`, Times: -1})
			time.Sleep(6 * time.Hour)
			if heard := told.heard(); len(heard) != 0 {
				t.Errorf("HTTP %d: OnRefreshFail heard %v", status, heard)
			}
			f.inState(t, refresh.StateRetrying)
			f.server.ClearScript()
			time.Sleep(time.Hour)
			f.inState(t, refresh.StateValid)
			f.clean(t)
		})
	}
}

// When all sessions of the backend get that word, it is the backend's database.
func TestF69_AListedWordUnderA500ToEverySessionIsSuspectedOfNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told failures
		b := backendCases()[0]
		server := oauthtest.New(b.server)
		client := dialect.NewClient(b.dialect, server.DialectConfig(b.backend))
		cfg := refresh.PoolConfig{Config: refresh.Config{OAuthClient: client, Store: new(tokenstore.Memory)}}
		told.use(&cfg.Config)
		pool := refresh.NewPool(cfg)
		defer pool.Stop()
		if err := pool.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a", "b", "c"} {
			pair, err := client.Login(t.Context(), "alice", "wonderland")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := pool.Add(t.Context(), name, pair); err != nil {
				t.Fatal(err)
			}
		}
		server.Script(oauthtest.Fault{Endpoint: b.backend.RefreshEndpoint(), Status: 500, Body: refreshErrors["kratos"].body, Times: -1})
		time.Sleep(3 * time.Hour)
		if heard := told.heard(); len(heard) != 0 {
			t.Errorf("OnRefreshFail heard %v", heard)
		}
		server.ClearScript()
		time.Sleep(time.Hour)
		if n := server.Sessions("alice"); n != 3 {
			t.Errorf("%d sessions are left", n)
		}
		for _, mistake := range server.Audit() {
			t.Errorf("the server saw a mistake: %v", mistake)
		}
	})
}
