package gate

import (
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
)

// A client is the breaker of one configuration, which is open while the server refuses
// its client: then one session asks for all of them, now and then, until the client is
// accepted again. Another configuration's client may be in order.
type client struct {
	streak
	open    bool
	shared  bool // the Store has told of it
	err     error
	since   moment.Instant // when it was opened
	failed  moment.Instant // when the client was refused last
	probeAt moment.Instant // when the next attempt of our own is due
	probing bool
}

// clientLocked returns the breaker of a configuration, a new one if there is none.
func (g *Gate) clientLocked(configID string) *client {
	if g.clients == nil {
		g.clients = make(map[string]*client, 1)
	}
	c := g.clients[configID]
	if c == nil {
		c = new(client)
		g.clients[configID] = c
	}
	return c
}

// A Refusal says that the server refuses the client of a configuration.
type Refusal struct {
	ConfigID, Session string

	Err      error
	Now      moment.Instant
	Interval time.Duration // the check interval
	Life     time.Duration // how long a token lives
}

// RefuseClient notes a refusal of the client, and reports whether it is the client that
// is refused, and not this session alone: so it is for a session without others, else
// when a second one meets it, or the same again when none has been renewed for as long
// as a token lives. The notice is for other processes.
func (g *Gate) RefuseClient(r Refusal) (refused bool, n Notice) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.clientLocked(r.ConfigID)
	again := c.first == r.Session && r.Now.Since(g.renewed) > max(r.Life, schedule.Slowly*r.Interval)
	c.add(r.Session)
	if !c.open && g.sessions > 1 && !c.many && !again {
		return false, Notice{}
	}
	if !c.open {
		c.open, c.since = true, r.Now
	}
	c.err, c.failed = r.Err, r.Now
	c.probeAt = r.Now.Add(schedule.FallingWait(r.Now.Since(c.since), r.Interval, schedule.Slowly*r.Interval))
	return true, Notice{config: r.ConfigID, probe: c.probeAt.Wall()}
}

// TellClient reports, once until the client is accepted, that the program is to be told
// that it is refused.
func (g *Gate) TellClient(configID string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.clientLocked(configID).tell()
}

// ClientRefused returns how the client of a configuration is refused, or nil.
func (g *Gate) ClientRefused(configID string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.clients[configID]; c != nil && c.open {
		return c.err
	}
	return nil
}

// acceptLocked notes that the server has accepted the client, whatever it said of the
// session. It reports whether other processes have to hear of that.
func (g *Gate) acceptLocked(configID string) (tell bool) {
	c := g.clients[configID]
	if c == nil {
		return false
	}
	if c.open {
		g.epoch++
	}
	delete(g.clients, configID)
	return c.open
}

// admitClientLocked is Admit for the client's breaker: without an error the request may
// begin, as far as that is concerned.
func (g *Gate) admitClientLocked(q Request) (until moment.Instant, err error) {
	c := g.clients[q.ConfigID]
	if c == nil || !c.open {
		return until, nil
	}
	probeAt := c.probeAt
	if q.Urgent {
		probeAt = probeAt.Or(c.failed.Add(q.Interval / 4))
	}
	// Some servers spend the refresh token in a request that they refuse: so the session
	// that was refused first probes for all, unless it is gone.
	if q.Session != c.first {
		probeAt = probeAt.Add(q.Interval)
	}
	if c.probing || !q.Now.Reached(probeAt) && !q.Insist {
		return probeAt.And(q.Now.Add(probePause)), c.err
	}
	c.probing = true
	return until, nil
}

// hearOfClientLocked follows what another process says of the client of a configuration:
// that it is refused, until when a probe is not due, or nothing. The Store has room for
// one of them: what it says of another client says nothing about this one.
func (g *Gate) hearOfClientLocked(n Notice, configID string, now moment.Instant) {
	c := g.clients[configID]
	wait := n.probe.Sub(now.Wall())
	switch {
	case n.config == configID && wait > 0 && wait <= MaxAsked:
		c = g.clientLocked(configID)
		if !c.open {
			c.open, c.since, c.failed = true, now, now
			c.err = &oauth.Error{Op: "refresh", Kind: oauth.ErrMisconfigured, Err: oauth.ErrClientRefused, Sent: true}
		}
		c.shared = true
		c.probeAt = c.probeAt.And(now.Add(wait))
	case c == nil:
	case n.config != "":
		c.shared = n.config == configID
	case c.open && c.shared:
		delete(g.clients, configID) // it was accepted elsewhere
		g.epoch++
	}
}
