// Package audit watches refresh tokens come and answers go, and notes what no
// client should do.
package audit

import (
	"context"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/evertoken/evertoken/internal/authserver/secret"
)

// A Kind says what a client did wrong. oauthtest.MistakeKind tells more.
type Kind string

// The kinds of mistakes.
const (
	SpentTwice           Kind = "spent twice"
	SpentAfterRevocation Kind = "spent after it was revoked or refused"
	SpentInParallel      Kind = "spent in parallel"
	TokenInURL           Kind = "sent in a URL"
	AssertionReplayed    Kind = "sent again"
	BesideRequestURI     Kind = "sent beside a request_uri"
	RequestURIReused     Kind = "sent again after it was answered"
	TokenAstray          Kind = "was sent credentials that it has no use for"
	ProofReplayed        Kind = "sent twice"
	PresentedBare        Kind = "presented without a proof"
)

// New returns an auditor on a clock. A lost answer explains a replay for 30 seconds,
// or for the grace window if that is longer; opinion is how long a client has to
// wait before it may ask a second time about a refusal.
func New(now func() time.Time, grace, opinion time.Duration) *Auditor {
	return &Auditor{now: now, excuse: max(grace, replayWindow), opinion: opinion, tokens: make(map[string]*history)}
}

// replayWindow is how long after an answer was lost a client may send the same
// refresh token again: the longest grace window that is common among servers.
const replayWindow = 30 * time.Second

// A Mistake is something that no client should do.
type Mistake struct {
	Kind      Kind
	When      time.Time
	TokenHash string // the beginning of a hash, or what else the kind is about
}

// A Spend is one refresh token's arrival at the token endpoint, or a backend's.
type Spend struct {
	TokenHash string    // the beginning of its SHA-256 in hexadecimal
	Arrived   time.Time // when the request came
	Ended     time.Time // when the answer was given or the client left; zero: not yet
	Committed bool      // the server carried the refresh out
	Delivered bool      // the client has received the server's answer
}

// An Auditor keeps the history of each refresh token. It is safe for concurrent
// use.
type Auditor struct {
	now    func() time.Time
	excuse time.Duration // how long a lost answer explains a replay
	// opinion is how long a client has to wait that wants to hear a refusal a second
	// time: soon after a renewal, or after a lost answer, the first may not be the last
	// word.
	opinion time.Duration

	mu       sync.Mutex // guards what follows
	tokens   map[string]*history
	spends   []*Arrival
	mistakes []Mistake
}

// A history is what the client knows about one refresh token, as far as the
// server can tell.
type history struct {
	open    []*Arrival // under way
	rotated bool       // the server has exchanged it
	known   bool       // and the client has received the successor
	lostAt  time.Time  // when the last answer to such an exchange was lost
	revoked bool       // by the client
	refused int        // how often the client was told that it is invalid
	told    time.Time  // when it was told so first
}

// An Outcome is what the server did about a refresh token. Its zero value is
// nothing.
type Outcome struct {
	Committed bool // a refresh was carried out
	Rotated   bool // it spent the refresh token
	Refused   bool // the refresh token was called invalid
}

// An Arrival is a Spend under way.
type Arrival struct {
	Spend
	a        *Auditor
	h        *history
	ctx      context.Context
	direct   bool
	unwatch  func() bool
	left     time.Time // when the client left; zero if it has not
	parallel []Mistake // counted unless the client turns out to have left
	news     bool      // its answer was the first to tell the client of the successor
}

// Mistakes returns the mistakes so far, oldest first.
func (a *Auditor) Mistakes() []Mistake {
	a.mu.Lock()
	defer a.mu.Unlock()
	mistakes := slices.Clone(a.mistakes)
	slices.SortStableFunc(mistakes, func(a, b Mistake) int { return a.When.Compare(b.When) })
	return mistakes
}

// Spends returns every arrival of a refresh token, in order, with what became of
// it.
func (a *Auditor) Spends() []Spend {
	a.mu.Lock()
	defer a.mu.Unlock()
	spends := make([]Spend, len(a.spends))
	for i, sp := range a.spends {
		spends[i] = sp.Spend
	}
	return spends
}

// AnswerLost notes that the client which spent refreshToken died before it could
// save the answer, which a server cannot see.
func (a *Auditor) AnswerLost(refreshToken string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if h := a.tokens[secret.Hash(refreshToken)]; h != nil && h.rotated {
		h.known, h.lostAt = false, a.now()
	}
}

