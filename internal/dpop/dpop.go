// Package dpop remembers what servers say about DPoP proofs (RFC 9449), for
// those who make them: package oauth at the token endpoint, package refresh at
// APIs.
package dpop

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

// Hints are what a proof for one server has to heed.
type Hints struct {
	// Nonce is the newest that the server has given, or empty (sections 8, 9).
	Nonce string
	// Skew is how far our clock is ahead of the server's, if Clocked.
	Skew    time.Duration
	Clocked bool
}

// A Memory keeps the hints of each server. The zero value is empty and ready; it
// is safe for concurrent use.
type Memory struct {
	mu      sync.Mutex // guards servers
	servers map[string]Hints
}

// maxServers bounds what a program that calls ever new hosts makes us remember.
// Forgetting costs one more request to each.
const maxServers = 256

// Recall returns what is known of a server, which its callers name as they like:
// an origin, an endpoint.
func (m *Memory) Recall(server string) Hints {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.servers[server]
}

// Learn takes in the header of an answer that came at now, and returns what is
// known after it. The nonce that came last counts (section 8.2), whatever the
// answer's status.
func (m *Memory) Learn(server string, h http.Header, now time.Time) Hints {
	m.mu.Lock()
	defer m.mu.Unlock()
	hints := m.servers[server]
	if nonce := h.Get("DPoP-Nonce"); usableNonce(nonce) {
		hints.Nonce = nonce
	}
	if skew, told := Skew(h, now); told {
		hints.Skew, hints.Clocked = skew, true
	}
	if m.servers == nil || len(m.servers) >= maxServers {
		m.servers = make(map[string]Hints)
	}
	m.servers[server] = hints
	return hints
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
	date, err := http.ParseTime(h.Get("Date"))
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
// should be sent once more: the proof heeded the hints sent, and with the answer
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
