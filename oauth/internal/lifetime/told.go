package lifetime

import (
	"encoding/json"
	"time"

	"github.com/evertoken/evertoken/internal/member"
)

// earliestEnd returns the shortest life that can be believed of those that the answer
// tells, and whether it tells any: a token that is renewed too early costs a request,
// one that is renewed too late costs a call. The life is zero if none is believable.
// guess is for told.
func earliestEnd(fields member.Fields, owners []string, guess bool, now time.Time) (life time.Duration, isTold bool) {
	for name, raw := range fields {
		u, isEnd := endWord(name, owners)
		if !isEnd || string(raw) == "null" {
			continue
		}
		isTold = true
		if one, known := told(raw, u, guess, now); known && (life == 0 || one < life) {
			life = one
		}
	}
	return life, isTold
}

// told reads a member that tells an end: a number from now, a time since 1970 in
// seconds or smaller units, or a life or a time in words. Times are taken relative to
// now, which is the server's own Date, so that clock skew cancels out. With guess a
// number that could be seconds may be taken for milliseconds.
func told(raw json.RawMessage, u unit, guess bool, now time.Time) (time.Duration, bool) {
	raw = member.TimeInside(raw)
	n, isNumber := member.Seconds(raw)
	if !isNumber {
		return lifeInWords(member.Text(raw), now)
	}
	if u == aTime {
		if life, known := untilUnix(n, now); known {
			return life, true
		}
		u = inSeconds
	}
	unit := u.named()
	switch {
	case unit > 0 && n <= int64(Max/unit):
	case u != inMilliseconds && (u == inSeconds && guess && likelyMilliseconds(n) || !Believable(n) && onlyMilliseconds(n)):
		unit = time.Millisecond
	case Believable(n):
		unit = time.Second
	default:
		return 0, false
	}
	life := time.Duration(n) * unit
	return life, BelievableLife(life)
}

func lifeInWords(text string, now time.Time) (time.Duration, bool) {
	if life, ok := InWords(text); ok {
		return life, true
	}
	when, ok := member.TimeInWords(text)
	life := when.Sub(now)
	return life, ok && BelievableLife(life)
}

// untilUnix reads n as a time since 1970, in seconds or the next smaller units, if it is
// too much for a life in seconds.
func untilUnix(n int64, now time.Time) (time.Duration, bool) {
	for _, when := range []time.Time{
		time.Unix(min(n, member.MaxUnix), 0), time.UnixMilli(min(n, 1000*member.MaxUnix)), time.UnixMicro(min(n, 1_000_000*member.MaxUnix)), time.Unix(0, n),
	} {
		if life := when.Sub(now); n > int64(Max/time.Second) && BelievableLife(life) {
			return life, true
		}
	}
	return 0, false
}

// likelyMilliseconds reports whether n, which could be seconds, is meant in
// milliseconds: whole minutes between five and a day's in these, and no whole days
// in seconds, which lives of a week and more are, unless it is whole hours: 3600000 is
// an hour and not 41 days and 16 hours, and 86400000 is a day. To be wrong
// costs a request too many for an access token; of a refresh token it would announce an
// end that does not come.
func likelyMilliseconds(n int64) bool {
	return n >= 300_000 && n <= 86_400_000 && n%60_000 == 0 && (n%86_400 != 0 || n%3_600_000 == 0)
}

// onlyMilliseconds reports whether n, more seconds than can be believed, can be
// milliseconds: whole minutes and a year at most. 5000000000, seen for five seconds in
// nanoseconds, is not.
func onlyMilliseconds(n int64) bool {
	return n%60_000 == 0 && n <= 366*86_400_000
}
