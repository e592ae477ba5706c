package authclient_test

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/evertoken/evertoken/examples/grpc/authclient"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// A session is a backend's own message, with fields of its own names.
type session struct{ token, next string }

func (s session) GetAccessToken() string  { return s.token }
func (s session) GetRefreshToken() string { return s.next }
func (session) GetExpiresIn() int64       { return 600 }

// A program whose backend has other calls than ours writes functions for those it has.
func TestABackendsOwnCallsAreAllThatIsNeeded(t *testing.T) {
	bubble(t, oauthtest.Config{}, func(t *testing.T, f *fixture) {
		f.Stop()
		conn := f.connect(t)
		var options int
		calls := authclient.Calls{
			Refresh: func(_ context.Context, refreshToken, _ string, opts ...grpc.CallOption) (authclient.Reply, error) {
				options = len(opts)
				if refreshToken != "old" {
					return nil, status.Error(codes.Unauthenticated, "no")
				}
				return session{"a", "new"}, nil
			},
		}
		c := authclient.New(conn, calls, "")
		pair, err := c.Refresh(t.Context(), &oauth.TokenPair{AccessToken: "dead", RefreshToken: "old"})
		if err != nil || pair.AccessToken != "a" || pair.RefreshToken != "new" || pair.ExpiresIn != 600 || options == 0 {
			t.Errorf("%v, %v, %d options", pair, err, options)
		}
		if c.CanRevoke() {
			t.Error("it can log out, without a call for that")
		}
		_, err = c.Login(t.Context(), "alice", "x")
		if !errors.Is(err, oauth.ErrMisconfigured) || !errors.Is(c.Revoke(t.Context(), pair), oauth.ErrMisconfigured) {
			t.Errorf("calls that there are none of: %v; want ErrMisconfigured", err)
		}
	})
}

// A service of another name than the server's is a mistake of the program's.
func TestAServiceOfAnotherNameIsMisconfigured(t *testing.T) {
	bubble(t, oauthtest.Config{}, func(t *testing.T, f *fixture) {
		f.Stop()
		conn := f.connect(t)
		right := authclient.New(conn, authclient.CallsAt(conn, "evertoken.examples.auth.v1.Auth"), "")
		next, err := right.Refresh(t.Context(), f.first)
		if err != nil {
			t.Fatal(err)
		}
		wrong := authclient.New(conn, authclient.CallsAt(conn, "api.auth.v1.Auth"), "")
		_, err = wrong.Refresh(t.Context(), next)
		var fail *oauth.Error
		if !errors.As(err, &fail) || !errors.Is(err, oauth.ErrMisconfigured) || fail.Sent {
			t.Errorf("%v; want ErrMisconfigured, and a token that nobody has taken", err)
		}
		if _, err := right.Refresh(t.Context(), next); err != nil {
			t.Errorf("after that: %v", err)
		}
	})
}
