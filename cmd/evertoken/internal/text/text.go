// Package text writes times, durations and counts for people.
package text

import (
	"fmt"
	"time"
)

// Brief writes a duration for people, who need two units at most.
func Brief(d time.Duration) string {
	const day = 24 * time.Hour
	switch d = d.Round(time.Second); {
	case d < 0:
		return "0s"
	case d >= 2*day:
		return Plural(int(d/day), "day")
	case d >= time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

// Plural writes a count of things.
func Plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return Count(n) + " " + thing + "s"
}

// Count writes a number with its thousands apart.
func Count(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return Count(n/1000) + fmt.Sprintf(",%03d", n%1000)
}

// Until writes until when something is valid.
func Until(t, now time.Time) string {
	if t.IsZero() {
		return "no known expiry"
	}
	return "valid until " + When(t, now)
}

// When writes a time with how far it is from now.
func When(t, now time.Time) string {
	s := t.Local().Format("Mon 2006-01-02 15:04:05")
	if t.After(now) {
		return s + " (in " + Brief(t.Sub(now)) + ")"
	}
	return s + " (" + Brief(now.Sub(t)) + " ago)"
}
