package main

import (
	"fmt"
	"slices"
	"time"
)

// A spend is one refresh token's arrival at the authority.
type spend struct {
	token, next   string    // hashes; next is of the successor, or empty
	process       string    // that sent it
	sent, arrived time.Time // sent: when the process began to, and had just looked at its lock
}

// An answer is what a process has learned about how long a refresh takes.
type answer struct {
	at   time.Time
	took time.Duration
}

// A ledger is all that was spent, and what is known beside it. Refresh tokens are
// told apart by their hashes. All times are by the real clock, whatever the clocks of
// the hosts say.
type ledger struct {
	life    time.Duration        // of an access token
	issued  map[string]time.Time // when a login's refresh token was given out, with its access token
	saved   map[string]time.Time // when a refresh token was first known to be saved in the engine
	begins  map[string][]string  // which processes have announced that they spend it
	answers map[string][]answer  // that a process was given
	spends  []spend              // in the order of their answers
}

func newLedger(life time.Duration) ledger {
	return ledger{
		life: life, issued: make(map[string]time.Time), saved: make(map[string]time.Time),
		begins: make(map[string][]string), answers: make(map[string][]answer),
	}
}

func (l *ledger) issue(token string, at time.Time) { first(l.issued, token, at) }
func (l *ledger) save(token string, at time.Time)  { first(l.saved, token, at) }

func (l *ledger) announce(token, process string) {
	l.begins[token] = append(l.begins[token], process)
}

func (l *ledger) answer(process string, at time.Time, took time.Duration) {
	l.answers[process] = append(l.answers[process], answer{at, took})
}

// first keeps the earliest time.
func first(times map[string]time.Time, key string, at time.Time) {
	if had, ok := times[key]; !ok || at.Before(had) {
		times[key] = at
	}
}

// A tally counts what became of the spends. Each is one of these.
type tally struct {
	// Due: the first spend of a token, when a pool begins to renew its pair: see
	// earliest. There is one for each expiry that was prevented or met.
	Due int
	// Early: the same, before that. No clock excuses it.
	Early int
	// Replays: a token that the server had exchanged before, sent again when its
	// successor was not saved yet: an answer was lost, or its process was stopped.
	Replays int
	// Reuses: the same, sent although its successor was saved, or while another
	// request with it was under way.
	Reuses int
	// Refused: the first spend of a token that the server did not exchange.
	Refused int
}

// replayPause is how much later than the one before a replay is sent, at least: half
// of what refresh waits. In between no other process has the lock.
const replayPause = 500 * time.Millisecond

// judge counts the spends. It returns whose replays were in order, and what was not.
func (l *ledger) judge() (t tally, replayed map[string]bool, broken []string) {
	spends := slices.Clone(l.spends)
	slices.SortStableFunc(spends, func(a, b spend) int { return a.arrived.Compare(b.arrived) })
	pairs := make(map[string]pair) // by refresh token
	for token, at := range l.issued {
		pairs[token] = pair{asked: at, process: "the login"}
	}
	replayed = make(map[string]bool)
	for _, sp := range spends {
		p := pairs[sp.token]
		switch {
		case p.next != "" && (l.savedBefore(p.next, sp.sent) || sp.besides(p)):
			t.Reuses++
			broken = append(broken, fmt.Sprintf("process %s sent a refresh token again, %s after %s had, and %s after its successor was saved", sp.process, sp.sent.Sub(p.spent), p.spender, sp.sent.Sub(l.saved[p.next])))
		case p.next != "":
			t.Replays++
			replayed[sp.token] = true
		case sp.next == "":
			t.Refused++
			broken = append(broken, fmt.Sprintf("a refresh token was refused that process %s sent", sp.process))
		case sp.sent.Sub(p.asked)+agreement >= l.due(sp, p):
			t.Due++
		default:
			t.Early++
			broken = append(broken, fmt.Sprintf("process %s renewed a pair of %s after %s, which was due after %s", sp.process, p.process, sp.sent.Sub(p.asked), l.due(sp, p)))
		}
		p.spent, p.spender = sp.sent, sp.process
		if p.next == "" && sp.next != "" {
			p.next = sp.next
			pairs[sp.next] = pair{asked: sp.sent, process: sp.process}
		}
		pairs[sp.token] = p
	}
	return t, replayed, broken
}

// A pair is what is known of a refresh token, and of the access token beside it.
type pair struct {
	asked   time.Time // when the process began to send for it: its life counts from then
	process string    // that sent it
	spent   time.Time // when it was last sent
	spender string    // by which process
	next    string    // its successor
}

// agreement is what refresh lets hosts' clocks differ by as if they agreed: they are
// compared with the engine's over a network, and tokens live for whole seconds.
const agreement = time.Second

// due is the age at which it was time to renew the pair: by what the spender has learned
// about how long that takes, or one that had announced the spend before and could not
// carry it out.
func (l *ledger) due(sp spend, p pair) time.Duration {
	age := l.life
	for _, process := range append([]string{sp.process}, l.begins[sp.token]...) {
		age = min(age, earliest(l.life, l.learned(process, p.asked, sp.sent)))
	}
	return age
}

// earliest is the age at which a pool begins to renew pairs of that life: a third of it
// before the end, or twice as long as a refresh takes if that is more, up to a half; and
// up to half of that earlier, so that not all come at once. See (refresh.Config).RefreshThreshold.
func earliest(life, latency time.Duration) time.Duration {
	lead := min(max(life/3, 2*latency), life/2)
	return life - lead - lead/2
}

// learned is how long a refresh took, as a process knew between two times: at most.
// Its pool goes by the slowest answer, and forgets an eighth of it with each one that
// is faster.
func (l *ledger) learned(process string, from, to time.Time) time.Duration {
	var latency, most time.Duration
	for _, a := range l.answers[process] {
		if a.at.After(to) {
			break
		}
		latency = max(a.took, latency-latency/8)
		if most = max(most, latency); !a.at.After(from) {
			most = latency
		}
	}
	return most
}

// besides reports whether a spend was sent while another one of its pair was under way.
// One that a broken network held up is not: its holder may have lost the lock since.
func (sp spend) besides(p pair) bool {
	return sp.sent.Sub(p.spent).Abs() < replayPause && sp.arrived.Sub(sp.sent) < replayPause
}

func (l *ledger) savedBefore(token string, at time.Time) bool {
	saved, known := l.saved[token]
	return known && saved.Before(at)
}

// spent reports whether the server has exchanged the token, and whether its successor
// was saved.
func (l *ledger) spent(token string) (exchanged, saved bool) {
	i := slices.IndexFunc(l.spends, func(sp spend) bool { return sp.token == token && sp.next != "" })
	if i < 0 {
		return false, false
	}
	_, saved = l.saved[l.spends[i].next]
	return true, saved
}
