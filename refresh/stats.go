package refresh

import (
	"slices"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/refresh/internal/gate"
)

// PoolStats are a Pool's figures at one moment, for a metrics page. They hold no
// secret.
type PoolStats struct {
	// Sessions counts the open sessions, Dormant those of them that no worker works
	// on and no caller has asked for lately.
	Sessions, Dormant int
	// States counts the open sessions by how they fare.
	States map[State]int
	// Servers has the figures of each authorization server, sorted by name.
	Servers []ServerStats
}

// ServerStats are the figures of one authorization server.
type ServerStats struct {
	// Server is its name as the Refresher says; empty for those that have none.
	Server string
	// Sessions counts the open sessions, InFlight the refreshes at this moment.
	Sessions, InFlight int
	// Refreshed counts the refreshes since the pool was made, and Failed the attempts
	// that ended without a pair.
	Refreshed, Failed uint64
	// Latency is how long the slowest of the latest refreshes took.
	Latency time.Duration
	// Down: the server did not answer several attempts in a row; it is tried now and
	// then.
	Down bool
	// NotBefore is until when the server wants to be left alone; zero if it does not.
	NotBefore time.Time
}

// Stats returns the pool's figures. It takes a microsecond per session and does not
// block other calls; for how each session fares, see Statuses.
func (p *Pool) Stats() PoolStats {
	stats := PoolStats{States: make(map[State]int)}
	gates := map[*gate.Gate]bool{p.set.engine.Session.Gate: true}
	for _, m := range p.engine.Members() {
		stats.Sessions++
		gates[m.Config().Session.Gate] = true
		state, dormant := m.State()
		if dormant {
			stats.Dormant++
		}
		stats.States[State(state)]++
	}
	for g := range gates {
		s := g.Stats(moment.Of(p.set.Clock.Now()))
		stats.Servers = append(stats.Servers, ServerStats{
			Server: s.Name, Sessions: s.Sessions, InFlight: s.InFlight, Refreshed: s.Done, Failed: s.Failed,
			Latency: s.Latency, Down: s.Down, NotBefore: s.NotBefore,
		})
	}
	slices.SortFunc(stats.Servers, func(a, b ServerStats) int { return strings.Compare(a.Server, b.Server) })
	return stats
}
