// Package schedule decides when a session is due, and how long to wait after a failure.
// It reads no clock and keeps no state. All times are wall-clock times.
package schedule

import (
	"hash/maphash"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
)

// Timing is what deciding needs to know of a session.
type Timing struct {
	Issued         time.Time // zero: not known
	Expires        time.Time // zero: not known
	RefreshExpires time.Time // zero: not known
	Hint           time.Time // when the server would have it renewed; zero: it did not say
	Renewable      bool      // there is a refresh token
	Elsewhere      bool      // another program renews it, if any
	Threshold      time.Duration
	Idle           time.Duration // the refresh token dies unused after this; zero: it does not
	Jitter         float64       // in [0,1), fixed for a session in a process
	Latency        time.Duration // how long a refresh takes
	Crowd          time.Duration // how long a rate needs for all sessions of the server; zero: there is none
	Crowded        bool          // many other sessions of the server are due at the same time
	Seldom         bool          // processes look when they happen to run, not when it is due
}

// Lead is how long before expiry a refresh is due: the threshold, or a third of
// the token's life if that is less, so that a short token is not refreshed in a
// loop. A server that takes long to answer is asked earlier: twice as long before
// expiry as its answers take.
//
// Jitter moves it earlier and never later: by at most a tenth, and a sixtieth of what the
// token lives before that, so that it costs the server less than two calls in a hundred.
// Where many sessions are due at once they are spread over half the lead, and where a rate
// is too low for all of them to be renewed in the other half, over as much time as it needs;
// but never over more than half of what the token lives before the lead.
func (t Timing) Lead() time.Duration {
	lead, life := t.Threshold, MaxLife
	if !t.Issued.IsZero() {
		life = max(t.Expires.Sub(t.Issued), 0)
		lead = min(max(min(lead, life/3), 2*t.Latency), life/2)
	}
	lead = min(max(lead, 0), MaxLife)
	spread := min(lead/10, (life-lead)/calls)
	crowd := t.Crowd - lead/2
	if t.Crowded {
		crowd = max(crowd, lead/2)
	}
	spread = max(spread, min(crowd, (life-lead)/2))
	return lead + time.Duration(float64(spread)*t.Jitter)
}

// calls is how many lives of a token jitter may shorten by one call at most.
const calls = 60

// seed makes the jitter of a session another one in each process.
var seed = maphash.MakeSeed()

// JitterOf returns a session's jitter, in [0,1).
func JitterOf(session string) float64 {
	return float64(maphash.String(seed, session)>>11) / (1 << 53)
}

// MaxLife is the longest time that is planned with. What ends later does not end:
// some write "never" as a year, and beyond 2262 nanoseconds overflow.
const MaxLife = 100 * 365 * 24 * time.Hour

// Due is when the session wants attention: a refresh, or, if nothing can renew
// it, the news that it has ended. Zero means not by the clock: the token's end is
// not known, and the server will tell by rejecting it.
func (t Timing) Due() time.Time {
	if !t.Renewable {
		return t.Expires
	}
	var due time.Time
	if !t.Expires.IsZero() {
		due = t.Expires.Add(-t.Lead())
	}
	due = moment.Earlier(due, t.hinted())
	if !t.RefreshExpires.IsZero() {
		due = moment.Earlier(due, t.keepAlive(t.RefreshExpires))
	}
	if t.Idle > 0 && !t.Issued.IsZero() {
		due = moment.Earlier(due, t.keepAlive(t.Issued.Add(t.Idle)))
	}
	return due
}

// hinted is when the server would have the token renewed (refresh_in), earlier by
// jitter, or zero. It only ever makes a renewal due earlier than the token's end does.
// What asks for a new token within a minute would have every command renew, and counts
// as a minute.
func (t Timing) hinted() time.Time {
	if t.Hint.IsZero() || t.Issued.IsZero() {
		return t.Hint
	}
	hint := moment.Later(t.Hint, t.Issued.Add(leastHint))
	return hint.Add(-time.Duration(float64(hint.Sub(t.Issued)/calls) * t.Jitter))
}

// leastHint is the shortest time after which a server can have a token renewed.
const leastHint = time.Minute

// AskAgain is when callers that keep a token should ask for it again: when a renewal
// is due, by whichever program. When another program makes it, its timing is not known
// here; most have the defaults that we have, so the earliest moment counts at which
// a manager with our threshold would renew the pair.
func (t Timing) AskAgain() time.Time {
	if t.Elsewhere {
		t.Renewable, t.Jitter = true, 1
	}
	return t.Due()
}

// keepAlive is when to refresh for the refresh token's own sake: a tenth of its
// life before its end, at most an hour. A process that looks seldom may come only
// once in the second half of its life, so that is when. Where a tenth is a matter of seconds,
// an end that does not move has come close, or there is no time to plan with; then
// the answer is zero.
func (t Timing) keepAlive(end time.Time) time.Time {
	const least = 5 * time.Second
	margin := time.Hour
	if !t.Issued.IsZero() {
		life := end.Sub(t.Issued)
		if margin = min(margin, life/10); margin < least {
			return time.Time{}
		}
		if t.Seldom {
			margin = life / 2
		}
	}
	return end.Add(-margin)
}

