package drivertest

import (
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/tokenstore"
)

// A crowd is processes that share alice's session at a strict server, which ends it
// as soon as a refresh token is used twice.
type crowd struct {
	t       *testing.T
	p       place
	server  *oauthtest.Server
	workers []*process
}

const crowdSize = 16

func newCrowd(t *testing.T, p place) *crowd {
	t.Helper()
	c := &crowd{t: t, p: p, server: oauthtest.NewServer(oauthtest.Config{})}
	t.Cleanup(c.server.Close)
	tokens, err := c.server.Login("alice")
	if err != nil {
		t.Fatal(err)
	}
	mustSet(t, p.store(t), "default", &tokenstore.Record{Tokens: tokens})
	for range crowdSize {
		c.workers = append(c.workers, c.newWorker(p))
	}
	for _, w := range c.workers {
		w.wants(t, "ready")
	}
	return c
}

func (c *crowd) newWorker(p place) *process { return startHelper(c.t, "work", p, c.server.Issuer()) }

// expire ends the access token, which all of them notice at once.
func (c *crowd) expire() {
	c.server.ExpireAccess("alice")
	c.call()
}

func (c *crowd) call() {
	for _, w := range c.workers {
		w.say("call")
	}
}

// done requires that everybody was served, and that there were as many spends as
// expiries.
func (c *crowd) done(expiries int) {
	c.t.Helper()
	for _, w := range c.workers {
		w.wants(c.t, "served")
	}
	if n := c.server.Refreshes(); n != expiries {
		c.t.Fatalf("%d spends in %d expiries", n, expiries)
	}
}

func (c *crowd) audit() {
	c.t.Helper()
	for _, mistake := range c.server.Audit() {
		c.t.Errorf("the server saw a mistake: %v", mistake)
	}
	if n := c.server.Sessions("alice"); n != 1 {
		c.t.Errorf("alice has %d sessions; want 1", n)
	}
}

// F12, F19: nobody spends what another has spent, and nobody overwrites.
func TestF12_F19_ProcessesSpendOncePerExpiry(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		c := newCrowd(t, p)
		for i := range 20 {
			c.expire()
			c.done(i + 1)
		}
		c.audit()
	})
}

// F20: those who wait while the holder takes its time, for longer than a lease, get what it
// brings. A lease that a busy machine does not renew in time would end: it is no short one.
func TestF20_WaitersAdoptWhatASlowHolderBrings(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		t.Parallel()
		p.LeaseTime = 12 * time.Second
		c := newCrowd(t, p)
		c.server.Script(oauthtest.Fault{Endpoint: oauthtest.TokenEndpoint, Delay: 15 * time.Second})
		c.expire()
		c.done(1)
		c.audit()
	})
}

// A holder is killed while its request is under way, and the server drops it. The
// next one takes the lock when the lease has ended, finds the spend announced, and
// sends the same refresh token. Only the lease of who is killed is short.
func TestF16_ProcessesGoOnWhenHoldersAreKilled(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		p.LeaseTime = longLease
		c := newCrowd(t, p)
		p.LeaseTime = 2 * time.Second
		for i := range 20 {
			holder := c.newWorker(p)
			holder.wants(t, "ready")
			before := c.server.Requests(oauthtest.TokenEndpoint)
			c.server.Script(oauthtest.Fault{Endpoint: oauthtest.TokenEndpoint, Hang: true})
			c.server.ExpireAccess("alice")
			holder.say("call")
			if err := c.server.AwaitRequests(t.Context(), oauthtest.TokenEndpoint, before+1); err != nil {
				t.Fatal(err)
			}
			c.call()
			holder.Kill()
			late := c.newWorker(c.p)
			late.wants(t, "ready")
			late.say("call")
			late.wants(t, "served")
			late.Kill()
			c.done(i + 1)
		}
		c.audit()
	})
}
