package main

import (
	"fmt"
	"slices"
	"time"
)

// A spend is one refresh token's arrival at the authority.
type spend struct {
	token, next   string // hashes; next is of the successor, or empty
	host          int
	sent, arrived time.Time // by the real clock
}

// A ledger is all that was spent, and what is known beside it. Refresh tokens are
// told apart by their hashes.
type ledger struct {
	life   time.Duration        // of an access token
	issued map[string]time.Time // when a login's refresh token was given out, with its access token
	saved  map[string]time.Time // when a refresh token was first known to be saved in the engine
	begins map[string][]int     // which hosts have announced that they spend it
	spends []spend              // in the order of their answers
}

func newLedger(life time.Duration) ledger {
	return ledger{life: life, issued: make(map[string]time.Time), saved: make(map[string]time.Time), begins: make(map[string][]int)}
}

func (l *ledger) issue(token string, at time.Time) { first(l.issued, token, at) }
func (l *ledger) save(token string, at time.Time)  { first(l.saved, token, at) }

func (l *ledger) announce(token string, host int) { l.begins[token] = append(l.begins[token], host) }

// first keeps the earliest time.
func first(times map[string]time.Time, key string, at time.Time) {
	if had, ok := times[key]; !ok || at.Before(had) {
		times[key] = at
	}
}

// A tally counts what became of the spends. Each is one of these.
type tally struct {
	// Due: the first spend of a token whose access token had lived half its life or
	// more. That is when sessions of a pool begin to be renewed: a third of the life
	// before the end, and up to half of that earlier, so that not all come at once.
	// There is one for each expiry that was prevented or met.
	Due int
	// Early: the same, before that. It is in order where the clock of the spender, or
	// of a host that had announced the spend and could not carry it out, is ahead of
	// that of the host which had obtained the pair: to such a host it has expired.
	Early int
	// Replays: a token that the server had exchanged before, sent again when its
	// successor was not saved yet: an answer was lost, or whoever had it was stopped.
	Replays int
	// Reuses: the same, sent although its successor was saved, or while another
	// request with it was under way.
	Reuses int
	// Refused: the first spend of a token that the server did not exchange.
	Refused int
}

// replayPause is how much later than the one before a replay is sent, at least: half
// of what refresh waits. In between nobody else has the lock.
const replayPause = 500 * time.Millisecond

// judge counts the spends, given by how much each host's clock is off, and how long a
// request may take to arrive. It returns whose replays were in order, and what was not.
func (l *ledger) judge(offsets []time.Duration, delay time.Duration) (t tally, replayed map[string]bool, broken []string) {
	spends := slices.Clone(l.spends)
	slices.SortStableFunc(spends, func(a, b spend) int { return a.arrived.Compare(b.arrived) })
	pairs := make(map[string]pair) // by refresh token
	for token, at := range l.issued {
		pairs[token] = pair{at: at, host: -1}
	}
	replayed = make(map[string]bool)
	for _, sp := range spends {
		p := pairs[sp.token]
		age := sp.arrived.Sub(p.at)
		switch {
		case p.next != "" && (l.savedBefore(p.next, sp.sent) || sp.besides(p)):
			t.Reuses++
			broken = append(broken, fmt.Sprintf("host %d sent a refresh token again, %s after host %d had, and %s after its successor was saved", sp.host, sp.sent.Sub(p.spent), p.spender, sp.sent.Sub(l.saved[p.next])))
		case p.next != "":
			t.Replays++
			replayed[sp.token] = true
		case sp.next == "":
			t.Refused++
			broken = append(broken, fmt.Sprintf("a refresh token was refused that host %d sent", sp.host))
		case age >= l.life/2-delay:
			t.Due++
		default:
			t.Early++
			ahead := func(host int) bool { return offsets[host] > p.offset(offsets) }
			if !slices.ContainsFunc(append(l.begins[sp.token], sp.host), ahead) {
				broken = append(broken, fmt.Sprintf("host %d renewed a pair of host %d after %s, and its clock does not explain it", sp.host, p.host, age))
			}
		}
		p.spent, p.spender = sp.sent, sp.host
		if p.next == "" && sp.next != "" {
			p.next = sp.next
			pairs[sp.next] = pair{at: sp.arrived, host: sp.host}
		}
		pairs[sp.token] = p
	}
	return t, replayed, broken
}

// A pair is what is known of a refresh token, and of the access token beside it.
type pair struct {
	at      time.Time // of the request that obtained it
	host    int       // that obtained it; less than zero: a login
	spent   time.Time // when it was last sent
	spender int       // by which host
	next    string    // its successor
}

// besides reports whether a spend was sent while another one of its pair was under way.
// One that a broken network held up is not: its holder may have lost the lock since.
func (sp spend) besides(p pair) bool {
	return sp.sent.Sub(p.spent).Abs() < replayPause && sp.arrived.Sub(sp.sent) < replayPause
}

// offset is how much the clock is off by which the pair's times were written.
func (p pair) offset(offsets []time.Duration) time.Duration {
	if p.host < 0 {
		return 0
	}
	return offsets[p.host]
}

func (l *ledger) savedBefore(token string, at time.Time) bool {
	saved, known := l.saved[token]
	return known && saved.Before(at)
}

// spent reports whether the server has exchanged the token.
func (l *ledger) spent(token string) bool {
	return slices.ContainsFunc(l.spends, func(sp spend) bool { return sp.token == token && sp.next != "" })
}
