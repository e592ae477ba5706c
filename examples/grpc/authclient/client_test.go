package authclient_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/evertoken/evertoken/examples/grpc/authclient"
	"github.com/evertoken/evertoken/examples/grpc/authpb"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

func TestEveryReasonIsToldApart(t *testing.T) {
	for reason, tt := range map[string]struct {
		end  func(t *testing.T, f *fixture)
		want error
	}{
		"TOKEN_INVALID":  {func(_ *testing.T, f *fixture) { f.backend.RevokeAll("alice") }, oauth.ErrTokenInvalid},
		"TOKEN_EXPIRED":  {func(*testing.T, *fixture) { time.Sleep(8 * 24 * time.Hour) }, oauth.ErrTokenExpired},
		"USER_NOT_FOUND": {func(_ *testing.T, f *fixture) { f.backend.EndUser("alice") }, oauth.ErrUserNotFound},
		"TOKEN_REUSED": {func(t *testing.T, f *fixture) {
			if _, err := f.auth.Refresh(t.Context(), f.first); err != nil {
				t.Fatal(err)
			}
		}, oauth.ErrTokenReused},
	} {
		t.Run(reason, func(t *testing.T) {
			bubble(t, oauthtest.Config{}, func(t *testing.T, f *fixture) {
				f.Stop()
				tt.end(t, f)
				_, err := f.auth.Refresh(t.Context(), f.first)
				var fail *oauth.Error
				if !errors.As(err, &fail) || fail.Code != reason || !errors.Is(err, oauth.ErrLoginRequired) || !errors.Is(err, tt.want) {
					t.Errorf("%v; want a login required, and %q", err, tt.want)
				}
			})
		})
	}
}

func TestRefreshWithoutATokenIsNotSent(t *testing.T) {
	bubble(t, oauthtest.Config{}, func(t *testing.T, f *fixture) {
		for _, pair := range []*oauth.TokenPair{nil, {AccessToken: "a"}} {
			if _, err := f.auth.Refresh(t.Context(), pair); !errors.Is(err, oauth.ErrRefreshTokenRequired) || !errors.Is(err, oauth.ErrLoginRequired) {
				t.Errorf("%v; want ErrRefreshTokenRequired", err)
			}
		}
		if n := f.refreshes(); n != 0 {
			t.Errorf("%d requests", n)
		}
	})
}

func TestWrongPassword(t *testing.T) {
	bubble(t, oauthtest.Config{}, func(t *testing.T, f *fixture) {
		for _, user := range []string{"alice", "nobody"} {
			if _, err := f.auth.Login(t.Context(), user, "guess"); !errors.Is(err, oauth.ErrLoginRequired) {
				t.Errorf("%s: %v; want ErrLoginRequired", user, err)
			}
		}
	})
}

func TestTroubleIsNoVerdict(t *testing.T) {
	const page = `{"error":{"code":503,"reason":"DATABASE_DOWN"}}`
	for name, tt := range map[string]struct {
		fault   oauthtest.Fault
		down    bool
		status  int
		sent    bool
		unknown bool
	}{
		"host down":               {down: true},
		"backend resets":          {fault: oauthtest.Fault{Reset: true}, sent: true, unknown: true},
		"proxy's 503":             {fault: oauthtest.Fault{Status: 503, HTML: true}, sent: true, unknown: true},
		"backend's own 503":       {fault: oauthtest.Fault{Status: 503, Body: page}, sent: true, status: 503},
		"500":                     {fault: oauthtest.Fault{Status: 500}, sent: true, status: 500},
		"page of a portal":        {fault: oauthtest.Fault{HTML: true}, sent: true, status: 500},
		"no answer":               {fault: oauthtest.Fault{Hang: true}, sent: true, unknown: true},
		"a token no header takes": {fault: oauthtest.Fault{Body: `{"access_token":"ä","expires_in":900}`}, sent: true, status: 200, unknown: true},
		"refusal without a word":  {fault: oauthtest.Fault{Status: 401}, sent: true, status: 401},
		"refusal in other words":  {fault: oauthtest.Fault{Status: 401, Body: `{"error":"invalid_grant"}`}, sent: true, status: 401},
		"forbidden by a firewall": {fault: oauthtest.Fault{Status: 403, HTML: true}, sent: true, status: 403},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, oauthtest.Config{}, func(t *testing.T, f *fixture) {
				if tt.down {
					f.host.Down()
					synctest.Wait() // until the client has noticed
				} else {
					f.script(tt.fault)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				_, err := f.auth.Refresh(ctx, f.first)
				var fail *oauth.Error
				if !errors.As(err, &fail) || fail.Kind != oauth.ErrTransient {
					t.Fatalf("%v; want ErrTransient", err)
				}
				if fail.Status != tt.status || fail.Sent != tt.sent || fail.Unknown() != tt.unknown {
					t.Errorf("%v: sent %v, unknown %v; want HTTP %d, %v, %v", fail, fail.Sent, fail.Unknown(), tt.status, tt.sent, tt.unknown)
				}
				f.host.Up()
				time.Sleep(minute) // for the connection
				f.alive(t)
			})
		})
	}
}

