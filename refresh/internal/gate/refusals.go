package gate

import (
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
)

// This file compares sessions that are refused in words which may be about them, about the
// client or about the server: it is the server's matter if many sessions meet it, and one
// session's if others are renewed meanwhile.

// A Refusal of a session says that the server refuses its client, or does not say why.
type Refusal struct {
	ConfigID, Session string

	Err      error
	Now      moment.Instant
	Interval time.Duration // the check interval
	Life     time.Duration // how long a token lives

	Since moment.Instant // when the session was refused first, in any process
	Begun moment.Instant // when the request began that was refused now,
	Seen  moment.Instant // and what Renewed was then
	While time.Duration  // how long a process has to look on to know how others fare
}

// Refuse notes a refusal of a session without a clear word, and reports how the others
// fare. Without a success since the first, a gate has to have looked on for a while; the
// next success lets the session try again at once.
func (g *Gate) Refuse(r Refusal) Others {
	g.mu.Lock()
	defer g.mu.Unlock()
	out, crossed := g.meetLocked(&g.refusals, r)
	switch c := g.clients[r.ConfigID]; {
	case g.refusals.many, c != nil && c.notOnly(r.Session):
		return OthersAlike
	case !g.lone && !out && (crossed || r.Now.Since(g.refusals.since) < r.While):
		g.refusals.unsure = true
		return OthersUnknown
	}
	return OthersWell
}

// meetLocked adds a refusal to what the server's sessions meet, unless it says nothing about
// the server, see renewedSinceLocked.
func (g *Gate) meetLocked(s *streak, r Refusal) (out, crossed bool) {
	out, crossed = g.renewedSinceLocked(r)
	if !out && !crossed {
		s.add(r.Session, r.Now)
	}
	return out, crossed
}

// renewedSinceLocked reports whether a session was renewed between two refusals of
// another one: then they say nothing about the server, however many sessions are like
// that. A refusal that was on its way while one was renewed has crossed with it, and says
// nothing at all: what it was about may be over.
func (g *Gate) renewedSinceLocked(r Refusal) (out, crossed bool) {
	if g.renewed.IsZero() || r.Since.IsZero() {
		return false, false
	}
	crossed = !r.Begun.IsZero() && !r.Begun.After(g.renewed)
	return r.Seen.After(r.Since) || !crossed && g.renewed.After(r.Since), crossed
}

// Others says how the other sessions of a server fare when one is refused.
type Others int

const (
	// OthersWell: none is refused since the last success. So it is where there are no others.
	OthersWell Others = iota
	// OthersAlike: some are refused like it, so that nothing follows for any of them.
	OthersAlike
	// OthersUnknown: this gate has not been there for long enough to tell.
	OthersUnknown
)

// RefuseClient notes a refusal of the client, and reports whether it is the client that
// is refused, and not this session alone: so it is for a session without others, else
// when a second one meets it, or the same again when none has been renewed for as long
// as a token lives. The notice is for other processes, which may have other sessions: they
// hear of what two sessions have met.
func (g *Gate) RefuseClient(r Refusal) (refused bool, n Notice) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.clientLocked(r.ConfigID)
	again := c.first == r.Session && r.Now.Since(g.renewed) > max(r.Life, schedule.Slowly*r.Interval)
	out, crossed := g.meetLocked(&c.streak, r)
	if !c.open && g.sessions > 1 && (out || crossed || !c.many && !again) {
		return false, Notice{}
	}
	if !c.open {
		c.open, c.opened = true, r.Now
	}
	c.err, c.failed = r.Err, r.Now
	c.probeAt = r.Now.Add(schedule.FallingWait(r.Now.Since(c.opened), r.Interval, schedule.Slowly*r.Interval))
	if c.many {
		n = Notice{config: r.ConfigID, probe: moment.Wait{Written: r.Now.Wall(), Until: c.probeAt.Wall()}}
		g.refused.End(n.probe, r.Now)
	}
	return true, n
}

// RefusedAlone reports whether the one session that there is has nothing to be compared
// with, although its client is refused: it stays alone, or others have not come for a
// while since then.
func (g *Gate) RefusedAlone(configID string, now moment.Instant, while time.Duration) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.sessions <= 1 && (g.lone || now.Since(g.clientLocked(configID).opened) >= while)
}

// TellRefusals reports, once until the next success, that the program is to be told
// that all sessions are refused alike. A client that is known to be refused explains it:
// the program is told of either.
func (g *Gate) TellRefusals(configID string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.clients[configID]; c != nil && c.open {
		return c.tell()
	}
	return g.refusals.tell()
}

// A streak is what the sessions of a server have met since one of them was renewed
// last: one alone in its misfortune, or many alike.
type streak struct {
	first string         // session; "" if there is none
	since moment.Instant // when it was refused
	last  moment.Instant // when one was refused last
	many  bool
	told  bool

	unsure bool // nothing followed for the first, as nothing was known of the others
}

// add notes a session.
func (s *streak) add(session string, now moment.Instant) {
	s.last = now
	switch s.first {
	case "":
		s.first, s.since = session, now
	case session:
	default:
		s.many = true
	}
}

// notOnly reports whether a session is not the only one.
func (s *streak) notOnly(session string) bool { return s.many || s.first != "" && s.first != session }

// tell reports, once, that the program is to be told.
func (s *streak) tell() bool {
	first := !s.told
	s.told = true
	return first
}
