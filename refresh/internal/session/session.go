// Package session is the state machine of one session: how it begins, adopts what others
// have saved, is renewed, spends its refresh token, saves what comes back, judges
// refusals, and ends. It has no timers and no goroutines but for the requests under way
// ([sending]), and knows no manager and no pool. It asks for what it needs (Store,
// Refresher, gate, clock, its [Host]) and says when it wants to be looked at again
// ([Session.Look], [Session.NextLook]).
package session

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/snapshot"
	"github.com/evertoken/evertoken/tokenstore"
)

// A Host is what runs a session. Its methods are called by the turn's holder and do not
// block.
type Host interface {
	// Emit tells the program what happened.
	Emit(Event)
	// LoginRequired tells the program, once per grant, that a person has to log in. grant
	// is for StillRefused, to be asked right before.
	LoginRequired(grant string, err error)
	// Changed tells callers that wait to look again, because the current token or the
	// session's health may be another one.
	Changed()
	// InUse reports whether a caller has asked for the token lately.
	InUse() bool
	// Wake makes the session be looked at now.
	Wake()
	// Outlive calls f on a goroutine of its own, which may outlive the run. The session
	// does not rest meanwhile, and is looked at afterwards.
	Outlive(f func())
	// Waiting reports whether a caller waits for a token.
	Waiting() bool
}

// A Run is the time during which a session is kept alive, for what is done in it.
type Run interface {
	// Over reports whether the run is to end: then nothing is begun any more.
	Over() bool
	// Context ends with the run.
	Context() context.Context
	// Lend calls wait, and lets others work meanwhile.
	Lend(wait func())
	// Before returns a function that waits for the end of what this process has done with the
	// session before; nil: there is nothing to wait for.
	Before() (wait func(context.Context) error)
}

// A Session is safe for concurrent use as far as its methods say so; all others are for
// the turn's holder.
type Session struct {
	cfg  *Config
	name string
	host Host
	cur  *snapshot.Cell // what readers see. Replaced by the turn's holder

	// state is how the session fares; never nil. Replaced by the turn's holder.
	state atomic.Pointer[Health]
	// distrust is until when a rejected token is not refreshed, because a fresh one
	// was rejected just before; nil means never.
	distrust atomic.Pointer[moment.Instant]

	// turn is held (by sending) by the goroutine that changes the session: one at a time, and
	// a caller can leave the queue. It guards the fields below it.
	turn       chan struct{}
	rec        *tokenstore.Record  // the session as last read or saved; nil: none. All there is without a Store
	unsaved    unsaved             // what of rec is not saved yet; nothing without one
	held       uint64              // greatest version of rec, while an old copy is to be written over; 0: rec.Version
	account    *oauth.TokenPair    // a pair of the account that the session belongs to; nil: not known yet
	kept       tokenstore.Lease    // lease kept while the Store holds a spent token
	spending   tokenstore.Spending // the lease that is held, if it can settle; nil: none
	handing    *handing            // the call of TokenStore that was given up; nil: none
	plain      bool                // the Store's BeginSpend is not to be used after all
	generation uint64              // of the last access token shown
	asked      string              // fingerprint of the refresh token that was asked about last, by this process
	reported   string              // fingerprint of the grant that Host.LoginRequired has heard of
	notified   time.Time           // refresh-token end that was announced
	unchecked  refusal             // not yet checked against the Store
	unanswered string              // fingerprint of the refresh token that this process has sent without an answer yet, or for good
	written    [4]uint64           // versions that this session has written last
	doubt      doubt               // whether the refresh token is another process's matter
	stamp      Stamp               // of what was last read from the Store
	leftAlone  moment.Kept         // what the server asked for, by the record
	elsewhere  moment.Kept         // see asksElsewhere
	news       moment.Kept         // see awaitNews
	deferred   moment.Instant      // until when a due refresh is put off; zero: it is not
	reserved   bool                // it may begin then
	entered    moment.Instant      // when the last attempt began, with a request or without
	begun      moment.Instant      // when the last request began,
	seen       moment.Instant      // and when a session of the server had been renewed last by then
	looked     moment.Instant      // when a renewal looked at the Store last
	lookAgain  moment.Instant      // when to look at the Store before a check interval is over; zero: not so soon

	later *sending // of the token before, whose answer takes the place of the current pair; nil: none is under way

	late chan *sending // answers to sendings that were given up, for the turn's holder if it waits for one; made when needed

	unkept context.Context // ends when the session keeps its lock; nil: no caller waits for it
	keeps  context.CancelFunc

	mu        sync.Mutex                // guards the fields below; never held across I/O
	locked    int                       // callers that have the lock and want the turn
	giveWay   context.CancelFunc        // ends the wait of the turn's holder for the lock; nil: it does not wait
	resources map[string]*snapshot.Cell // by resource indicator
}

