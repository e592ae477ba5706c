package retryafter_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/retryafter"
)

func TestWaitIsTheLongestThatIsTold(t *testing.T) {
	const year = 365 * 24 * time.Hour
	received := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	server := received.Add(time.Hour) // its clock
	for headers, want := range map[string]time.Duration{
		"2": 2 * time.Second, "2.5": 2500 * time.Millisecond, `"2"`: 2 * time.Second, "2s": 2 * time.Second, " 2 ": 2 * time.Second,
		"2, 7": 7 * time.Second, "7\n2": 7 * time.Second, "soon\n2": 2 * time.Second, "0": 0, "-5": 0,
		"1e999": year, "9999999999999": year, "Tue, 01 Jan 2030 13:02:00 GMT": 2 * time.Minute, "Tue, 01 Jan 2030 12:00:00 GMT": 0,
		"2030-01-01T13:02:00Z": 2 * time.Minute, "1893502920": 2 * time.Minute, "1893502920000": 2 * time.Minute, "Fri, 31 Dec 9999 23:59:59 GMT": year,
		"": -1, "soon": -1, "NaN": -1, "Inf": -1, "soon, later": -1,
	} {
		header := http.Header{"Date": {server.Format(http.TimeFormat)}, "Retry-After": strings.Split(headers, "\n")}
		got, told := retryafter.Wait(header, received)
		if told != (want >= 0) || got != max(want, 0) {
			t.Errorf("%q: %v, %v; want %v", headers, got, told, want)
		}
	}
	// By our own clock where the server does not tell its own.
	header := http.Header{"Retry-After": {"Tue, 01 Jan 2030 12:02:00 GMT"}}
	if got, told := retryafter.Wait(header, received); got != 2*time.Minute || !told {
		t.Errorf("%v, %v", got, told)
	}
	if _, told := retryafter.Wait(http.Header{}, received); told {
		t.Error("a header that says nothing asks to wait")
	}
}
