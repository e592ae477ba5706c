package lifetime

import (
	"strconv"
	"strings"
	"time"
)

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
		return Day
	case "w", "week":
		return 7 * Day
	case "month":
		return 30 * Day
	case "y", "yr", "year":
		return 365 * Day
	}
	return 0
}

// InWords reads a life as jsonwebtoken and Go write it (15m, 7 days, 1h30m0s),
// as ISO 8601 does (PT1H), and .NET (1.00:30:00).
func InWords(text string) (time.Duration, bool) {
	text = strings.ToLower(strings.TrimSpace(text))
	if period, iso := strings.CutPrefix(text, "p"); iso {
		days, clock, _ := strings.Cut(period, "t")
		days = strings.Replace(days, "m", "month", 1) // before the T, M means month
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
		if unit == 0 || err != nil || n > float64(Max/unit) {
			return 0, false
		}
		sum += time.Duration(n * float64(unit))
	}
	return sum, BelievableLife(sum)
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