// EndingNotice is how long before the refresh token's end people are told:
// three days, or a quarter of its life if that is less.
func (t Timing) EndingNotice() time.Time {
	if t.RefreshExpires.IsZero() {
		return time.Time{}
	}
	notice := 72 * time.Hour
	if !t.Issued.IsZero() {
		notice = min(notice, t.RefreshExpires.Sub(t.Issued)/4)
	}
	return t.RefreshExpires.Add(-notice)
}

const (
	// backoffBase is the wait after a first failure: most interruptions of a
	// network are over within seconds.
	backoffBase = time.Second
	// ReplayWindow bounds how long after the first sending a refresh token whose
	// answer got lost is sent again in quick succession. Servers' grace windows
	// are ten seconds to two minutes; most are thirty.
	ReplayWindow = time.Minute
	// HurryWindow is how long after a spend was announced a process that finds the
	// announcement sends the token again at once, where it is not known how long the server
	// takes it. It is less than what locks of hosts last that cannot renew them.
	HurryWindow = 15 * time.Second
)

// replayDelays are the waits before a token whose outcome is unknown is sent
// again: the first well inside the shortest grace windows, all of them within
// fifteen seconds. Where a longer grace window is known, the last one repeats.
var replayDelays = [...]time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}

// ReplayWait is how long to wait before the replay with this number, from 0, of a
// refresh token whose outcome is unknown, this long after it was sent first. It
// reports false when there is to be no more in the flight.
//
// grace is how long the server takes a token again that it has spent; zero: not
// known; less: not at all, and there are no replays. Otherwise replays go on until a tenth of it is left, and no longer, since after
// that they may count as theft. The first is made in any case: the answer may have
// taken long because the request did.
func ReplayWait(replay int, since, grace time.Duration) (wait time.Duration, again bool) {
	last := len(replayDelays) - 1
	wait = replayDelays[min(replay, last)]
	switch {
	case grace < 0, since > ReplayWindow:
		return 0, false
	case grace == 0:
		return wait, replay <= last
	case replay == 0:
		return wait, true
	}
	left := min(grace-grace/10, ReplayWindow) - since
	return min(wait, left), left >= replayDelays[0]
}

// LastChances are how long after the first sending of a refresh token that is still being
// worked on, for all that is known, it is sent again: when two tenths are left of a grace
// that is known, and when one is, should the answer to the former be lost. Where no grace
// is known there are none, since the server may take another sending for theft; the answer
// is waited for instead.
func LastChances(grace time.Duration) []time.Duration {
	if grace <= 0 {
		return nil
	}
	return []time.Duration{grace - grace/5, grace - grace/10}
}

// ReplayLimit is how long after it was sent first a refresh token whose outcome is
// unknown is sent again, given the server's grace as for ReplayWait.
func ReplayLimit(grace time.Duration) time.Duration {
	if grace > 0 {
		return min(grace-grace/10, ReplayWindow)
	}
	var limit time.Duration
	for _, delay := range replayDelays {
		limit += delay
	}
	return limit
}

// Backoff is the wait after the given number of failures in a row: doubling from
// backoffBase up to limit, and of that between a half and the whole, as jitter in
// [0,1) says, so that clients of one server do not return all at once.
func Backoff(failures int, limit time.Duration, jitter float64) time.Duration {
	wait := limit
	if shift := failures - 1; shift < 30 {
		wait = min(limit, backoffBase<<max(shift, 0))
	}
	return wait/2 + time.Duration(float64(wait/2)*jitter)
}

// FallingWait is how long to wait after trouble that has lasted so long: as long again,
// but no less than a check interval and no more than limit.
func FallingWait(lasted, interval, limit time.Duration) time.Duration {
	return min(max(lasted, interval), max(limit, interval))
}

// While callers wait for a server that is in trouble, it gets a request every second or
// so, so that they are served within two seconds of its return; with the least pause
// sixty in a minute.
const (
	// ProbePause is the least time between two of those requests.
	ProbePause = time.Second
	// probeJitter is how much longer it may be.
	probeJitter = 300 * time.Millisecond
)

// ProbeWait is how long after such a request the next one is made, as jitter in [0,1)
// says.
func ProbeWait(jitter float64) time.Duration {
	return ProbePause + time.Duration(float64(probeJitter)*jitter)
}

// LastSecond is how long before a token's death it is tried to be renewed in any case,
// given how long answers take: a server that is back by then stalls no caller.
func LastSecond(latency time.Duration) time.Duration { return max(time.Second, 2*latency) }

// LastAttempt is when that attempt begins for a token that dies at a time.
func LastAttempt(dies moment.Instant, latency time.Duration, jitter float64) moment.Instant {
	return dies.Add(-LastSecond(latency) + 20*time.Millisecond + time.Duration(jitter*float64(60*time.Millisecond)))
}

const (
	// Slowly is how many check intervals pass between attempts where a person has to
	// do something first, and how long a refusal has to last before it is suspected to
	// be about the session: deployments and throttling are over by then.
	Slowly = 10
	// StoreTimeout bounds a single call of a Store. A disk that takes longer is not
	// going to answer, and callers are waiting.
	StoreTimeout = 10 * time.Second
)
