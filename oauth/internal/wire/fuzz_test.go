package wire

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"net/http"
	"testing"
	"time"
)

// Whatever a server asks for, a wait is in the future and not longer than an hour.
func FuzzRetryAfter(f *testing.F) {
	for _, wish := range []string{"120", " 7 ", "-5", "0", "NaN", "1e9", "99999999999999999999", "9223372036854775807", "Fri, 31 Dec 9999 23:59:59 GMT",
		"Mon, 01 Jan 0001 00:00:00 GMT", "Friday, 20-Nov-26 10:02:00 GMT", "Fri Nov 20 10:02:00 2026", "soon"} {
		f.Add(wish, "Fri, 20 Nov 2026 10:00:00 GMT", `{"error":"slow_down"}`)
		f.Add(wish, "Mon, 01 Jan 0001 00:00:00 GMT", `{"error":{"retry_after":1e300}}`)
		f.Add("", "Fri, 31 Dec 9999 23:59:59 GMT", `{"errors":[{"retryAfter":"`+wish+`"}]}`)
	}
	received := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, retryAfter, date, body string) {
		a := &Answer{Op: OpRefresh, Status: 429, Header: http.Header{"Retry-After": {retryAfter}, "Date": {date}, "Content-Type": {"application/json"}},
			Body: []byte(body), Whole: true, SentAt: received, Received: received}
		at := a.RetryAt(a.Fields())
		if !at.IsZero() && (!at.After(received) || at.After(received.Add(maxRetryAfter))) {
			t.Errorf("Retry-After %q, Date %q, body %q: wait until %v", retryAfter, date, body, at)
		}
		if skew := a.Skew(); skew < 0 && skew == -skew { // the least number has no opposite
			t.Errorf("Date %q: skew %v", date, skew)
		}
	})
}

// Whatever is compressed, no more than the limit comes out of it, and what is cut is known to be.
func FuzzInflate(f *testing.F) {
	var zipped, deflated bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, _ = w.Write(bytes.Repeat([]byte(" "), 2*maxBody))
	_ = w.Close()
	z := zlib.NewWriter(&deflated)
	_, _ = z.Write([]byte(`{"access_token":"a","refresh_token":"r"}`))
	_ = z.Close()
	f.Add(zipped.Bytes(), "gzip")
	f.Add(zipped.Bytes()[:zipped.Len()/2], "")
	f.Add(deflated.Bytes(), "deflate")
	f.Add(deflated.Bytes()[2:], "Deflate ")
	f.Add([]byte{0x1f, 0x8b}, "gzip")
	f.Add([]byte(`{"access_token":"a"}`), "deflate")
	f.Fuzz(func(t *testing.T, body []byte, encoding string) {
		a := &Answer{Op: OpRefresh, Status: 200, Header: http.Header{"Content-Encoding": {encoding}}, Body: body, Whole: true}
		a.inflate()
		switch {
		case len(body) <= maxBody && len(a.Body) > maxBody+1:
			t.Errorf("%d bytes came of %d", len(a.Body), len(body))
		case len(body) <= maxBody && len(a.Body) > maxBody && a.Whole:
			t.Error("an answer of more than the limit counts as whole")
		}
	})
}
