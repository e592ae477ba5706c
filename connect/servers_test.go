package connect_test

import (
	"testing"
	"testing/synctest"

	"github.com/evertoken/evertoken/connect"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/oauth/register"
)

// An API that lists several servers leaves the choice to the client (RFC 9728 section 7.6).
func TestTheServerIsChosenThatTheProgramIsAClientOf(t *testing.T) {
	for name, change := range map[string]func(*person, *connect.Config){
		"a given client": func(p *person, cfg *connect.Config) {
			cfg.Client.Given = []*register.Registration{{Issuer: p.server.Issuer(), ClientID: oauthtest.DefaultClientID, AuthMethod: "none"}}
		},
		"a given client beside another": func(p *person, cfg *connect.Config) {
			cfg.Client.Given = []*register.Registration{
				{Issuer: "https://unrelated.test", ClientID: "unrelated", AuthMethod: "none"},
				{Issuer: p.server.Issuer(), ClientID: oauthtest.DefaultClientID, AuthMethod: "none"},
			}
		},
		"a kept client": func(p *person, cfg *connect.Config) {
			cfg.Client.Kept = []*register.Registration{{Issuer: p.server.Issuer(), ClientID: oauthtest.DefaultClientID, AuthMethod: "none"}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPerson(oauthtest.Config{})
				e := &edit{after: func(_ string, answer map[string]any) {
					if list, is := answer["authorization_servers"].([]any); is {
						answer["authorization_servers"] = append([]any{"https://other.test"}, list...)
					}
				}}
				s := p.process(t, e.use, func(cfg *connect.Config) { change(p, cfg) })
				mustCall(t, "first", s)
				p.want(t, "afterwards", 1, 0)
			})
		})
	}
}
