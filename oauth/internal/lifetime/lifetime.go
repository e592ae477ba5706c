// Package lifetime finds out how long tokens are good, from whatever a server says of
// it. All lives are weighed at a moment called now: the server's own clock when it
// answered, without the monotonic reading.
package lifetime

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/member"
)

// OfAccess weighs the evidence for the access token's life: what the answer says
// about its end, the configured default, the token's own claims if it is a JWT. Zero
// and absurd values of expires_in say nothing; a negative one (seen on replays) says
// that the token is already dead.
func OfAccess(fields member.Fields, token string, fallback time.Duration, now time.Time) (time.Duration, bool) {
	if seconds, _ := fields.Seconds("expires_in"); seconds < 0 {
		return 0, true
	}
	if life, _ := earliestEnd(fields, AccessOwners, true, now); life > 0 {
		return life, true
	}
	if fallback > 0 {
		return fallback, true
	}
	if life, known := OfJWT(token, now); known {
		return life, true
	}
	// Entra's extended life, for when the server is down: it counts only
	// without another end.
	return told(fields["ext_expires_in"], inSeconds, false, now)
}

// OfRefresh looks for the refresh token's life under the names servers use,
// then in the token itself. Keycloak's refresh_expires_in of 0 means that it does not
// end, whatever the token says.
func OfRefresh(fields member.Fields, token string, now time.Time) (time.Duration, bool) {
	if life, isTold := earliestEnd(fields, RefreshOwners, false, now); isTold {
		return life, life > 0
	}
	return OfJWT(token, now)
}

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

// The names of a token's end are made of whose end it is and of a word for it, in
// any case and with any separators: expires_in, accessTokenExpiresAt,
// x_refresh_token_expires_in, refresh_token_expiration, rt_expires_in.
var (
	AccessOwners  = []string{"", "token", "access", "accesstoken"}
	RefreshOwners = []string{"refresh", "refreshtoken", "rt", "xrefreshtoken"}

	endWords = map[string]unit{
		"expiresin": inSeconds, "expirein": inSeconds, "lifetime": inSeconds, "ttl": inSeconds, "maxage": inSeconds,
		"validity": inSeconds, "validfor": inSeconds,
		"expires": aTime, "expire": aTime, "expiresat": aTime, "expireat": aTime, "expireson": aTime, "expireon": aTime,
		"expiration": aTime, "expirationtime": aTime, "expirationdate": aTime, "expiry": aTime, "expirytime": aTime,
		"expirydate": aTime, "exp": aTime, "validuntil": aTime, "validto": aTime, "expiretime": aTime, "expirestime": aTime,
		"expiresdate": aTime, "expiredate": aTime, "expirestimestamp": aTime, "expirationtimestamp": aTime, "expirytimestamp": aTime,
		"expiresatutc": aTime, "expiresutc": aTime, "expirationutc": aTime, "expiresatms": aTime, "expiresattimestamp": aTime,
		"expiresinsec": surelySeconds, "expiresinsecs": surelySeconds, "expiresinseconds": surelySeconds,
		"lifetimeseconds": surelySeconds, "lifetimesec": surelySeconds,
		"expiresinms": inMilliseconds, "expiresinmillis": inMilliseconds, "expiresinmilliseconds": inMilliseconds,
		"lifetimems": inMilliseconds, "expiresinminutes": inMinutes, "expiresinmin": inMinutes, "expiresinmins": inMinutes,
		"expiresinhours": inHours, "expiresindays": inDays,
	}
)

// A unit is what a number is taken for.
type unit uint8

const (
	inSeconds      unit = iota // from now, as RFC 6749 wants it, unless it can only be meant otherwise
	aTime                      // since 1970, or from now if it is too small for that
	surelySeconds              // from now; the name says so
	inMilliseconds             // the same
	inMinutes
	inHours
	inDays
)

