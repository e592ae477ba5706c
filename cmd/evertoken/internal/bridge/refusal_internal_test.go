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
		"Fri, 31 Dec 9999 23:59:59 GMT": retryPause,
	} {
		if got := retryAfter(http.Header{"Retry-After": {wish}}); got != want {
			t.Errorf("Retry-After %q: waits %v, want %v", wish, got, want)
		}
	}
}