// Arrive notes that the refresh token with this hash has come in.
func (a *Auditor) Arrive(ctx context.Context, hash string, direct bool) *Arrival {
	a.mu.Lock()
	defer a.mu.Unlock()
	sp := &Arrival{a: a, h: a.historyLocked(hash), ctx: ctx, direct: direct}
	sp.TokenHash, sp.Arrived = secret.Short(hash), a.now()
	sp.judgeLocked()
	sp.h.open = append(sp.h.open, sp)
	a.spends = append(a.spends, sp)
	sp.unwatch = context.AfterFunc(ctx, sp.clientLeft)
	return sp
}

func (a *Auditor) historyLocked(hash string) *history {
	h := a.tokens[hash]
	if h == nil {
		h = new(history)
		a.tokens[hash] = h
	}
	return h
}

// judgeLocked counts at most one mistake for the arrival.
func (sp *Arrival) judgeLocked() {
	h, m := sp.h, Mistake{When: sp.Arrived, TokenHash: sp.TokenHash}
	for _, other := range h.open {
		if other.ctx.Err() != nil {
			continue // its client has left, perhaps to try again now
		}
		m.Kind = SpentInParallel
		if other.direct {
			sp.a.mistakes = append(sp.a.mistakes, m)
		} else {
			// Off a socket, the news that a client has left may come late.
			other.parallel = append(other.parallel, m)
		}
		return
	}
	switch {
	case h.refused == 1 && !h.revoked && sp.Arrived.Sub(h.told) >= sp.a.opinion:
		return
	case h.revoked, h.refused > 0:
		m.Kind = SpentAfterRevocation
	case h.known, h.rotated && !h.lostAt.IsZero() && sp.Arrived.Sub(h.lostAt) > sp.a.excuse:
		m.Kind = SpentTwice
	default:
		return
	}
	sp.a.mistakes = append(sp.a.mistakes, m)
}

// clientLeft runs when the request's context ends.
func (sp *Arrival) clientLeft() {
	now := sp.a.now()
	sp.a.mu.Lock()
	defer sp.a.mu.Unlock()
	sp.leftLocked(now)
}

func (sp *Arrival) leftLocked(now time.Time) {
	if sp.left.IsZero() && sp.Ended.IsZero() {
		sp.left = now
	}
}

// Finish notes what the server did, and whether the client knows of it. A nil
// Arrival is ignored.
func (sp *Arrival) Finish(done Outcome, delivered bool) {
	if sp == nil {
		return
	}
	sp.unwatch()
	now := sp.a.now()
	sp.a.mu.Lock()
	defer sp.a.mu.Unlock()
	if sp.ctx.Err() != nil {
		sp.leftLocked(now)
	} else {
		sp.a.mistakes = append(sp.a.mistakes, sp.parallel...)
	}
	sp.h.open = slices.DeleteFunc(sp.h.open, func(o *Arrival) bool { return o == sp })
	sp.Ended = now
	if !sp.left.IsZero() {
		sp.Ended = sp.left
	}
	sp.Delivered = delivered
	sp.Committed = done.Committed
	if done.Rotated {
		sp.h.rotated = true
		sp.learnLocked()
	}
	if done.Refused && delivered {
		if sp.h.refused++; sp.h.refused == 1 {
			sp.h.told = now
		}
	}
}

// learnLocked updates whether the client knows the successor.
func (sp *Arrival) learnLocked() {
	if sp.Delivered {
		sp.news, sp.h.known = !sp.h.known, true
	} else {
		sp.h.lostAt = sp.Ended
	}
}

// Lost takes back that the answer was delivered.
func (sp *Arrival) Lost() {
	if sp == nil {
		return
	}
	now := sp.a.now()
	sp.a.mu.Lock()
	defer sp.a.mu.Unlock()
	if sp.news {
		sp.h.known, sp.h.lostAt = false, now
	}
	sp.Delivered = false
}

// Revoked notes that the client itself revoked the refresh token.
func (a *Auditor) Revoked(hash string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.historyLocked(hash).revoked = true
}

// Note counts a mistake that is not about spending.
func (a *Auditor) Note(kind Kind, what string) {
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mistakes = append(a.mistakes, Mistake{Kind: kind, When: now, TokenHash: what})
}

// secretParameters do not belong into a URL.
var secretParameters = [...]string{
	"access_token", "refresh_token", "token", "id_token", "client_secret",
	"client_assertion", "password", "code_verifier", "device_code",
}

// CheckQuery looks for secrets in a URL (RFC 6749 section 2.3.1, RFC 6750 section
// 5.3).
func (a *Auditor) CheckQuery(u *url.URL) {
	if u.RawQuery == "" {
		return
	}
	query := u.Query()
	for _, name := range secretParameters {
		if query.Has(name) {
			a.Note(TokenInURL, name)
		}
	}
}
