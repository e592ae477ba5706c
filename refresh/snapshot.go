package refresh

import (
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"github.com/evertoken/evertoken/oauth"
)

// A snapshot is the current pair as readers see it. It is replaced whole; but for
// token and died, nothing in it is modified.
type snapshot struct {
	pair          *oauth.TokenPair
	token         atomic.Pointer[oauth2.Token] // pair, once somebody has asked for it
	authorization []string                     // the Authorization header's value
	generation    uint64                       // of the access token; servers may issue equal tokens twice
	due           time.Time
	ending        time.Time // when to announce the refresh token's end

	// The token is alive while the wall clock is before expires, and while less
	// than left has passed on the clock of seen. The second witness is needed
	// when the wall clock is set back: it must not make a token immortal.
	expires int64 // nanoseconds since 1970
	seen    time.Time
	left    time.Duration
	died    atomic.Bool // a token found dead stays so, wherever the clocks go
}

// newSnapshot returns a pair for readers. The pair becomes the snapshot's: nobody
// else may know it yet.
func newSnapshot(pair *oauth.TokenPair, t timing, now time.Time) *snapshot {
	scheme := pair.Type() + " "
	header := scheme + pair.AccessToken
	pair.AccessToken = header[len(scheme):] // one copy in memory: tokens can be long
	s := &snapshot{
		pair:          pair,
		authorization: []string{header},
		due:           t.due(),
		ending:        t.endingNotice(),
		expires:       math.MaxInt64,
		seen:          now,
		left:          math.MaxInt64,
	}
	if pair.AccessToken == "" {
		s.expires, s.left = 0, 0
		s.due = now
	} else if !pair.ExpiresAt.IsZero() && pair.ExpiresAt.Sub(now) < maxLife {
		s.expires = pair.ExpiresAt.UnixNano()
		s.left = pair.ExpiresAt.Sub(now.Round(0))
		if life, known := pair.Lifetime(); known {
			s.left = min(s.left, life) // issued "in the future": our clock went back
		}
	}
	return s
}

// oauth2 returns the pair as an x/oauth2 token, always the same one.
func (s *snapshot) oauth2() *oauth2.Token {
	if token := s.token.Load(); token != nil {
		return token
	}
	s.token.CompareAndSwap(nil, s.pair.OAuth2())
	return s.token.Load()
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
	if s == nil || s.died.Load() {
		return false
	}
	if now.UnixNano() < s.expires && now.Sub(s.seen) < s.left {
		return true
	}
	s.died.Store(true)
	return false
}

// dueAt returns when a refresh is due as seen from now: by the wall clock, or
// by the time that has passed since the pair was seen, if that says earlier.
func (s *snapshot) dueAt(now time.Time) time.Time {
	if s.due.IsZero() || s.left == math.MaxInt64 {
		return s.due
	}
	lead := time.Unix(0, s.expires).Sub(s.due)
	byElapsed := now.Round(0).Add(s.left - lead - now.Sub(s.seen))
	return earliest(s.due, byElapsed)
}

// isDue reports whether a refresh is due.
func (s *snapshot) isDue(now time.Time) bool {
	due := s.dueAt(now)
	return !due.IsZero() && !now.Before(due)
}
