// Package retryafter reads how long a server wants to be left alone (Retry-After, RFC 9110
// section 10.2.3).
package retryafter

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// most bounds what can be told; callers have limits of their own.
const most = 365 * 24 * time.Hour

// Wait returns how long the header of an answer asks to wait, from when that was received, and
// false if it does not say. A date is taken relative to the server's own Date, so that clock
// skew cancels out; one that is over means no wait. Of several, as a server and the proxy before
// it may send, the longest counts.
func Wait(header http.Header, received time.Time) (wait time.Duration, told bool) {
	now := received
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		now = date
	}
	for _, text := range header.Values("Retry-After") {
		if asked, ok := parse(strings.TrimSpace(text), now); ok {
			wait, told = max(wait, min(asked, most)), true
		}
	}
	return wait, told
}

func parse(text string, now time.Time) (wait time.Duration, ok bool) {
	if n, ok := delaySeconds(text, now); ok {
		return time.Duration(max(0, min(n, most.Seconds())) * float64(time.Second)), true
	}
	when, err := http.ParseTime(text)
	if err != nil {
		when, err = time.Parse(time.RFC3339, text)
	}
	return when.Sub(now), err == nil
}

// delaySeconds reads seconds as servers write them: "2", and also "2.0", "2s", "2, 2" where two
// have written it, and in quotes. The longest counts. What would be decades is a time since
// 1970, as servers tell when a limit is reset, or nothing that is meant.
func delaySeconds(text string, now time.Time) (seconds float64, ok bool) {
	for part := range strings.SplitSeq(text, ",") {
		number := strings.TrimSuffix(strings.Trim(part, "\" \t"), "s")
		n, err := strconv.ParseFloat(number, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) { // beyond the range it is the nearest
			return 0, false
		}
		if err == nil && (math.IsInf(n, 0) || math.IsNaN(n)) { // words, and no numbers
			return 0, false
		}
		for _, unit := range []float64{1, 1000} { // of a time
			if at := n / unit; at > 1e9 && at < 1e10 {
				n = at - float64(now.Unix())
			}
		}
		seconds, ok = max(seconds, n), true
	}
	return seconds, ok
}
