package oauth

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/member"
)

// timeLayouts are how servers write times. Without a zone they mean UTC.
var timeLayouts = []string{
	time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05",
	"2006-01-02T15:04:05 Z07:00", "20060102T150405Z0700",
	"2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05 -0700", "2006-01-02 15:04:05 -0700 MST", "2006-01-02 15:04:05 MST",
	time.DateTime, "2006/01/02 15:04:05", time.RFC1123Z, "Mon, 2 Jan 2006 15:04:05 MST", "Mon, 02-Jan-2006 15:04:05 MST",
	"2 Jan 2006 15:04:05 MST", time.UnixDate, time.RubyDate, "Mon Jan 02 2006 15:04:05 GMT-0700",
	"1/2/2006 3:04:05 PM", "Jan 2, 2006 3:04:05 PM", // with AM and PM the month comes first
}

// timeInWords reads a time in one of the ways in which servers write it. One in a zone
// that only its letters tell is not read: they mean other zones elsewhere.
func timeInWords(text string) (time.Time, bool) {
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
	for _, layout := range timeLayouts {
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
	return time.UnixMilli(n), dotNet && closed && err == nil && n > 0 && n <= 1000*maxUnix
}

// timeInside returns the number or text of a time that was sent as an object: by PHP,
// by document databases, by protocol buffers.
func timeInside(raw json.RawMessage) json.RawMessage {
	for range 2 { // MongoDB's long is an object in an object
		if len(raw) == 0 || raw[0] != '{' {
			break
		}
		members := member.Object(raw)
		for _, name := range []string{"date", "$date", "$numberLong", "seconds", "_seconds"} {
			if inner, found := members[name]; found {
				raw = inner
				break
			}
		}
	}
	return raw
}

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
		return day
	case "w", "week":
		return 7 * day
	case "month":
		return 30 * day
	case "y", "yr", "year":
		return 365 * day
	}
	return 0
}

// durationInWords reads a life as jsonwebtoken and Go write it (15m, 7 days, 1h30m0s),
// as ISO 8601 does (PT1H), and .NET (1.00:30:00).
func durationInWords(text string) (time.Duration, bool) {
	text = strings.ToLower(strings.TrimSpace(text))
	if period, iso := strings.CutPrefix(text, "p"); iso {
		days, clock, _ := strings.Cut(period, "t")
		days = strings.Replace(days, "m", "month", 1) // in front of the T it is no minute
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
		if unit == 0 || err != nil || n > float64(maxLifetime/unit) {
			return 0, false
		}
		sum += time.Duration(n * float64(unit))
	}
	return sum, believableLife(sum)
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
