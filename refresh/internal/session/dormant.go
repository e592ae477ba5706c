package session

import (
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
	"github.com/evertoken/evertoken/refresh/internal/snapshot"
	"github.com/evertoken/evertoken/tokenstore"
)

// An Outlook is what a look needs to know of a dormant session.
type Outlook struct {
	Due       moment.Instant // when it wants attention; Never if nothing will be
	Stamp     Stamp          // of the record
	Magnitude uint8          // of the gate, as the plan takes it into account
}

// A Dormant is a session at rest: all that outlives it.
type Dormant struct {
	Generation uint64
	Renewed    time.Time
	Ends       moment.Instant // of the access token
	Seen       moment.Instant // when the pair was seen first, where Ends is Never
	Deferred   moment.Instant
	Reserved   bool
	Notified   bool // of the refresh token's end
	Reported   string
	Record     *tokenstore.Record
}

// Quiet reports whether nothing is under way with the session, and nothing known about
// it, that would be lost with all but its Dormant. No other caller may use the session
// meanwhile.
func (s *Session) Quiet() bool {
	h, cur := s.state.Load(), s.cur.Load()
	if *h != (Health{State: StateValid, Renewed: h.Renewed}) || cur == nil || s.wants(cur) {
		return false
	}
	rec := s.rec
	if rec == nil || rec.Pending != nil || rec.Refused != nil || rec.Dead != nil || rec.Tokens.IDTokenError != nil {
		return false
	}
	if s.unsaved != (unsaved{}) || s.kept != nil || s.unchecked.err != nil || s.account == nil || differs(s.account, rec.Tokens) {
		return false
	}
	if s.handing != nil && len(s.handing.done) == 0 {
		return false // it has not returned
	}
	return !s.Distrusted() && len(s.resources) == 0 && s.lookAgain.IsZero()
}

// wants reports whether the session wants to be renewed now.
func (s *Session) wants(cur *snapshot.Snapshot) bool {
	if s.cfg.Paused || s.cfg.OnDemand {
		return false // no caller has asked for it
	}
	return !cur.Alive(s.now()) || cur.IsDue(s.now()) && s.deferred.IsZero()
}

// Rest returns what outlives the session, and when it wants attention. It is [Session.Quiet].
func (s *Session) Rest() (Dormant, Outlook) {
	cur := s.cur.Load()
	return Dormant{
		Generation: s.generation,
		Renewed:    s.state.Load().Renewed,
		Ends:       cur.Ends(),
		Seen:       cur.Seen(),
		Deferred:   s.deferred,
		Reserved:   s.reserved,
		Notified:   s.announced(cur),
		Reported:   s.reported,
		Record:     s.rec,
	}, s.outlook(cur)
}

func (s *Session) outlook(cur *snapshot.Snapshot) Outlook {
	now := s.now()
	o := Outlook{Due: moment.Never, Stamp: s.stamp, Magnitude: s.cfg.Gate.Magnitude()}
	plan := func(at moment.Instant) {
		if at.Since(now) < schedule.MaxLife {
			o.Due = o.Due.Or(at)
		}
	}
	switch {
	case s.cfg.Paused, s.cfg.OnDemand:
	case s.deferred.IsZero() || !cur.IsDue(now):
		plan(now.At(cur.DueAt(now)))
	default:
		plan(s.deferred)
	}
	if !s.announced(cur) {
		plan(now.At(cur.EndingAt(now)))
	}
	return o
}

// Wake returns a session as it was when it went to rest, and the snapshot that its
// readers see; cur is not set.
func Wake(cfg *Config, name string, host Host, cur *snapshot.Cell, d Dormant, stamp Stamp) (*Session, *snapshot.Snapshot) {
	s := New(cfg, name, host, cur)
	s.rec, s.account = d.Record, d.Record.Tokens
	s.generation, s.stamp, s.reported = d.Generation, stamp, d.Reported
	s.state.Store(&Health{State: StateValid, Renewed: d.Renewed})
	s.deferred, s.reserved = d.Deferred, d.Reserved
	if d.Notified {
		s.notified = d.Record.Tokens.RefreshExpiresAt
	}
	shown := snapshot.New(d.Record.Tokens, s.timing(d.Record.Tokens), d.Generation, s.now())
	shown.EndsBy(d.Ends)
	shown.SeenAt(d.Seen)
	return s, shown
}
