package bridge

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestRetryAfterHasALimit(t *testing.T) {
	for wish, want := range map[string]time.Duration{
		"7": 7 * time.Second, "60": maxRetryAfter, "61": maxRetryAfter, "31536000": maxRetryAfter,
		"9223372036": maxRetryAfter, "9223372037": maxRetryAfter, "9223372036854775807": maxRetryAfter, strings.Repeat("9", 100): maxRetryAfter,
		"": retryPause, "0": retryPause, "-5": retryPause, "-" + strings.Repeat("9", 100): retryPause, "NaN": retryPause, "soon": retryPause,
		"2.5": 2500 * time.Millisecond, "0.1": retryPause, "Inf": retryPause,
		"Fri, 31 Dec 9999 23:59:59 GMT": maxRetryAfter, "Wed, 01 Apr 2026 12:00:20 GMT": 20 * time.Second, "Wed, 01 Apr 2026 11:00:00 GMT": retryPause,
	} {
		header := http.Header{"Retry-After": {wish}, "Date": {"Wed, 01 Apr 2026 12:00:00 GMT"}}
		if got := retryAfter(header); got != want {
			t.Errorf("Retry-After %q: waits %v, want %v", wish, got, want)
		}
	}
	for _, wishes := range [][]string{{"7", "3"}, {"soon", "7"}, {"7", "soon"}} {
		if got := retryAfter(http.Header{"Retry-After": wishes}); got != 7*time.Second {
			t.Errorf("Retry-After %q: waits %v, want 7s", wishes, got)
		}
	}
	soon := http.Header{"Retry-After": {time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}} // of a server that does not tell its time
	if got := retryAfter(soon); got != maxRetryAfter {
		t.Errorf("an hour from now: waits %v, want %v", got, maxRetryAfter)
	}
}
