// Package lifetime finds out how long tokens are good, from whatever a server says of
// it. All lives are weighed at a moment called now: the server's own clock when it
// answered, without the monotonic reading. Only the end that a token alone tells is
// compared with our clock, too.
package lifetime

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/member"
)

// Clocks are by what a life is weighed.
type Clocks struct {
	Server time.Time // by the answer's Date
	Ours   time.Time
	Dated  bool // the answer has a Date; otherwise Server is our own clock, too
}

// OfAccess is Clocks.OfAccess where all is weighed at one moment.
func OfAccess(fields member.Fields, token string, fallback time.Duration, now time.Time) (time.Duration, bool) {
	return Clocks{now, now, true}.OfAccess(fields, token, fallback)
}

// OfRefresh is Clocks.OfRefresh where all is weighed at one moment.
func OfRefresh(fields member.Fields, token string, now time.Time) (time.Duration, bool) {
	return Clocks{now, now, true}.OfRefresh(fields, token)
}

// OfAccess weighs the evidence for the access token's life: what the answer says
// about its end, the configured default, the token's own claims if it is a JWT. Zero, −1,
// which many write for a token without an end, and absurd values of expires_in say
// nothing. Another negative one, seen on replays, says that the token is already dead;
// a JWT tells for itself whether it is.
func (c Clocks) OfAccess(fields member.Fields, token string, fallback time.Duration) (time.Duration, bool) {
	claimed, isClaimed := c.OfJWT(token)
	if seconds, _ := fields.Seconds("expires_in"); seconds < 0 {
		end := claimedEnd(token)
		switch {
		case end.After(c.Server) && isClaimed:
			return claimed, true
		case !end.IsZero(), seconds < -1:
			return 0, true
		}
	}
	by := reader{now: c.Server, claimed: claimed, own: c.ownLife(token), guess: true}
	if life, _ := by.earliestEnd(fields, AccessOwners); life > 0 {
		return life, true
	}
	switch {
	case fallback > 0:
		return fallback, true
	case isClaimed:
		return claimed, true
	}
	// Entra's extended life, for when the server is down: it counts only
	// without another end.
	by.guess = false
	return by.told(fields["ext_expires_in"], inSeconds)
}

// OfRefresh looks for the refresh token's life under the names servers use,
// then in the token itself. Keycloak's refresh_expires_in of 0 means that it does not
// end, whatever the token says.
func (c Clocks) OfRefresh(fields member.Fields, token string) (time.Duration, bool) {
	claimed, isClaimed := c.OfJWT(token)
	if life, isTold := (reader{now: c.Server, claimed: claimed, own: c.ownLife(token)}).earliestEnd(fields, RefreshOwners); isTold {
		return life, life > 0
	}
	return claimed, isClaimed
}

// A reader reads what an answer tells of the end of a token.
type reader struct {
	now     time.Time     // the server's clock, so that clock skew cancels out
	claimed time.Duration // the life that the token tells itself, or zero
	own     time.Duration // the same where no clock of ours is needed for it
	guess   bool          // a number that could be seconds may be taken for milliseconds
}

// earliestEnd returns the shortest life that can be believed of those that the answer
// tells, and whether it tells any: a token that is renewed too early costs a request,
// one that is renewed too late costs a call. The life is zero if none is believable.
// Words that can be about anything else, a ttl or a max_age, count where there is no
// expires_in.
func (r reader) earliestEnd(fields member.Fields, owners []string) (life time.Duration, isTold bool) {
	var loose time.Duration
	standard := false
	for name, raw := range fields {
		u, isEnd := endWord(name, owners)
		if !isEnd || string(raw) == "null" {
			continue
		}
		isTold = true
		one, known := r.told(raw, u)
		switch {
		case !known:
		case isLoose(name):
			loose = shorter(loose, one)
		default:
			life, standard = shorter(life, one), standard || member.Letters(name) == "expiresin"
		}
	}
	if !standard {
		life = shorter(life, loose)
	}
	return life, isTold
}

