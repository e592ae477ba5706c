package main

import (
	"fmt"
	"time"

	"github.com/evertoken/evertoken/oauth"
)

// forever is how long a token lives whose end is not known.
const forever = time.Duration(1<<63 - 1)

// left returns how long a pair's access token lives.
func left(t *oauth.TokenPair) time.Duration {
	switch {
	case t == nil || t.AccessToken == "":
		return 0
	case t.ExpiresAt.IsZero():
		return forever
	}
	return time.Until(t.ExpiresAt)
}

// brief writes a duration for people, who need two units at most.
func brief(d time.Duration) string {
	const day = 24 * time.Hour
	switch d = d.Round(time.Second); {
	case d < 0:
		return "0s"
	case d >= 2*day:
		return plural(int(d/day), "day")
	case d >= time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

// plural writes a count of things.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return count(n) + " " + thing + "s"
}

// count writes a number with its thousands apart.
func count(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return count(n/1000) + fmt.Sprintf(",%03d", n%1000)
}

// when writes a time with how far it is from now.
func when(t, now time.Time) string {
	if t.IsZero() {
		return "not known"
	}
	text := t.Local().Format("Mon 2006-01-02 15:04:05")
	if t.After(now) {
		return text + " (in " + brief(t.Sub(now)) + ")"
	}
	return text + " (" + brief(now.Sub(t)) + " ago)"
}
