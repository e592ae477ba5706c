package lifetime

import "time"

// Day is a day of 24 hours.
const Day = 24 * time.Hour

// Max is the longest access-token or refresh-token life believed. A
// longer one is a unit error (nanoseconds were seen: 5000000000 for 5 s) or
// means "never", and in both cases the number says nothing about the end.
const Max = 10 * 365 * 24 * time.Hour

// Believable reports whether a life of so many seconds can be meant.
func Believable(seconds int64) bool {
	return seconds > 0 && seconds <= int64(Max/time.Second)
}

// BelievableLife is Believable for what is known more exactly.
func BelievableLife(life time.Duration) bool { return life > 0 && life <= Max }
