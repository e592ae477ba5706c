package connect_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// Refusals that no login helps against cost a request for metadata in a check interval, and
// one wait for it if it does not come.
func TestRefusedCallsAskForMetadataOnceInACheckInterval(t *testing.T) {
	for name, hangs := range map[string]bool{"metadata comes": false, "metadata hangs": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPerson(oauthtest.Config{})
				s := p.process(t)
				mustCall(t, "first", s)
				time.Sleep(2 * time.Minute)
				p.server.Script(oauthtest.Fault{Endpoint: oauthtest.ResourceEndpoint, Status: 401, Times: -1, Body: `{}`})
				if hangs {
					p.server.Script(oauthtest.Fault{Endpoint: oauthtest.ResourceMetadataEndpoint, Times: -1, Hang: true})
				}
				_ = call(s)
				asked, began := p.server.Requests(oauthtest.ResourceMetadataEndpoint), time.Now()
				for range 20 {
					if err := call(s); err == nil {
						t.Error("a call has passed")
					}
				}
				if n := p.server.Requests(oauthtest.ResourceMetadataEndpoint) - asked; n != 0 || time.Since(began) != 0 {
					t.Errorf("twenty calls asked for metadata %d times and took %v; want none, and no time", n, time.Since(began))
				}
				time.Sleep(2 * time.Minute)
				_ = call(s)
				if n := p.server.Requests(oauthtest.ResourceMetadataEndpoint) - asked; n == 0 {
					t.Error("after a check interval nobody asked for metadata")
				}
				p.want(t, "afterwards", 1, 1)
			})
		})
	}
}

// A server that has forgotten the client, and registers none any more, is asked about that once
// in a check interval. When it knows the client again, the session goes on.
func TestAForgottenClientThatCannotBeReplacedIsAskedAboutOnceInACheckInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{RefreshTokenLifetime: 1000 * time.Hour})
		s := p.process(t)
		mustCall(t, "first", s)
		p.server.Script(
			oauthtest.Fault{Endpoint: oauthtest.TokenEndpoint, Status: 401, Times: -1, Body: `{"error":"invalid_client"}`},
			oauthtest.Fault{Endpoint: oauthtest.RegistrationEndpoint, Status: 403, Times: -1})
		time.Sleep(3 * time.Hour)
		if err := call(s); !errors.Is(err, oauth.ErrMisconfigured) {
			t.Errorf("%v; want ErrMisconfigured", err)
		}
		asked, began := p.server.Requests(oauthtest.RegistrationEndpoint), time.Now()
		for range 20 {
			if err := call(s); !errors.Is(err, oauth.ErrMisconfigured) {
				t.Errorf("%v; want ErrMisconfigured", err)
			}
		}
		if n := p.server.Requests(oauthtest.RegistrationEndpoint) - asked; n != 0 || time.Since(began) > time.Second {
			t.Errorf("twenty calls registered %d times and took %v; want none, and no time", n, time.Since(began))
		}
		time.Sleep(2 * time.Minute)
		_ = call(s)
		if n := p.server.Requests(oauthtest.RegistrationEndpoint) - asked; n != 1 {
			t.Errorf("after a check interval it was asked %d times; want 1", n)
		}
		p.server.ClearScript()
		time.Sleep(2 * time.Minute)
		mustCall(t, "when the server knows the client again", s)
		if n := p.windows.Load(); n != 1 {
			t.Errorf("%d windows", n)
		}
	})
}

// So is the API's metadata for a scope that was asked for in vain.
func TestScopeThatDoesNotHelpIsAskedAboutOnceInACheckInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		s := p.process(t)
		mustCall(t, "first", s)
		time.Sleep(2 * time.Minute)
		p.insufficient("email", -1)
		_ = call(s)
		windows := p.windows.Load()
		for round := range 3 {
			asked := p.server.Requests(oauthtest.ResourceMetadataEndpoint)
			for range 20 {
				if err := call(s); err == nil || !strings.Contains(err.Error(), "403") {
					t.Errorf("%v; want the API's own 403", err)
				}
			}
			if n := p.server.Requests(oauthtest.ResourceMetadataEndpoint) - asked; n > 1 || n == 0 && round > 0 {
				t.Errorf("round %d: twenty calls asked for metadata %d times; want once", round, n)
			}
			time.Sleep(2 * time.Minute)
		}
		if n := p.windows.Load(); n != windows {
			t.Errorf("%d windows for the same again", n-windows)
		}
		p.server.ClearScript()
		p.insufficient("s1", 1)
		mustCall(t, "what needs something else", s)
	})
}
