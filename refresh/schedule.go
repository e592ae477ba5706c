package refresh

import (
	"hash/maphash"
	"time"

	"github.com/evertoken/evertoken/oauth"
)

// This file decides when; it reads no clock and keeps no state. All times are
// wall-clock times.

// timing is what deciding needs to know of a session.
type timing struct {
	issued         time.Time // zero: not known
	expires        time.Time // zero: not known
	refreshExpires time.Time // zero: not known
	hint           time.Time // when the server would have it renewed; zero: it did not say
	renewable      bool      // there is a refresh token
	elsewhere      bool      // another program renews it, if any
	threshold      time.Duration
	idle           time.Duration // the refresh token dies unused after this; zero: it does not
	jitter         float64       // in [0,1), fixed for a session in a process
	latency        time.Duration // how long a refresh takes
	crowd          time.Duration // how long it takes to refresh all sessions of the server
	pooled         bool          // the session is one of many
	seldom         bool          // nobody looks when it is due, but whenever a process happens to run
}

// timing returns what the configuration and the pair alone say.
func (s *setup) timing(pair *oauth.TokenPair) timing {
	return timing{
		issued:         pair.IssuedAt,
		expires:        pair.ExpiresAt,
		refreshExpires: pair.RefreshExpiresAt,
		hint:           pair.RefreshAt,
		renewable:      !s.Follower && s.renews(pair),
		elsewhere:      s.Follower || s.Renewal == RenewNever,
		threshold:      s.RefreshThreshold,
		idle:           s.RefreshIdleLimit,
		seldom:         s.ShortLived,
	}
}

// lead is how long before expiry a refresh is due: the threshold, or a third of
// the token's life if that is less, so that a short token is not refreshed in a
// loop. A server that takes long to answer is asked earlier: twice as long before
// expiry as its answers take.
//
// Jitter moves it earlier by at most a tenth; it never makes it later. The sessions
// of a pool may expire all at once: they are spread over half the lead, or over as
// much time as the permitted rate needs for all of them, but never over more than
// half of what the token lives before that.
func (t timing) lead() time.Duration {
	lead, life := t.threshold, maxLife
	if !t.issued.IsZero() {
		life = max(t.expires.Sub(t.issued), 0)
		lead = min(max(min(lead, life/3), 2*t.latency), life/2)
	}
	lead = min(max(lead, 0), maxLife)
	spread := lead / 10
	if t.pooled {
		spread = max(min(max(lead/2, t.crowd), (life-lead)/2), spread)
	}
	return lead + time.Duration(float64(spread)*t.jitter)
}

// seed makes the jitter of a session another one in each process.
var seed = maphash.MakeSeed()

// jitterOf returns a session's jitter, in [0,1).
func jitterOf(session string) float64 {
	return float64(maphash.String(seed, session)>>11) / (1 << 53)
}

// maxLife is the longest time that is planned with. What ends later does not end:
// some write "never" as a year, and beyond 2262 nanoseconds overflow.
const maxLife = 100 * 365 * 24 * time.Hour

// due is when the session wants attention: a refresh, or, if nothing can renew
// it, the news that it has ended. Zero means not by the clock: the token's end is
// not known, and the server will tell by rejecting it.
func (t timing) due() time.Time {
	if !t.renewable {
		return t.expires
	}
	var due time.Time
	if !t.expires.IsZero() {
		due = t.expires.Add(-t.lead())
	}
	due = earliest(due, t.hinted())
	if !t.refreshExpires.IsZero() {
		due = earliest(due, t.keepAlive(t.refreshExpires))
	}
	if t.idle > 0 && !t.issued.IsZero() {
		due = earliest(due, t.keepAlive(t.issued.Add(t.idle)))
	}
	return due
}

// hinted is when the server would have the token renewed (refresh_in), earlier by
// jitter, or zero. It only ever makes a renewal due earlier than the token's end does.
// What asks for a new token within a minute would have every command renew, and counts
// as a minute.
func (t timing) hinted() time.Time {
	if t.hint.IsZero() || t.issued.IsZero() {
		return t.hint
	}
	hint := later(t.hint, t.issued.Add(leastHint))
	return hint.Add(-time.Duration(float64(hint.Sub(t.issued)/10) * t.jitter))
}