// unsaved says which of the two places the current pair is not saved in, and
// whether it is a new login, which replaces whatever the Store has.
type unsaved struct {
	store, callback, login bool
	whole                  *oauth.TokenPair // what the callback gets, where the Store has less of it
}

func (u unsaved) any() bool { return u.store || u.callback }

// A Stamp is what the Store said of the record when it was read last.
type Stamp struct {
	Value uint64
	Known bool
}

// A refusal is the server's word on a refresh token, by fingerprint.
type refusal struct {
	token string
	err   error
}

// New returns a session that has not begun. It shows its token in cur.
func New(cfg *Config, name string, host Host, cur *snapshot.Cell) *Session {
	s := &Session{cfg: cfg, name: name, host: host, cur: cur, turn: make(chan struct{}, 1)}
	s.state.Store(&NoSession)
	return s
}

// WithTurn calls f while no other caller changes the session. It waits for that until
// ctx ends. Safe for concurrent use.
func (s *Session) WithTurn(ctx context.Context, f func() error) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
		return f()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// TryTurn is WithTurn for work that can be left to the turn's holder. It reports
// whether f was called. Safe for concurrent use.
func (s *Session) TryTurn(f func()) bool {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
		f()
		return true
	default:
		return false
	}
}

func (s *Session) now() moment.Instant { return moment.Of(s.cfg.Clock.Now()) }

// Health returns how the session fares. Safe for concurrent use.
func (s *Session) Health() *Health { return s.state.Load() }

// setHealth replaces the health by an edited copy.
func (s *Session) setHealth(edit func(h *Health)) {
	h := *s.state.Load()
	edit(&h)
	s.state.Store(&h)
	s.host.Changed()
}

// Cell returns where the token for a resource indicator is shown; the empty one is the
// session's own. Safe for concurrent use.
func (s *Session) Cell(resource string) *snapshot.Cell {
	if resource == "" {
		return s.cur
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.resources == nil {
		s.resources = make(map[string]*snapshot.Cell)
	}
	if s.resources[resource] == nil {
		s.resources[resource] = new(snapshot.Cell)
	}
	return s.resources[resource]
}

// currentFor returns what is current for a resource indicator.
func (s *Session) currentFor(resource string) *snapshot.Snapshot { return s.Cell(resource).Load() }

// forgetResources drops the tokens of a login that is no longer the session.
func (s *Session) forgetResources() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, cell := range s.resources {
		cell.Store(nil)
	}
}

// Distrust makes rejected tokens be kept for a check interval: a fresh one was
// rejected, so the token was not the reason. Safe for concurrent use.
func (s *Session) Distrust() {
	until := s.now().Add(s.cfg.CheckInterval)
	s.distrust.Store(&until)
}

// Distrusted reports whether rejected tokens are kept. Safe for concurrent use.
func (s *Session) Distrusted() bool {
	until := s.distrust.Load()
	return until != nil && !s.now().Reached(*until)
}

// empty reports whether the session has no pair yet, and is to get one.
func (s *Session) empty() bool { return s.rec != nil && isEmpty(s.rec) }

// isEmpty reports whether a record holds no token. Stores keep none of those.
func isEmpty(rec *tokenstore.Record) bool {
	return rec.Tokens.AccessToken == "" && rec.Tokens.RefreshToken == ""
}
