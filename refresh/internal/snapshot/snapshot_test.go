package snapshot

import (
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
)

// A snapshot that is made again, ten minutes after the first and of the same token, which
// has an hour to live.
func TestATokensEndStaysWhateverTheClockWasSetTo(t *testing.T) {
	const life, passed, set = time.Hour, 10 * time.Minute, 7 * time.Minute
	for name, tt := range map[string]struct {
		set   time.Duration // by which the wall clock was set in between
		moved time.Duration // by which the pair's times are later than the first time
		mono  time.Duration // how long it lives from now on by the monotonic clock
		wall  time.Duration // and by the wall clock
	}{
		"not at all":                     {0, 0, life - passed, life - passed},
		"forward":                        {set, 0, life - passed, life - passed - set},
		"back":                           {-set, 0, life - passed, life - passed + set},
		"forward, which the Store knows": {set, set, life - passed, life - passed},
		"back, which the Store knows":    {-set, -set, life - passed, life - passed},
		"not at all, and the first time was wrong": {0, -set, life - passed - set, life - passed - set},
		"not at all, and it is said to live on":    {0, set, life - passed, life - passed + set},
	} {
		t.Run(name, func(t *testing.T) {
			begun := moment.Of(time.Now())
			made := func(now moment.Instant, moved time.Duration) *Snapshot {
				issued := begun.Wall().Add(moved)
				timing := schedule.Timing{Issued: issued, Expires: issued.Add(life), Renewable: true, Threshold: 5 * time.Minute}
				return New(&oauth.TokenPair{AccessToken: "a", IssuedAt: issued, ExpiresAt: issued.Add(life)}, timing, 1, now)
			}
			now := begun.Add(passed)
			now = now.Add(tt.set).AddMono(-tt.set)
			s := made(now, tt.moved)
			s.EndsBy(made(begun, 0).Ends())
			if mono, wall := s.Ends().Since(now), s.Ends().Wall().Sub(now.Wall()); mono != tt.mono || wall != tt.wall {
				t.Errorf("it ends in %v by the monotonic clock and %v by the wall; want %v and %v", mono, wall, tt.mono, tt.wall)
			}
			const before = 5 * time.Minute
			if mono, wall := s.ask.Since(now), s.ask.Wall().Sub(now.Wall()); mono != tt.mono-before || wall != tt.wall-before {
				t.Errorf("caches ask again in %v and %v; want %v and %v", mono, wall, tt.mono-before, tt.wall-before)
			}
			if last := now.Add(min(tt.mono, tt.wall)); !s.Alive(last.Add(-1)) || s.Alive(last) {
				t.Error("it does not live until its end")
			}
		})
	}
}

func TestATokenThatNobodyAsksForAheadIsNotAskedForByItsEnd(t *testing.T) {
	now := moment.Of(time.Now())
	made := func(life time.Duration) *Snapshot {
		return New(&oauth.TokenPair{AccessToken: "a", IssuedAt: now.Wall(), ExpiresAt: now.Wall().Add(life)}, schedule.Timing{}, 1, now)
	}
	s := made(time.Hour)
	s.EndsBy(made(time.Minute).Ends())
	if !s.ask.IsZero() {
		t.Errorf("caches ask again in %v", s.ask.Since(now))
	}
}

// A snapshot of a token whose end is not known is made again after three hours, in which the
// clock was set back by six. Its refresh token had four.
func TestWhatIsDueStaysDueWhateverTheClockWasSetTo(t *testing.T) {
	begun := moment.Of(time.Now())
	for name, issued := range map[string]time.Time{"issued when it was seen": begun.Wall(), "issued at a time that is not known": {}} {
		t.Run(name, func(t *testing.T) {
			pair := oauth.TokenPair{AccessToken: "a", RefreshToken: "r", IssuedAt: issued, RefreshExpiresAt: begun.Wall().Add(4 * time.Hour)}
			timing := schedule.Timing{Issued: issued, RefreshExpires: pair.RefreshExpiresAt, Renewable: true}
			made := func(now moment.Instant) *Snapshot { p := pair; return New(&p, timing, 1, now) }
			now := begun.Add(3*time.Hour - 6*time.Hour).AddMono(6 * time.Hour)
			first, s := made(begun), made(now)
			s.SeenAt(first.Seen())
			for what, left := range map[string][2]time.Duration{
				"the renewal": {first.Due.Sub(begun.Wall()), s.DueAt(now).Sub(now.Wall())},
				"the notice":  {first.Ending.Sub(begun.Wall()), s.EndingAt(now).Sub(now.Wall())},
				"caches' ask": {first.ask.Since(begun), s.ask.Since(now)},
			} {
				if left[0]-left[1] != 3*time.Hour {
					t.Errorf("%s: %v were left, and %v are, three hours later", what, left[0], left[1])
				}
			}
			if s.Seen() != first.Seen() {
				t.Error("a third one would count from now")
			}
		})
	}
}
