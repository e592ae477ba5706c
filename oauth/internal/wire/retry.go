package wire

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/dpop"
	"github.com/evertoken/evertoken/internal/member"
)

// maxRetryAfter caps what a server can ask for, so that a typing mistake on its
// side does not end a session for a year.
const maxRetryAfter = time.Hour

// RetryAt reads Retry-After in both forms (RFC 9110 section 10.2.3), or what the
// answer's members say instead. A date is taken relative to the server's own Date, so
// that clock skew cancels out.
func (a *Answer) RetryAt(fields member.Fields) time.Time {
	text := strings.TrimSpace(a.Header.Get("Retry-After"))
	wait := waitInBody(fields)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		wait = time.Duration(min(n, int64(maxRetryAfter/time.Second))) * time.Second
	} else if when, err := http.ParseTime(text); err == nil {
		wait = when.Sub(a.ServerTime())
	}
	if wait <= 0 {
		return time.Time{}
	}
	return a.Received.Round(0).Add(min(wait, maxRetryAfter))
}

// secretEnded reports whether the client authenticated by a secret that had
// expired, by the server's clock, when the answer came.
func (a *Answer) secretEnded() bool {
	return !a.Settings.SecretEnds.IsZero() && !a.ServerTime().Before(a.Settings.SecretEnds)
}

// ServerTime is the server's clock when it answered, or ours if it did not say.
func (a *Answer) ServerTime() time.Time {
	if date, err := http.ParseTime(a.Header.Get("Date")); err == nil {
		return date
	}
	return a.Received
}

// Skew is how far our clock is ahead of the server's, zero if that is not known.
func (a *Answer) Skew() time.Duration {
	skew, _ := dpop.Skew(a.Header, a.Received)
	return skew
}

// waitInBody returns how long an answer's own members ask to wait, zero if they do
// not.
func waitInBody(fields member.Fields) time.Duration {
	for _, object := range errorObjects(fields) {
		for _, name := range waitMembers {
			if n, ok := object.Seconds(name); ok && n >= 0 {
				return time.Duration(min(n+1, int64(maxRetryAfter/time.Second))) * time.Second // fractions were dropped
			}
		}
	}
	return 0
}