// The server has answered, and not as we understand it: it may have spent the token.
func TestAnswerWithoutATokenIsNotAskedForAgain(t *testing.T) {
	bubble(t, oauthtest.Config{}, func(t *testing.T, f *fixture) {
		f.script(oauthtest.Fault{Body: `{"expires_in":900}`})
		_, err := f.auth.Refresh(t.Context(), f.first)
		var fail *oauth.Error
		if !errors.As(err, &fail) || !errors.Is(err, oauth.ErrMisconfigured) || !errors.Is(err, oauth.ErrUnreadAnswer) || fail.Unknown() {
			t.Errorf("%v; want ErrUnreadAnswer", err)
		}
	})
}

func TestRetryInfoIsTold(t *testing.T) {
	bubble(t, oauthtest.Config{}, func(t *testing.T, f *fixture) {
		f.script(oauthtest.Fault{RetryAfter: 5 * minute})
		_, err := f.auth.Refresh(t.Context(), f.first)
		var fail *oauth.Error
		if !errors.As(err, &fail) || fail.Kind != oauth.ErrTransient || time.Until(fail.RetryAt) != 5*minute {
			t.Fatalf("%v; want ErrTransient, and to be asked again in 5 minutes", err)
		}
		f.clean(t)
	})
}

// A retry policy of the connection is for calls that can be made twice.
func TestRetryPolicyDoesNotSpendAgain(t *testing.T) {
	const policy = `{"methodConfig":[{"name":[{}],"retryPolicy":{"maxAttempts":4,"initialBackoff":"0.1s",
		"maxBackoff":"1s","backoffMultiplier":2,"retryableStatusCodes":["UNAVAILABLE"]}}]}`
	bubble(t, oauthtest.Config{}, func(t *testing.T, f *fixture) {
		f.script(oauthtest.Fault{Reset: true, Times: -1})
		auth := newClient(f.connect(t, grpc.WithDefaultServiceConfig(policy)))
		if _, err := auth.Refresh(t.Context(), f.first); err == nil {
			t.Error("no error")
		}
		if n := f.refreshes(); n != 1 {
			t.Errorf("the refresh token was sent %d times; want once", n)
		}
	})
}

func TestTokensTravelOverTLSOnly(t *testing.T) {
	bubble(t, oauthtest.Config{}, func(t *testing.T, f *fixture) {
		plain := newPlainServer(t)
		auth := newClient(plain.connect(t))
		_, refreshErr := auth.Refresh(t.Context(), f.first)
		_, loginErr := auth.Login(t.Context(), "alice", "wonderland")
		for _, err := range []error{refreshErr, loginErr, auth.Revoke(t.Context(), f.first)} {
			if !errors.Is(err, oauth.ErrMisconfigured) {
				t.Errorf("%v; want ErrMisconfigured", err)
			}
		}
		if n := plain.calls.Load(); n != 0 {
			t.Errorf("%d calls went out without TLS", n)
		}
		f.alive(t)
	})
}

