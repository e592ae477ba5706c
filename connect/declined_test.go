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
)

// withoutScopes has the API publish none, so that a first login asks for those of the program.
func (p *person) withoutScopes() func(*connect.Config) {
	p.server.Script(oauthtest.Fault{Endpoint: oauthtest.ResourceMetadataEndpoint, Times: -1, Edit: func(f map[string]any) { delete(f, "scopes_supported") }})
	return func(cfg *connect.Config) { cfg.OAuth.Scopes = []string{"profile"} }
}

// errStuck is how a login ends that goes wrong in the browser.
var errStuck = errors.New("the login page is broken")

// A person who has said no, or has gone away, does not want to say so for each call.
func TestF90_APersonIsAskedOnceByAProcess(t *testing.T) {
	for name, tt := range map[string]struct {
		want   error // nil: any
		change func(*person, *connect.Config)
	}{
		"who refuses": {oauth.ErrAccessDenied, func(p *person, _ *connect.Config) { p.refuses.Store(true) }},
		"who is away": {nil, func(p *person, cfg *connect.Config) { p.takes, cfg.LoginTimeout = time.Hour, time.Minute }},
		"whose login fails": {errStuck, func(p *person, cfg *connect.Config) {
			cfg.Login = func(context.Context, *oauth.Client) (*oauth.TokenPair, error) {
				p.windows.Add(1)
				return nil, errStuck
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPerson(oauthtest.Config{})
				use := func(cfg *connect.Config) { tt.change(p, cfg) }
				s := p.process(t, use)
				for range 5 {
					if err := call(s); err == nil || tt.want != nil && !errors.Is(err, tt.want) {
						t.Errorf("a call ends with %v; want %v", err, tt.want)
					}
					time.Sleep(time.Minute)
				}
				p.want(t, "after five calls", 1, 1)
				_ = s.Connect(t.Context())
				p.want(t, "after Connect", 2, 1)
				_ = call(s)
				p.want(t, "after a call", 2, 1)
				_ = call(p.process(t, use))
				p.want(t, "after the next start", 3, 1)
			})
		})
	}
}

func TestF90_AStepUpThatIsRefusedIsAskedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		s := p.process(t, p.withoutScopes())
		mustCall(t, "first", s)
		p.refuses.Store(true)
		p.insufficient("email", -1)
		for range 5 {
			if err := call(s); !errors.Is(err, oauth.ErrAccessDenied) {
				t.Errorf("a call ends with %v; want ErrAccessDenied", err)
			}
		}
		p.want(t, "after five calls", 2, 1)
	})
}

// Who was refused takes over what the person has allowed to another process meanwhile.
func TestAProcessThatWasRefusedTakesOverALaterSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		p.refuses.Store(true)
		first := p.process(t)
		if err := call(first); !errors.Is(err, oauth.ErrAccessDenied) {
			t.Errorf("%v; want ErrAccessDenied", err)
		}
		p.refuses.Store(false)
		mustCall(t, "another process", p.process(t))
		mustCall(t, "the first", first)
		p.want(t, "afterwards", 2, 1)
	})
}
