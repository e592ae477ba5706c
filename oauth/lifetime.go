package oauth

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/member"
)

// maxLifetime is the longest access-token or refresh-token life believed. A
// longer one is a unit error (nanoseconds were seen: 5000000000 for 5 s) or
// means "never", and in both cases the number says nothing about the end.
const maxLifetime = 10 * 365 * 24 * time.Hour

func believable(seconds int64) bool {
	return seconds > 0 && seconds <= int64(maxLifetime/time.Second)
}

// believableLife is believable for what is known more exactly.
func believableLife(life time.Duration) bool { return life > 0 && life <= maxLifetime }

// lifetime weighs the evidence for the access token's life: what the answer says
// about its end, the configured default, the token's own claims if it is a JWT. Zero
// and absurd values of expires_in say nothing; a negative one (seen on replays) says
// that the token is already dead.
func (a answer) lifetime(fields map[string]json.RawMessage, p *TokenPair) (time.Duration, bool) {
	if p.ExpiresIn < 0 {
		return 0, true
	}
	if life, _ := a.earliestEnd(fields, accessOwners, true); life > 0 {
		return life, true
	}
	if a.by().fallback > 0 {
		return a.by().fallback, true
	}
	if life, known := a.jwtLifetime(p.AccessToken); known {
		return life, true
	}
	// Entra's extended life, for when the server is down: it is no end while there
	// is another.
	return a.toldLife(fields["ext_expires_in"], inSeconds, false)
}

// refreshLifetime looks for the refresh token's life under the names servers use,
// then in the token itself. Keycloak's refresh_expires_in of 0 means that it does not
// end, whatever the token says.
func (a answer) refreshLifetime(fields map[string]json.RawMessage, token string) (time.Duration, bool) {
	if life, told := a.earliestEnd(fields, refreshOwners, false); told {
		return life, life > 0
	}
	return a.jwtLifetime(token)
}

// refreshHint reads Entra's refresh_in, the seconds after which a token should be
// renewed. One outside of the token's life is no hint.
func refreshHint(fields map[string]json.RawMessage, p *TokenPair) time.Time {
	seconds, _ := secondsField(fields, "refresh_in")
	at := p.IssuedAt.Add(time.Duration(seconds) * time.Second)
	if !believable(seconds) || !p.ExpiresAt.IsZero() && !at.Before(p.ExpiresAt) {
		return time.Time{}
	}
	return at
}

// The names of a token's end are made of whose end it is and of a word for it, in
// any case and with any separators: expires_in, accessTokenExpiresAt,
// x_refresh_token_expires_in, refresh_token_expiration, rt_expires_in.
var (
	accessOwners  = []string{"", "token", "access", "accesstoken"}
	refreshOwners = []string{"refresh", "refreshtoken", "rt", "xrefreshtoken"}

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
		return day
	}
	return 0
}

// endWord returns how the member name tells the end of a token of one of owners.
func endWord(name string, owners []string) (unit, bool) {
	if slices.Contains(responseNames, name) && name != "expires_in" {
		return 0, false
	}
	letters := lettersOf(name)
	for _, owner := range owners {
		if word, ours := strings.CutPrefix(letters, owner); ours {
			if u, known := endWords[word]; known {
				return u, true
			}
		}
	}
	return 0, false
}

// lettersOf returns the letters of a name, in lower case.
func lettersOf(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		case r >= 'a' && r <= 'z':
			return r
		}
		return -1
	}, name)
}

// earliestEnd returns the shortest life that can be believed of those that the answer
// tells, and whether it tells any: a token that is renewed too early costs a request,
// one that is renewed too late costs a call. The life is zero if none is believable.
// guess is for toldLife.
func (a answer) earliestEnd(fields map[string]json.RawMessage, owners []string, guess bool) (life time.Duration, told bool) {
	for name, raw := range fields {
		u, isEnd := endWord(name, owners)
		if !isEnd || string(raw) == "null" {
			continue
		}
		told = true
		if one, known := a.toldLife(raw, u, guess); known && (life == 0 || one < life) {
			life = one
		}
	}
	return life, told
}

// toldLife reads a member that tells an end: a number from now, a time since 1970 in
// seconds or smaller units, or a life or a time in words. Times are taken relative to the
// server's own Date, so that clock skew cancels out. With guess a number that could be
// seconds may be taken for milliseconds.
func (a answer) toldLife(raw json.RawMessage, u unit, guess bool) (time.Duration, bool) {
	raw = timeInside(raw)
	n, isNumber := secondsValue(raw)
	if !isNumber {
		return a.lifeInWords(member.Text(raw))
	}
	if u == aTime {
		if life, known := a.untilUnix(n); known {
			return life, true
		}
		u = inSeconds
	}
	unit := u.named()
	switch {
	case unit > 0 && n <= int64(maxLifetime/unit):
	case u != inMilliseconds && (u == inSeconds && guess && likelyMilliseconds(n) || !believable(n) && onlyMilliseconds(n)):
		unit = time.Millisecond
	case believable(n):
		unit = time.Second
	default:
		return 0, false
	}
	life := time.Duration(n) * unit
	return life, believableLife(life)
}

func (a answer) lifeInWords(text string) (time.Duration, bool) {
	if life, ok := durationInWords(text); ok {
		return life, true
	}
	when, ok := timeInWords(text)
	life := when.Sub(a.serverTime().Round(0))
	return life, ok && believableLife(life)
}

// untilUnix reads n as a time since 1970, in seconds or the next smaller units, if it is
// too much for a life in seconds.
func (a answer) untilUnix(n int64) (time.Duration, bool) {
	now := a.serverTime().Round(0)
	for _, when := range []time.Time{
		time.Unix(min(n, maxUnix), 0), time.UnixMilli(min(n, 1000*maxUnix)), time.UnixMicro(min(n, 1_000_000*maxUnix)), time.Unix(0, n),
	} {
		if life := when.Sub(now); n > int64(maxLifetime/time.Second) && believableLife(life) {
			return life, true
		}
	}
	return 0, false
}

// likelyMilliseconds reports whether n, which could be seconds, is meant in
// milliseconds: whole minutes between five and a day's in these, and no whole days
// in seconds, which lives of a week and more are, unless it is whole hours: 3600000 is
// an hour and not 41 days and 16 hours, and 86400000 is a day. To be wrong costs a request too many for an access token; of a
// refresh token it would announce an end that does not come.
func likelyMilliseconds(n int64) bool {
	return n >= 300_000 && n <= 86_400_000 && n%60_000 == 0 && (n%86_400 != 0 || n%3_600_000 == 0)
}

// onlyMilliseconds reports whether n, more seconds than can be believed, can be
// milliseconds: whole minutes and a year at most. 5000000000, seen for five seconds in
// nanoseconds, is not.
func onlyMilliseconds(n int64) bool {
	return n%60_000 == 0 && n <= 366*86_400_000
}
