package refresh

import (
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
)

// A streak is what the sessions of a server have met since one of them was renewed
// last: one alone in its misfortune, or many alike.
type streak struct {
	first string // session; "" if there is none
	many  bool
	told  bool
}

// add notes a session.
func (s *streak) add(session string) {
	switch s.first {
	case "":
		s.first = session
	case session:
	default:
		s.many = true
	}
}

// tell reports, once, that the program is to be told.
func (s *streak) tell() bool {
	first := !s.told
	s.told = true
	return first
}

// A clientGate is closed while a server refuses the client: then one session asks for
// all of them, now and then, until it is accepted again. It concerns one configuration;
// another one's client may be in order.
type clientGate struct {
	streak
	closed  bool
	shared  bool // the Store has told of it
	err     error
	since   time.Time // when it was closed
	failed  time.Time // when the client was refused last
	probeAt time.Time // when the next attempt of our own is due
	probing bool
}

// gateLocked returns the gate for a configuration, a new one if there is none.
func (s *server) gateLocked(configID string) *clientGate {
	if s.gates == nil {
		s.gates = make(map[string]*clientGate, 1)
	}
	g := s.gates[configID]
	if g == nil {
		g = new(clientGate)
		s.gates[configID] = g
	}
	return g
}

// alone reports whether the session is the only one of its server here.
func (s *server) alone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions <= 1
}

// currentEpoch counts how often a success has shown that what many sessions met, or
// what the client did, is over.
func (s *server) currentEpoch() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epoch
}

// refuse notes a refusal of a session without a clear word, and reports whether others
// are refused alike: then nothing follows for any of them.
func (s *server) refuse(session string) (alike bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals.add(session)
	return s.refusals.many
}

// firstToTellAlike reports, once until the next success, that it is to be told that all
// sessions are refused alike.
func (s *server) firstToTellAlike() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refusals.tell()
}

// refuseClient notes that the client was refused, for a session, and reports whether
// that closes the gate, or finds it closed: at once for a session without others, else
// when a second one meets it, or the same again when none has been renewed for as long
// as a token lives. The notice is for other processes.
func (s *server) refuseClient(configID, session string, err error, now time.Time, interval, life time.Duration) (closed bool, n notice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.gateLocked(configID)
	again := g.first == session && now.Sub(s.renewed) > max(life, slowly*interval)
	g.add(session)
	if !g.closed && s.sessions > 1 && !g.many && !again {
		return false, notice{}
	}
	if !g.closed {
		g.closed, g.since = true, now
	}
	g.err, g.failed = err, now
	g.probeAt = now.Add(schedule.FallingWait(now.Sub(g.since), interval, slowly*interval))
	return true, notice{config: configID, probe: g.probeAt.Round(0)}
}

// firstToTellClient is firstToTellAlike for the client.
func (s *server) firstToTellClient(configID string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gateLocked(configID).tell()
}

// succeedLocked notes that a session was renewed.
func (s *server) succeedLocked(configID string, now time.Time) notice {
	s.renewed = now
	if s.refusals.many {
		s.epoch++
	}
	s.refusals = streak{}
	return notice{accepted: s.acceptLocked(configID)}
}

// acceptLocked notes that the server has accepted the client, whatever it said of the
// session. It reports whether other processes have to hear of that.
func (s *server) acceptLocked(configID string) (tell bool) {
	g := s.gates[configID]
	if g == nil {
		return false
	}
	if g.closed {
		s.epoch++
	}
	delete(s.gates, configID)
	return g.closed
}

// askClientLocked is ask for a gate that may be closed: until when to wait, zero if the
// session may begin.
func (s *server) askClientLocked(q question) (until time.Time, err error) {
	g := s.gates[q.configID]
	if g == nil || !g.closed {
		return time.Time{}, nil
	}
	probeAt := g.probeAt
	if q.urgent {
		probeAt = earliest(probeAt, g.failed.Add(q.interval/4))
	}
	// Servers there are that spend the refresh token in a request that they refuse: so
	// the session that was refused first probes for all, unless it is gone.
	if q.session != g.first {
		probeAt = probeAt.Add(q.interval)
	}
	if g.probing || q.now.Before(probeAt) && !q.insist {
		return later(probeAt, q.now.Add(probePause)), g.err
	}
	g.probing = true
	return time.Time{}, nil
}

// heedClientLocked follows what another process says of the client of a configuration:
// that it is refused, until when a probe is not due, or nothing. The Store has room for
// one of them: what it says of another client says nothing about this one.
func (s *server) heedClientLocked(n notice, configID string, now time.Time) {
	g := s.gates[configID]
	wait := n.probe.Sub(now.Round(0))
	switch {
	case n.config == configID && wait > 0 && wait <= maxAsked:
		g = s.gateLocked(configID)
		if !g.closed {
			g.closed, g.since, g.failed = true, now, now
			g.err = &oauth.Error{Op: "refresh", Kind: oauth.ErrMisconfigured, Err: oauth.ErrClientRefused, Sent: true}
		}
		g.shared = true
		g.probeAt = later(g.probeAt, now.Add(wait))
	case g == nil:
	case n.config != "":
		g.shared = n.config == configID
	case g.closed && g.shared:
		delete(s.gates, configID) // it was accepted elsewhere
		s.epoch++
	}
}

// clientRefusal returns how the client of a configuration is refused, or nil.
func (s *server) clientRefusal(configID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.gates[configID]; g != nil && g.closed {
		return g.err
	}
	return nil
}
