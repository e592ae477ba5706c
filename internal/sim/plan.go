package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// A Policy is what a server makes of refresh tokens.
type Policy string

const (
	StrictAll   Policy = "reuse ends all"     // rotates, no grace; reuse ends all of the user's sessions
	StrictOne   Policy = "reuse ends one"     // rotates, no grace; reuse ends the session
	NoDetection Policy = "reuse is refused"   // rotates, no grace; reuse is refused and ends nothing
	Grace       Policy = "grace"              // rotates, a spent token is taken again for 30 seconds
	GraceFork   Policy = "grace, forks"       // the same, each replay has a successor of its own
	NoRotation  Policy = "no rotation"        // refresh tokens stay the same
	graceWindow        = 30 * time.Second     // of the two policies with one
	lifeOfToken        = 365 * 24 * time.Hour // of refresh tokens: longer than any history
)

func (p Policy) rotates() bool { return p != NoRotation }
func (p Policy) grace() bool   { return p == Grace || p == GraceFork }

var policies = []Policy{StrictAll, StrictAll, StrictOne, NoDetection, Grace, Grace, GraceFork, NoRotation}

// A Plan is one history before it is played. The zero value of each event's field means
// what its Kind says.
type Plan struct {
	Seed       uint64
	Policy     Policy
	Procs      int           // processes that share the store
	Sessions   int           // sessions that all of them keep alive
	Pooled     bool          // a process is a Pool, not a Manager for each session
	Stamps     bool          // the store tells cheaply whether a record has changed
	TellsTime  bool          // the store has a clock; otherwise all hosts' clocks are right at first
	Life       time.Duration // of access tokens
	Check      time.Duration // Config.CheckInterval
	StoreDelay time.Duration // of a store call, about
	NetDelay   time.Duration // of a request, about
	LockLasts  time.Duration // how long a lock outlives the process that held it
	Skew       []time.Duration
	Length     time.Duration
	JudgeLate  bool // an answer that is lost has to be asked for within the grace
	Events     []Event
}

// An Event is something that happens to the world at one moment.
type Event struct {
	At      time.Duration // since the history began
	Kind    Kind
	Proc    int           // which process it happens to
	Session int           // and which session
	For     time.Duration // how long it lasts
	N       int           // how often, how far, or how many
}

func (e Event) String() string {
	return fmt.Sprintf("%v %s p%d s%d for %v n=%d", e.At.Round(time.Millisecond), e.Kind, e.Proc, e.Session, e.For.Round(time.Millisecond), e.N)
}

// String lists the plan, for a person who reads about a failure.
func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: server %q, %d processes (pools: %v), %d sessions, tokens of %v, checks every %v, %v\n",
		p.Seed, p.Policy, p.Procs, p.Pooled, p.Sessions, p.Life, p.Check, p.Length.Round(time.Minute))
	fmt.Fprintf(&b, "  store %v (stamps %v, time %v), network %v, locks outlive their holder by %v, clocks off by %v\n",
		p.StoreDelay, p.Stamps, p.TellsTime, p.NetDelay, p.LockLasts, p.Skew)
	for _, e := range p.Events {
		fmt.Fprintf(&b, "  %v\n", e)
	}
	return b.String()
}

// Between returns a duration from lo to hi, on a logarithmic scale: short ones are as
// frequent as long ones.
func between(r *rand.Rand, lo, hi time.Duration) time.Duration {
	d := float64(lo)
	for range 8 {
		if x := d * (1 + r.Float64()); r.IntN(2) == 0 && x < float64(hi) {
			d = x
		}
	}
	return time.Duration(d) + time.Duration(r.Int64N(int64(max(hi-lo, 1)/16+1)))
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// New returns the plan of a seed, in which nothing happens that is not of the given modes.
func New(seed uint64, modes []Mode) Plan {
	r := rand.New(rand.NewPCG(seed, 0x5eed))
	p := Plan{
		Seed:       seed,
		Policy:     policies[r.IntN(len(policies))],
		Procs:      1 + r.IntN(4),
		Sessions:   1 + r.IntN(3),
		Pooled:     r.IntN(2) == 0,
		Stamps:     r.IntN(2) == 0,
		Life:       pick(r, 5*time.Minute, 15*time.Minute, time.Hour, time.Hour, 8*time.Hour, 24*time.Hour),
		StoreDelay: pick(r, 20*time.Microsecond, time.Millisecond, 30*time.Millisecond),
		NetDelay:   pick(r, 5*time.Millisecond, 80*time.Millisecond, 2*time.Second),
		LockLasts:  pick(r, 0, 0, 15*time.Second),
	}
	p.Check = max(time.Minute, p.Life/pick[time.Duration](r, 12, 60, 60))
	p.Length = time.Duration(8+r.IntN(24)) * p.Life
	p.TellsTime = r.IntN(3) == 0
	for range p.Procs {
		skew := time.Duration(0)
		if p.TellsTime {
			skew = time.Duration(r.Int64N(int64(20*time.Minute))) - 10*time.Minute
		}
		p.Skew = append(p.Skew, skew)
	}
	// A few kinds of trouble in each history, or all of them: what goes wrong together
	// is found in the second, what goes wrong often in the first.
	chosen := slices.Clone(modes)
	r.Shuffle(len(chosen), func(i, j int) { chosen[i], chosen[j] = chosen[j], chosen[i] })
	if r.IntN(4) != 0 {
		chosen = chosen[:min(len(chosen), 1+r.IntN(3))]
	}
	p.JudgeLate = slices.ContainsFunc(modes, func(m Mode) bool { return m.Kind == LateReplay })
	for _, m := range chosen {
		if m.Make == nil {
			continue
		}
		if m.Unless != nil && m.Unless(&p) != "" {
			continue
		}
		for range 1 + r.IntN(1+int(p.Length/p.Life)/4) {
			e := m.Make(r, &p)
			e.Kind, e.Proc, e.Session = m.Kind, r.IntN(p.Procs), r.IntN(p.Sessions)
			e.At = p.moment(r)
			p.Events = append(p.Events, e)
		}
	}
	slices.SortStableFunc(p.Events, func(a, b Event) int { return int(a.At - b.At) })
	return p
}

// moment is when an event happens: mostly about the time when renewals do, as far as
// that is known in advance.
func (p *Plan) moment(r *rand.Rand) time.Duration {
	at := time.Duration(r.Int64N(int64(p.Length)))
	if r.IntN(3) == 0 {
		return at
	}
	lead := min(5*time.Minute, p.Life/3)
	period := p.Life - lead
	k := 1 + at/period
	return min(max(0, k*period-time.Duration(r.Int64N(int64(lead)))/4), p.Length)
}