// leastHint is the shortest time after which a server can have a token renewed.
const leastHint = time.Minute

// keepAlive is when to refresh for the refresh token's own sake: a tenth of its
// life before its end, at most an hour. Who looks seldom may come only once in the
// second half of its life, so that is when. Where a tenth is a matter of seconds,
// an end that does not move has come close, or there is no time to plan with; then
// the answer is zero.
func (t timing) keepAlive(end time.Time) time.Time {
	const least = 5 * time.Second
	margin := time.Hour
	if !t.issued.IsZero() {
		life := end.Sub(t.issued)
		if margin = min(margin, life/10); margin < least {
			return time.Time{}
		}
		if t.seldom {
			margin = life / 2
		}
	}
	return end.Add(-margin)
}

// endingNotice is how long before the refresh token's end people are told:
// three days, or a quarter of its life if that is less.
func (t timing) endingNotice() time.Time {
	if t.refreshExpires.IsZero() {
		return time.Time{}
	}
	notice := 72 * time.Hour
	if !t.issued.IsZero() {
		notice = min(notice, t.refreshExpires.Sub(t.issued)/4)
	}
	return t.refreshExpires.Add(-notice)
}

// nextWake is when to look again: at the earliest of the given times that are
// not zero, but no later than interval from now, and no earlier than now.
func nextWake(now time.Time, interval time.Duration, times ...time.Time) time.Time {
	wake := now.Add(interval)
	for _, t := range times {
		wake = earliest(wake, t)
	}
	if wake.Before(now) {
		return now
	}
	return wake
}

// remaining is how much is left of a wait until at, which is zero or a reading of
// the clock that now is a reading of: less than nothing if it is over. It is over
// when the wall clock says so, which goes on while a machine sleeps, or when the
// monotonic clock does, which nobody sets back.
func remaining(now, at time.Time) time.Duration {
	return min(at.Sub(now), at.Round(0).Sub(now.Round(0)))
}

// earliest returns the earlier of two times, ignoring zero ones.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

const (
	// backoffBase is the wait after a first failure: most interruptions of a
	// network are over within seconds.
	backoffBase = time.Second
	// replayWindow bounds how long after the first sending a refresh token whose
	// answer got lost is sent again in quick succession. Servers' grace windows
	// are ten seconds to two minutes; most are thirty.
	replayWindow = time.Minute
)

// replayDelays are the waits before a token whose outcome is unknown is sent
// again: the first well inside the shortest grace windows, all of them within
// fifteen seconds. Where a longer grace window is known, the last one repeats.
var replayDelays = [...]time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}

// replayWait is how long to wait before the replay with this number, from 0, of a
// refresh token whose outcome is unknown, this long after it was sent first. It
// reports false when there is to be no more in the flight.
//
// grace is how long the server takes a token again that it has spent; zero: not
// known. Replays go on until a tenth of it is left, and no longer, since after
// that they may count as theft. The first is made in any case: the answer may have
// taken long because the request did.
func replayWait(replay int, since, grace time.Duration) (wait time.Duration, again bool) {
	last := len(replayDelays) - 1
	wait = replayDelays[min(replay, last)]
	switch {
	case since > replayWindow:
		return 0, false
	case grace <= 0:
		return wait, replay <= last
	case replay == 0:
		return wait, true
	}
	left := min(grace-grace/10, replayWindow) - since
	return min(wait, left), left >= replayDelays[0]
}

// backoff is the wait after the given number of failures in a row: doubling from
// backoffBase up to limit, and of that between a half and the whole, as jitter in
// [0,1) says, so that clients of one server do not return all at once.
func backoff(failures int, limit time.Duration, jitter float64) time.Duration {
	wait := limit
	if shift := failures - 1; shift < 30 {
		wait = min(limit, backoffBase<<max(shift, 0))
	}
	return wait/2 + time.Duration(float64(wait/2)*jitter)
}
