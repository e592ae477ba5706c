package lifetime

import (
	"slices"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/member"
)

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
		}
	}
	return 0, false
}