// named returns the unit that the name of a member tells, or zero.
func (u unit) named() time.Duration {
	switch u {
	case surelySeconds:
		return time.Second
	case inMilliseconds:
		return time.Millisecond
	case inMinutes:
		return time.Minute
	case inHours:
		return time.Hour
	case inDays:
		return Day
	}
	return 0
}

// endWord returns how the member name tells the end of a token of one of owners.
func endWord(name string, owners []string) (unit, bool) {
	if slices.Contains(member.ResponseNames, name) && name != "expires_in" {
		return 0, false
	}
	letters := member.Letters(name)
	for _, owner := range owners {
		if word, ours := strings.CutPrefix(letters, owner); ours {
			if u, known := endWords[word]; known {
				return u, true
			}
			if u, known := withUnit(word); known {
				return u, true
			}
		}
	}
	return 0, false
}

// UnitWords are the words for a unit at the end of a name, by those of the names above.
var UnitWords = map[string]string{
	"ms": "ms", "msec": "ms", "msecs": "ms", "millis": "ms", "milliseconds": "ms",
	"sec": "seconds", "secs": "seconds", "seconds": "seconds", "min": "minutes", "mins": "minutes", "minutes": "minutes",
	"hour": "hours", "hours": "hours", "hrs": "hours", "day": "days", "days": "days",
}

// withUnit reads a word for an end with a unit behind it: ttl_minutes, validity_in_hours.
// Behind a word for a time, seconds and less are those since 1970.
func withUnit(word string) (unit, bool) {
	for suffix, unitWord := range UnitWords {
		base, has := strings.CutSuffix(word, suffix)
		u, known := endWords[base]
		if !known {
			u, known = endWords[strings.TrimSuffix(base, "in")]
		}
		if !has || !known {
			continue
		}
		if u == aTime && (unitWord == "ms" || unitWord == "seconds") {
			return aTime, true
		}
		return endWords["expiresin"+unitWord], true
	}
	return 0, false
}

// Day is a day of 24 hours.
const Day = 24 * time.Hour

// Max is the longest access-token or refresh-token life believed. A
// longer one is a unit error (nanoseconds were seen: 5000000000 for 5 s) or
// means "never", and in both cases the number says nothing about the end.
const Max = 10 * 365 * 24 * time.Hour

// Believable reports whether a life of so many seconds can be meant.
func Believable(seconds int64) bool {
	return seconds > 0 && seconds <= int64(Max/time.Second)
}

// BelievableLife is Believable for what is known more exactly.
func BelievableLife(life time.Duration) bool { return life > 0 && life <= Max }

// OfJWT returns how long an unverified JWT is good for. Many tell exp alone: that counts
// from now, which is the server's Date, and so with a token that was issued long before
// it was sent, as from a cache. Otherwise it is exp − iat, which is free of clock skew.
// Without iat the time before which the token is not good (nbf, which some set back for
// the sake of clocks that are behind), or that of its first issue (orig_iat, as gin-jwt
// writes it), bounds the life, and is the life where the clocks differ too much. It is a
// hint for planning only: a client must not rely on reading a token that is meant for a
// resource server (RFC 9068 section 6).
func OfJWT(token string, now time.Time) (time.Duration, bool) {
	_, claims := member.JWT(token)
	end := claims.Unix("exp")
	if end.IsZero() {
		return 0, false
	}
	left := end.Sub(now)
	for _, name := range []string{"iat", "nbf", "orig_iat"} {
		begin := claims.Unix(name)
		if begin.IsZero() {
			continue
		}
		life := end.Sub(begin)
		switch {
		case !BelievableLife(left), name == "iat" && life-left <= Leeway:
			return life, BelievableLife(life)
		case BelievableLife(life):
			return min(left, life), true
		}
		break
	}
	return left, BelievableLife(left)
}

// Leeway is the difference of clocks that is put up with. The server's
// own Date is what times are compared with, so it covers servers without one, and
// a token endpoint whose clock differs from that of the proxy before it.
const Leeway = 5 * time.Minute

