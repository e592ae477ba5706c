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
		c.workers = append(c.workers, c.newWorker())
	}
	for _, w := range c.workers {
		w.wants(t, "ready")
	}
	return c
}

func (c *crowd) newWorker() *process { return startHelper(c.t, "work", c.p, c.server.Issuer()) }

// expire ends the access token, which all of them notice at once.
func (c *crowd) expire() {
	c.server.ExpireAccess("alice")
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

// F20: those who wait while the holder takes its time get what it brings.
func TestF20_WaitersAdoptWhatASlowHolderBrings(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		p.LeaseTime = 10 * time.Second
		c := newCrowd(t, p)
		c.server.Script(oauthtest.Fault{Endpoint: oauthtest.TokenEndpoint, Delay: 12 * time.Second})
		c.expire()
		c.done(1)
		c.audit()
	})
}

// The holder is killed while its request is under way, and the server drops it. The
// next one takes the lock when the lease has ended, finds the spend announced, and
// sends the same refresh token. The lease is long, so that none ends while its holder lives.
func TestF16_ProcessesGoOnWhenHoldersAreKilled(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		c := newCrowd(t, p)
		for i := range 20 {
			before := c.server.Requests(oauthtest.TokenEndpoint)
			c.server.Script(oauthtest.Fault{Endpoint: oauthtest.TokenEndpoint, Hang: true})
			c.expire()
			if err := c.server.AwaitRequests(t.Context(), oauthtest.TokenEndpoint, before+1); err != nil {
				t.Fatal(err)
			}
			dead := c.holder()
			c.workers[dead].Kill()
			p.exec(t, `UPDATE "%s_leases" SET until = until - 14000`)
			next := c.newWorker()
			next.wants(t, "ready")
			next.say("call")
			c.workers[dead] = next
			c.done(i + 1)
		}
		c.audit()
	})
}

// holder returns which of the workers has begun to refresh.
func (c *crowd) holder() int {
	c.t.Helper()
	for begun := time.Now(); time.Since(begun) < patience; {
		for i, w := range c.workers {
			select {
			case line := <-w.lines:
				if line == refreshing {
					return i
				}
				c.t.Errorf("a worker says %q", line)
			case <-time.After(time.Millisecond):
			}
		}
	}
	c.t.Fatal("nobody refreshes")
	return 0
}
