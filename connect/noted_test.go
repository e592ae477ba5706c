package connect_test

import (
	"testing"
	"testing/synctest"
	"time"

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
