package refresh

import (
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
)

// A snapshot is the current pair as readers see it. It is replaced whole; but for
// token and died, nothing in it is modified.
type snapshot struct {
	pair          *oauth.TokenPair
	token         atomic.Pointer[oauth2.Token] // pair for caches, once somebody has asked for it
	authorization []string                     // the Authorization header's value
	generation    uint64                       // of the access token; servers may issue equal tokens twice
	due           time.Time
	ending        time.Time     // when to announce the refresh token's end
	askLead       time.Duration // how long before expires caches are to ask again; see handOut

	// The token is alive while the wall clock is before expires, and elapsed time
	// before until. The second witness is needed when the wall clock is set back:
	// it must not make a token immortal.
	expires int64       // nanoseconds since 1970
	until   int64       // nanoseconds since epoch
	died    atomic.Bool // a token found dead stays so, wherever the clocks go
	bearer  bool        // the token's type, which every request asks for
}

// epoch is where elapsed time counts from. Any moment does: only differences
// matter, and times without a monotonic reading have those of the wall clock.
var epoch = time.Now()

// elapsed returns the nanoseconds since epoch, by the monotonic clock if now has
// a reading of it.
func elapsed(now time.Time) int64 { return int64(now.Sub(epoch)) }

// newSnapshot returns a pair for readers. The pair becomes the snapshot's: nobody
// else may know it yet.
func newSnapshot(pair *oauth.TokenPair, t schedule.Timing, now time.Time) *snapshot {
	scheme := pair.Type() + " "
	header := scheme + pair.AccessToken
	pair.AccessToken = header[len(scheme):] // one copy in memory: tokens can be long
	s := &snapshot{
		pair:          pair,
		authorization: []string{header},
		due:           t.Due(),
		ending:        t.EndingNotice(),
		expires:       math.MaxInt64,
		until:         math.MaxInt64,
		bearer:        pair.Type() == "Bearer",
	}
	if pair.AccessToken == "" {
		s.expires, s.until = 0, elapsed(now)
		s.due = now
	} else if !pair.ExpiresAt.IsZero() && pair.ExpiresAt.Sub(now) < schedule.MaxLife {
		s.expires = pair.ExpiresAt.UnixNano()
		left := pair.ExpiresAt.Sub(now.Round(0))
		if life, known := pair.Lifetime(); known {
			left = min(left, life) // issued "in the future": our clock went back
		}
		s.until = elapsed(now) + int64(max(left, 0))
	}
	s.askLead = s.askLeadOf(t.AskAgain())
	return s
}

// same reports whether two snapshots have the same access token.
func (s *snapshot) same(other *snapshot) bool {
	if s == nil || other == nil {
		return s == other
	}
	return s.generation == other.generation
}

// alive reports whether the access token can be used.
func (s *snapshot) alive(now time.Time) bool {
	if s.outlives(now, 0) {
		return true
	}
	if s != nil {
		s.died.Store(true)
	}
	return false
}

// outlives reports whether the access token can be used for longer than margin
// after now.
func (s *snapshot) outlives(now time.Time, margin time.Duration) bool {
	return s != nil && now.UnixNano() < s.expires-int64(margin) && elapsed(now) < s.until-int64(margin) && !s.died.Load()
}

// dueAt returns when a refresh is due as seen from now: by the wall clock, or
// by the time that has passed since the pair was seen, if that says earlier.
func (s *snapshot) dueAt(now time.Time) time.Time {
	if s.due.IsZero() || s.until == math.MaxInt64 {
		return s.due
	}
	byElapsed := now.Round(0).Add(time.Duration(s.until-elapsed(now)) - s.lead())
	return earliest(s.due, byElapsed)
}

// lead is how long before the token's end a refresh is due, or zero if none is.
func (s *snapshot) lead() time.Duration {
	if s == nil || s.due.IsZero() {
		return 0
	}
	return s.beforeEnd(s.due)
}

// beforeEnd is how long before the token's end a moment is.
func (s *snapshot) beforeEnd(at time.Time) time.Duration { return time.Unix(0, s.expires).Sub(at) }

// isDue reports whether a refresh is due.
func (s *snapshot) isDue(now time.Time) bool {
	due := s.dueAt(now)
	return !due.IsZero() && !now.Before(due)
}
