package connect_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/connect"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/oauth/register"
	"github.com/evertoken/evertoken/tokenstore"
)

func TestLogoutEndsTheSessionThereAndHere(t *testing.T) {
	for name, running := range map[string]bool{"of an earlier process": false, "of this process": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPerson(oauthtest.Config{})
				s := p.process(t)
				mustCall(t, "first start", s)
				if !running {
					s.Close()
					s = p.process(t)
				}
				if err := s.Logout(t.Context()); err != nil {
					t.Fatal(err)
				}
				if n := p.server.Sessions(oauthtest.DefaultUser); n != 0 {
					t.Errorf("%d sessions are left at the server", n)
				}
				if err := p.process(t).Logout(t.Context()); !errors.Is(err, tokenstore.ErrNotFound) {
					t.Errorf("once more: %v; want ErrNotFound", err)
				}
				mustCall(t, "after the logout", s)
				p.want(t, "after the logout", 2, 1) // the client stays registered
			})
		})
	}
}

func TestLogoutThatTheServerDoesNotHearOfDeletesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		closeAll(p.together(t, "first start", 1))
		p.server.Script(oauthtest.Fault{Endpoint: oauthtest.RevocationEndpoint, Down: true, Times: -1})
		s := p.process(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.Logout(ctx); !errors.Is(err, oauth.ErrTransient) {
			t.Errorf("%v; want ErrTransient", err)
		}
		mustCall(t, "afterwards", s)
		p.want(t, "afterwards", 1, 1)

		if err := s.Forget(t.Context()); err != nil {
			t.Fatal(err)
		}
		if names, err := p.store.(*tokenstore.Memory).Names(t.Context()); err != nil || len(names) != 0 {
			t.Errorf("%q are left (%v)", names, err)
		}
		if n := p.server.Sessions(oauthtest.DefaultUser); n != 1 {
			t.Errorf("%d sessions at the server, which was not to be told", n)
		}
		if err := p.process(t).Forget(t.Context()); !errors.Is(err, tokenstore.ErrNotFound) {
			t.Errorf("once more: %v; want ErrNotFound", err)
		}
	})
}

// A server that refuses to revoke keeps the session, and no program has it any more.
func TestLogoutThatIsRefusedDeletesTheTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		closeAll(p.together(t, "first start", 1))
		p.server.Script(oauthtest.Fault{Endpoint: oauthtest.RevocationEndpoint, Status: 403, Times: -1})
		s := p.process(t)
		if err := s.Logout(t.Context()); !errors.Is(err, oauth.ErrNotRevoked) {
			t.Errorf("%v; want ErrNotRevoked", err)
		}
		if err := s.Logout(t.Context()); !errors.Is(err, tokenstore.ErrNotFound) {
			t.Errorf("once more: %v; want ErrNotFound", err)
		}
	})
}

// The client was registered by hand, and the program that logs out is not told its ID.
func TestLogoutOfAClientThatWasGiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		given := p.process(t, func(cfg *connect.Config) {
			cfg.Client.Given = []*register.Registration{{ClientID: oauthtest.DefaultClientID, AuthMethod: "none"}}
		})
		mustCall(t, "first start", given)
		given.Close()
		if err := p.process(t).Logout(t.Context()); err != nil {
			t.Error(err)
		}
		if n := p.server.Sessions(oauthtest.DefaultUser); n != 0 {
			t.Errorf("%d sessions are left at the server", n)
		}
	})
}
