package member

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Unix reads a NumericDate (RFC 7519 section 2), also one in milliseconds or in
// words, or returns zero.
func (f Fields) Unix(name string) time.Time {
	n, isNumber := f.Seconds(name)
	if !isNumber {
		return InRange(TimeInWords(f.Text(name)))
	}
	if n > MaxUnixSeconds {
		return InRange(time.UnixMilli(n), true)
	}
	return InRange(time.Unix(n, 0), true)
}

// InRange returns when if it is ok and a time that marshals, or zero.
func InRange(when time.Time, ok bool) time.Time {
	if !ok || when.Unix() <= 0 || when.Unix() > MaxUnix {
		return time.Time{}
	}
	return when
}

// MaxUnixSeconds is what a time in seconds since 1970 can be, in the year 5138. More is
// meant in milliseconds, as JavaScript counts, of which it is the year 1973.
const MaxUnixSeconds = 100_000_000_000

// MaxUnix is the end of the year 9999, beyond which times do not marshal.
const MaxUnix = 253402300799

// TimeLayouts are how servers write times. Without a zone they mean UTC.
var TimeLayouts = []string{
	time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05",
	"2006-01-02T15:04:05 Z07:00", "20060102T150405Z0700",
	"2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05 -0700", "2006-01-02 15:04:05 -0700 MST", "2006-01-02 15:04:05 MST",
	time.DateTime, "2006/01/02 15:04:05", time.RFC1123Z, "Mon, 2 Jan 2006 15:04:05 MST", "Mon, 02-Jan-2006 15:04:05 MST",
	"2 Jan 2006 15:04:05 MST", time.UnixDate, time.RubyDate, "Mon Jan 02 2006 15:04:05 GMT-0700",
	"1/2/2006 3:04:05 PM", "Jan 2, 2006 3:04:05 PM", // with AM and PM the month comes first
}

// TimeInWords reads a time in one of the ways in which servers write it. One in a zone
// that only its letters tell is not read: they mean other zones elsewhere.
func TimeInWords(text string) (time.Time, bool) {
	if text = strings.TrimSpace(text); text == "" {
		return time.Time{}, false
	}
	if when, ok := dotNetDate(text); ok {
		return when, true
	}
	text, _, _ = strings.Cut(text, "[")  // Java's zone behind the offset
	text, _, _ = strings.Cut(text, " (") // JavaScript's name of the zone
	if isoDate := len(text) > 10 && text[4] == '-'; isoDate {
		text = strings.ToUpper(text)
	}
	for _, layout := range TimeLayouts {
		if when, err := time.Parse(layout, text); err == nil && knownZone(when) {
			return when, true
		}
	}
	when, err := http.ParseTime(text)
	return when, err == nil && knownZone(when)
}

// knownZone reports whether the zone of a time that was parsed is known: package time
// takes letters that it does not know for UTC.
func knownZone(when time.Time) bool {
	name, offset := when.Zone()
	return offset != 0 || name == "" || name == "UTC" || name == "GMT" || name == "Z"
}

// dotNetDate reads /Date(1700000000000+0100)/: milliseconds since 1970, and a zone that
// is for show.
func dotNetDate(text string) (time.Time, bool) {
	text, dotNet := strings.CutPrefix(text, "/Date(")
	text, closed := strings.CutSuffix(text, ")/")
	if zone := strings.LastIndexAny(text, "+-"); zone > 0 {
		text = text[:zone]
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return time.UnixMilli(n), dotNet && closed && err == nil && n > 0 && n <= 1000*MaxUnix
}

// TimeInside returns the number or text of a time that was sent as an object: by PHP,
// by document databases, by protocol buffers.
func TimeInside(raw json.RawMessage) json.RawMessage {
	for range 2 { // MongoDB's long is an object in an object
		if len(raw) == 0 || raw[0] != '{' {
			break
		}
		members := Object(raw)
		for _, name := range []string{"date", "$date", "$numberLong", "seconds", "_seconds"} {
			if inner, found := members[name]; found {
				raw = inner
				break
			}
		}
	}
	return raw
}
