package storetest

import "time"

// Patience sets when the context of a test ends.
func Patience(d time.Duration) Option { return func(s *suite) { s.patience = d } }

// Grace sets how long a test may go on after its context has ended.
func Grace(d time.Duration) Option { return func(s *suite) { s.grace = d } }

// Diff, Full and Scribble are the tools that the tests rest on.
var (
	Diff     = diff
	Full     = full
	Scribble = scribble
)