// durationUnit returns the unit of a life in words, or zero. An s behind a word does
// not matter.
func durationUnit(word string) time.Duration {
	if len(word) > 1 && word != "ms" {
		word = strings.TrimSuffix(word, "s")
	}
	switch word {
	case "ms", "milli", "millisecond":
		return time.Millisecond
	case "s", "sec", "second":
		return time.Second
	case "m", "min", "minute":
		return time.Minute
	case "h", "hr", "hour":
		return time.Hour
	case "d", "day":
		return Day
	case "w", "week":
		return 7 * Day
	case "month":
		return 30 * Day
	case "y", "yr", "year":
		return 365 * Day
	}
	return 0
}

// InWords reads a life as jsonwebtoken and Go write it (15m, 7 days, 1h30m0s),
// as ISO 8601 does (PT1H), and .NET (1.00:30:00).
func InWords(text string) (time.Duration, bool) {
	text = strings.ToLower(strings.TrimSpace(text))
	if period, iso := strings.CutPrefix(text, "p"); iso {
		days, clock, _ := strings.Cut(period, "t")
		days = strings.Replace(days, "m", "month", 1) // before the T, M means month
		return addUp(days + clock)
	}
	if strings.Contains(text, ":") {
		return clockTime(text)
	}
	return addUp(text)
}

// addUp returns the sum of numbers with units. Each has to have one.
func addUp(text string) (sum time.Duration, ok bool) {
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimLeft(text, " ,") {
		number := text[:len(text)-len(strings.TrimLeft(text, "0123456789."))]
		text = strings.TrimLeft(text[len(number):], " ")
		word := text[:len(text)-len(strings.TrimLeft(text, "abcdefghijklmnopqrstuvwxyz"))]
		text = text[len(word):]
		unit := durationUnit(word)
		n, err := strconv.ParseFloat(number, 64)
		if unit == 0 || err != nil || n > float64(Max/unit) {
			return 0, false
		}
		sum += time.Duration(n * float64(unit))
	}
	return sum, BelievableLife(sum)
}

// clockTime reads hours, minutes and seconds, with days before a dot.
func clockTime(text string) (time.Duration, bool) {
	var days string
	if dot := strings.IndexByte(text, '.'); dot >= 0 && dot < strings.IndexByte(text, ':') {
		days, text = text[:dot]+"d", text[dot+1:]
	}
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return 0, false
	}
	return addUp(days + parts[0] + "h" + parts[1] + "m" + parts[2] + "s")
}

// SavedEnd returns the earliest end that is told for a token of one of owners: as a
// time, or as a life since issued if that is known.
func SavedEnd(fields member.Fields, owners []string, issued time.Time) (end time.Time) {
	for name, raw := range fields {
		u, isEnd := endWord(name, owners)
		if !isEnd {
			continue
		}
		at := SavedTime(raw)
		if life, known := told(raw, u, false, issued); at.IsZero() && known && !issued.IsZero() {
			at = issued.Add(life)
		}
		if !at.IsZero() && (end.IsZero() || at.Before(end)) {
			end = at
		}
	}
	return end
}

// SavedTime reads a time since 1970, in seconds or smaller units, or in words. It can be
// over. Zero means that there is none.
func SavedTime(raw json.RawMessage) time.Time {
	raw = member.TimeInside(raw)
	n, isNumber := member.Seconds(raw)
	switch {
	case !isNumber:
		return member.InRange(member.TimeInWords(member.Text(raw))).UTC()
	case n <= int64(Max/time.Second): // a life
		return time.Time{}
	case n <= member.MaxUnixSeconds:
		return time.Unix(n, 0).UTC()
	case n <= 1000*member.MaxUnixSeconds:
		return time.UnixMilli(n).UTC()
	case n <= 1_000_000*member.MaxUnixSeconds:
		return time.UnixMicro(n).UTC()
	}
	return time.Unix(0, n).UTC()
}