// shorter returns the shorter one of two lives, where zero means unknown.
func shorter(a, b time.Duration) time.Duration {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// told reads a member that tells an end: a number from now, a time since 1970 in
// seconds or smaller units, or a life or a time in words.
func (r reader) told(raw json.RawMessage, u unit) (time.Duration, bool) {
	raw = member.TimeInside(raw)
	n, isNumber := member.Seconds(raw)
	if !isNumber {
		return r.lifeInWords(member.Text(raw))
	}
	if u == aTime {
		if life, known := untilUnix(n, r.now); known {
			return life, true
		}
		u = inSeconds
	}
	unit := u.named()
	switch {
	case unit > 0 && n <= int64(Max/unit):
	case u == inSeconds && r.meansMilliseconds(n), u != inMilliseconds && !Believable(n) && onlyMilliseconds(n, time.Hour):
		unit = time.Millisecond
	case Believable(n):
		unit = time.Second
	case n%int64(time.Minute) == 0: // whole minutes in nanoseconds: 1800000000000 is half an hour, and no time in 2027
		return 0, false
	default:
		if life, known := untilUnix(n, r.now); known || u == inMilliseconds || !onlyMilliseconds(n, time.Minute) {
			return life, known
		}
		unit = time.Millisecond
	}
	life := time.Duration(n) * unit
	return life, BelievableLife(life)
}

// lifeInWords reads a text. A time without a zone can be late by as much as the server's
// zone is ahead of UTC, but not later than the token's own end.
func (r reader) lifeInWords(text string) (time.Duration, bool) {
	if life, ok := InWords(text); ok {
		return life, true
	}
	when, ok := member.TimeInWords(text)
	life := when.Sub(r.now)
	if r.claimed > 0 && r.claimed < life && member.IsZoneless(text) {
		life = r.claimed
	}
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

// meansMilliseconds reports whether n, which could be seconds, is meant in milliseconds. A
// token that tells its own life decides. Without one, to be wrong costs a request too
// many for an access token; of a refresh token it would announce an end that does not
// come, so that there only whole days count that would be thousands of them in seconds.
func (r reader) meansMilliseconds(n int64) bool {
	if !Believable(n) {
		return false
	}
	if r.own > 0 {
		switch seconds := time.Duration(n) * time.Second; {
		case isNear(seconds, r.own):
			return false
		case isNear(seconds/1000, r.own):
			return true
		}
	}
	if r.guess {
		return likelyMilliseconds(n)
	}
	return n > 86_400_000 && n%86_400_000 == 0
}

// isNear reports whether two lives are of one size: one may have gone on for a while.
func isNear(a, b time.Duration) bool { return a/2 < b && b/2 < a }

// likelyMilliseconds reports whether n is whole minutes in milliseconds, five at least, and no whole
// days in seconds, which lives of a week and more are, unless it is whole hours: 3600000
// is an hour and not 41 days and 16 hours, and 172800000 is two days and not 2000.
// 157680000 is five years. Above a year it can be what is left of a life, 172799000:
// whole seconds in milliseconds, but neither whole hours in seconds nor a round number.
func likelyMilliseconds(n int64) bool {
	if n%60_000 == 0 {
		return n >= 300_000 && (n%86_400 != 0 || n%3_600_000 == 0)
	}
	return n > 366*86_400 && n%1000 == 0 && n%3600 != 0 && n%1_000_000 != 0
}

// onlyMilliseconds reports whether n, more seconds than can be believed, can be
// milliseconds: whole hours or minutes, and a year at most. 5000000000, seen for five
// seconds in nanoseconds, is not. Whole hours come before a time since 1970, since
// 1814400000 is 21 days, and minutes after it.
func onlyMilliseconds(n int64, whole time.Duration) bool {
	return n%whole.Milliseconds() == 0 && n > 0 && n <= 366*86_400_000
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

// isLoose reports whether the name of an end says neither of what nor that it ends.
func isLoose(name string) bool {
	letters := member.Letters(name)
	return slices.ContainsFunc([]string{"ttl", "maxage", "validity", "validfor", "lifetime"}, func(word string) bool {
		return strings.HasPrefix(letters, word)
	})
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

// OfJWT returns how long an unverified JWT is good for. Its exp counts from the server's
// Date, and so with a token that was issued long before it was sent, as from a cache.
// When it was issued bounds the life, and is what it counts from where the clocks differ
// too much. It is a hint for planning only: a client must not rely on reading a token
// that is meant for a resource server (RFC 9068 section 6).
func (c Clocks) OfJWT(token string) (time.Duration, bool) {
	_, claims := member.JWT(token)
	end := claims.Unix("exp")
	if end.IsZero() {
		return 0, false
	}
	begin, name := beginOf(claims)
	if begin.IsZero() {
		left := c.until(end)
		return left, BelievableLife(left)
	}
	left, life := end.Sub(c.Server), end.Sub(begin)
	switch {
	case !BelievableLife(left), !c.Dated && name == "iat" && life-left <= Leeway:
		return max(life, 0), BelievableLife(life)
	case BelievableLife(life):
		left = min(left, life)
	}
	return left, true
}

// ownLife returns how long a JWT was issued for, or zero: what is left of it by a clock of
// ours that is wrong cannot be relied on.
func (c Clocks) ownLife(token string) time.Duration {
	_, claims := member.JWT(token)
	if begin := claims.Unix("iat"); !begin.IsZero() {
		return max(claims.Unix("exp").Sub(begin), 0)
	}
	if !c.Dated {
		return 0
	}
	life, _ := c.OfJWT(token)
	return life
}

// claimedEnd returns when a JWT ends by itself, or zero.
func claimedEnd(token string) time.Time {
	_, claims := member.JWT(token)
	return claims.Unix("exp")
}

// beginOf returns when a token was issued, and the claim that tells it: iat, or else the
// time before which it is not good, which some set back for the sake of clocks that are
// behind, or that of its first issue, as gin-jwt writes it.
func beginOf(claims member.Fields) (time.Time, string) {
	for _, name := range []string{"iat", "nbf", "orig_iat"} {
		if begin := claims.Unix(name); !begin.IsZero() {
			return begin, name
		}
	}
	return time.Time{}, ""
}

// until returns how long it is to an end that nothing else bounds. By the server's Date,
// unless that is over by it, or the clocks are more than a day apart: then the nearer end
// that is still to come.
func (c Clocks) until(end time.Time) time.Duration {
	left, ours := end.Sub(c.Server), end.Sub(c.Ours)
	if apart := (left - ours).Abs(); ours > 0 && (left <= 0 || apart > Day && ours < left) {
		return ours
	}
	return max(left, 0)
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
		if life, known := (reader{now: issued}).told(raw, u); at.IsZero() && known && !issued.IsZero() {
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
