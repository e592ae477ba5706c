// Package dpop remembers what servers say about DPoP proofs (RFC 9449) and the
// time, for the packages that make proofs and assertions: package oauth at the
// authorization server, package refresh at APIs.
package dpop

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

// Hints are what a proof for one server has to follow.
type Hints struct {
	// Nonce is the newest that the server has given, or empty (sections 8, 9).
	Nonce string
	// Skew is how far our clock is ahead of the server's, if Clocked.
	Skew    time.Duration
	Clocked bool
}

// A Memory keeps the nonce of each server and the clock of each origin: the
// endpoints of one server have one clock, but nonces of their own. The zero value
// is empty and ready; it is safe for concurrent use.
type Memory struct {
	mu     sync.Mutex // guards both
	nonces map[string]string
	clocks map[string]time.Duration // how far ours is ahead
}

// maxServers bounds what a program that calls ever new hosts makes us remember.
// Forgetting costs one more request to each.
const maxServers = 256

// Recall returns what is known of a server, which is named by its origin or by the
// address of an endpoint.
func (m *Memory) Recall(server string) Hints {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.recallLocked(server)
}

func (m *Memory) recallLocked(server string) Hints {
	known := Hints{Nonce: m.nonces[server]}
	if len(m.clocks) > 0 {
		known.Skew, known.Clocked = m.clocks[originOf(server)]
	}
	return known
}

// Learn takes in the header of an answer that came at now, and returns what is
// known after it. The nonce that came last counts (section 8.2), whatever the
// answer's status.
func (m *Memory) Learn(server string, h http.Header, now time.Time) Hints {
	m.mu.Lock()
	defer m.mu.Unlock()
	// DPoP-Nonce as net/http spells it: to convert it for each answer would cost.
	if nonce := h.Get("Dpop-Nonce"); usableNonce(nonce) {
		m.nonces = keep(m.nonces, server, nonce)
	}
	if skew, told := Skew(h, now); told {
		m.clocks = keep(m.clocks, originOf(server), skew)
	}
	return m.recallLocked(server)
}

// keep returns known with the value for name in it.
func keep[V any](known map[string]V, name string, value V) map[string]V {
	if _, old := known[name]; known == nil || !old && len(known) >= maxServers {
		known = make(map[string]V)
	}
	known[name] = value
	return known
}

// originOf returns scheme, host and port of an address.
func originOf(address string) string {
	scheme, rest, _ := strings.Cut(address, "://")
	if end := strings.IndexAny(rest, "/?"); end >= 0 {
		rest = rest[:end]
	}
	return scheme + "://" + rest
}

// usableNonce reports whether a nonce has the syntax of section 8.1, and a length
// that fits the header it is to travel in.
func usableNonce(nonce string) bool {
	for i := range len(nonce) {
		if c := nonce[i]; c < 0x21 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return nonce != "" && len(nonce) <= 2048
}

// Skew is how far our clock was ahead of the server's when an answer came at now,
// and whether the answer told (Date). Date has whole seconds and the answer took
// its time, so differences below two seconds are noise.
func Skew(h http.Header, now time.Time) (time.Duration, bool) {
	told := h.Get("Date")
	if told == "" {
		return 0, false
	}
	date, err := http.ParseTime(told)
	if err != nil {
		return 0, false
	}
	skew := now.Round(0).Sub(date.Round(0)).Truncate(time.Second)
	if skew.Abs() < noise {
		skew = 0
	}
	return skew, true
}

const noise = 2 * time.Second

// Again reports whether a request whose proof was refused with an error code
// should be sent once more: the proof followed the hints sent, and with the answer
// the hints became now. Both codes are about the proof alone; servers check it
// before they look at what the request asks for.
func Again(code string, sent, now Hints) bool {
	switch strings.ToLower(code) {
	case "use_dpop_nonce":
		return now.Nonce != sent.Nonce
	case "invalid_dpop_proof":
		return now.Clocked && (now.Skew-sent.Skew).Abs() >= noise
	}
	return false
}
