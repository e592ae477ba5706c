// Package snapshot has the current token pair of a session as its readers see it.
package snapshot

import (
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
)

// A Snapshot is the current pair. It is replaced whole; but for what it caches and
// whether the token was found dead, nothing in it is modified. The methods of a nil
// Snapshot are those of a session without a token.
type Snapshot struct {
	Pair          *oauth.TokenPair
	Authorization string // the Authorization header's value
	Generation    uint64 // of the access token; servers may issue equal tokens twice
	Bearer        bool   // the token's type, which every request asks for

	Due    time.Time // when a refresh is due, by the wall clock; see DueAt
	Ending time.Time // when to announce the refresh token's end, by the wall clock; see EndingAt

	ends  moment.Instant // the access token's end, or Never
	seen  moment.Instant // when the pair was seen first, by which its times count where ends is Never
	ask   moment.Instant // when caches are to ask again; zero: at the end, or so close to it that it makes no difference. See HandOut
	dead  atomic.Bool    // a token found dead stays so, wherever the clocks go
	token atomic.Pointer[oauth2.Token]
}

// A Cell holds the current snapshot of a session or a resource; nil means none.
type Cell = atomic.Pointer[Snapshot]

// New returns a pair for readers. The pair becomes the snapshot's: the caller must
// not have given it to others.
func New(pair *oauth.TokenPair, t schedule.Timing, generation uint64, now moment.Instant) *Snapshot {
	scheme := pair.Type() + " "
	header := scheme + pair.AccessToken
	pair.AccessToken = header[len(scheme):] // one copy in memory: tokens can be long
	s := &Snapshot{
		Pair:          pair,
		Authorization: header,
		Generation:    generation,
		Bearer:        pair.Type() == "Bearer",
		Due:           t.Due(),
		Ending:        t.EndingNotice(),
		ends:          moment.Never,
		seen:          now,
	}
	if issued := pair.IssuedAt; issued.After(now.Wall()) {
		s.seen = now.At(issued).OrMono(now) // "in the future": our clock went back, and no time has passed
	}
	switch at := pair.ExpiresAt; {
	case pair.AccessToken == "":
		s.ends, s.Due = now, now.Wall()
	case !at.IsZero() && at.Sub(now.Wall()) < schedule.MaxLife:
		s.ends = now.At(at)
		if life, known := pair.Lifetime(); known && now.Until(s.ends) > life {
			// It was issued "in the future", so our clock went back. By the monotonic
			// clock it lives no longer than it was issued for.
			s.ends = s.ends.OrMono(now.Add(life))
		}
	}
	if at := t.AskAgain(); !at.IsZero() && s.beforeEnd(at) > cacheMargin {
		s.ask = s.by().At(at)
	}
	return s
}

// Ends returns when the access token ends; Never if that is not known.
func (s *Snapshot) Ends() moment.Instant { return s.ends }

// EndsBy makes the access token end no later than an earlier snapshot of it did, and
// exactly then if both have the same end by the wall clock: what one that was set since
// makes of the time that is left is not what was left.
func (s *Snapshot) EndsBy(end moment.Instant) {
	sooner := s.ends.Since(end)
	if sooner < 0 && !s.ends.Wall().Equal(end.Wall()) {
		return
	}
	s.ends = s.ends.AddMono(-sooner)
	if !s.ask.IsZero() {
		s.ask = s.ask.AddMono(-sooner)
	}
}

// Seen returns when the pair was seen first, for SeenAt; zero if its times count by the access
// token's end.
func (s *Snapshot) Seen() moment.Instant {
	if s.ends != moment.Never || s.Due.IsZero() && s.Ending.IsZero() {
		return moment.Instant{}
	}
	return s.seen
}

// SeenAt has the times of a pair whose access token's end is not known count from when it was
// seen first: a clock that was set back since does not put them off.
func (s *Snapshot) SeenAt(first moment.Instant) {
	if s.ends != moment.Never || first.IsZero() {
		return
	}
	if !s.ask.IsZero() {
		s.ask = s.ask.OrMono(first.At(s.ask.Wall()))
	}
	s.seen = first
}

// by returns an Instant by which the pair's times count by both clocks.
func (s *Snapshot) by() moment.Instant {
	if s.ends != moment.Never {
		return s.ends
	}
	return s.seen
}

// Same reports whether two snapshots have the same access token.
func (s *Snapshot) Same(other *Snapshot) bool {
	if s == nil || other == nil {
		return s == other
	}
	return s.Generation == other.Generation
}

// Alive reports whether the access token can be used: while neither clock has reached
// its end. The monotonic clock is needed when the wall clock is set back, which must
// not make a token immortal.
func (s *Snapshot) Alive(now moment.Instant) bool {
	if s == nil || s.dead.Load() {
		return false
	}
	if now.Reached(s.ends) {
		s.dead.Store(true)
		return false
	}
	return true
}

// DueAt returns when a refresh is due as seen from now: by the wall clock, or by the
// time that has passed since the pair was seen, if that says earlier. Zero means not by
// the clock.
func (s *Snapshot) DueAt(now moment.Instant) time.Time { return s.asSeen(s.Due, now) }

// EndingAt returns when to announce the refresh token's end, as DueAt does. Zero means never.
func (s *Snapshot) EndingAt(now moment.Instant) time.Time { return s.asSeen(s.Ending, now) }

func (s *Snapshot) asSeen(at time.Time, now moment.Instant) time.Time {
	if at.IsZero() {
		return at
	}
	return moment.Earlier(at, now.Wall().Add(s.by().At(at).Since(now)))
}

// IsDue reports whether a refresh is due.
func (s *Snapshot) IsDue(now moment.Instant) bool {
	due := s.DueAt(now)
	return !due.IsZero() && !now.Wall().Before(due)
}

// beforeEnd is how long before the token's end, by the wall clock, a moment is.
func (s *Snapshot) beforeEnd(at time.Time) time.Duration {
	if s.ends == moment.Never {
		return math.MaxInt64
	}
	return s.ends.Wall().Sub(at)
}