func TestServersWordsAreNotRepeated(t *testing.T) {
	bubble(t, oauthtest.Config{}, func(t *testing.T, f *fixture) {
		echo := `{"error":{"code":401,"reason":"` + f.first.RefreshToken + `","message":"` + f.first.RefreshToken + `"}}`
		f.script(oauthtest.Fault{Status: 401, Body: echo})
		_, err := f.auth.Refresh(t.Context(), f.first)
		if err == nil || strings.Contains(err.Error(), f.first.RefreshToken) {
			t.Errorf("%v; want an error without the token", err)
		}
	})
}

func TestLogoutEndsTheSessionAtTheServer(t *testing.T) {
	bubble(t, oauthtest.Config{}, func(t *testing.T, f *fixture) {
		if err := f.Logout(t.Context()); err != nil {
			t.Error(err)
		}
		if n := f.backend.Sessions("alice"); n != 0 {
			t.Errorf("%d sessions; want none", n)
		}
		f.clean(t)
		f.backend.Script(oauthtest.Fault{Endpoint: oauthtest.KratosBackend.LogoutEndpoint(), Status: 401, Body: `{"error":{"reason":"TOKEN_INVALID"}}`})
		if err := f.auth.Revoke(t.Context(), nil); !errors.Is(err, oauth.ErrMisconfigured) {
			t.Errorf("logout of nothing: %v; want ErrMisconfigured", err)
		}
		if err := f.auth.Revoke(t.Context(), f.first); err != nil {
			t.Errorf("logging out of a dead session: %v", err)
		}
		f.host.Down()
		if err := f.auth.Revoke(t.Context(), f.first); !errors.Is(err, oauth.ErrTransient) {
			t.Errorf("logging out in an outage: %v; want ErrTransient", err)
		}
	})
}

func TestPairIsComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{NoRotation: true}, nil)
		before := *f.first
		time.Sleep(minute)
		begun := time.Now()
		f.script(oauthtest.Fault{Delay: 5 * time.Second})
		next, err := f.auth.Refresh(t.Context(), f.first)
		if err != nil {
			t.Fatal(err)
		}
		if f.first.AccessToken != before.AccessToken || f.first.RefreshToken != before.RefreshToken {
			t.Error("the pair was modified")
		}
		if next.AccessToken == before.AccessToken || next.RefreshToken != before.RefreshToken || !next.RefreshExpiresAt.Equal(before.RefreshExpiresAt) {
			t.Error("a new access token, and the rest of the old pair, are wanted")
		}
		if !next.IssuedAt.Equal(begun) || next.ExpiresAt.Sub(begun) != 15*minute {
			t.Errorf("lives from %v to %v; want 15 minutes from %v, when the request was sent", next.IssuedAt, next.ExpiresAt, begun)
		}
		if got, want := time.Until(next.RefreshExpiresAt), 7*24*time.Hour-minute; (got - want).Abs() > 10*time.Second {
			t.Errorf("the session ends in %v; want %v, as exp says", got, want)
		}
		f.clean(t)
	})
}

func TestDeviceIdentifierTravels(t *testing.T) {
	bubble(t, oauthtest.Config{}, func(t *testing.T, f *fixture) {
		var seen []string
		watch := grpc.WithUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			if r, ok := req.(interface{ GetDeviceId() string }); ok {
				seen = append(seen, r.GetDeviceId())
			}
			return invoke(ctx, method, req, reply, cc, opts...)
		})
		conn := f.connect(t, watch)
		calls := authclient.CallsOf(authpb.NewAuthClient(conn))
		auth, other := authclient.New(conn, calls, "laptop"), authclient.New(conn, calls, "phone")
		pair, err := auth.Login(t.Context(), "alice", "wonderland")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := auth.Refresh(t.Context(), pair); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(seen, []string{"laptop", "laptop"}) {
			t.Errorf("the server saw %q", seen)
		}
		if auth.ConfigID() == other.ConfigID() {
			t.Error("two devices are one configuration")
		}
	})
}
