package main

import (
	"fmt"
	"strings"
)

// A work is one line of the comparison as people read it, with what evertoken is
// to reach at it.
type work struct {
	title string
	goals []goal
}

// A goal is a bound on a value of ours: on its ratio to a contender's, or, with an
// empty than, on the value itself.
type goal struct {
	benchmark, unit string
	most            float64
	than            string
}

// count reports whether the goal bounds something that is counted or weighed in
// itself. It is what the scenarios are about; times are never bounded so, but for
// those that a caller sets, and those that follow from a clock and not from the machine's speed.
func (g goal) count() bool { return g.than == "" }

const (
	floor    = "floor"
	xoauth2  = "x-oauth2"
	perCall  = "ns/op"
	size     = "B/op"
	allocs   = "allocs/op"
	requests = "requests"
	errs     = "errors"
	stalls   = "stalls"
)

// works are all of them. Where a bound has slack for the machine's noise, it says so.
var works = []work{
	{"valid token, one goroutine", []goal{
		{"Token", perCall, 1.15, xoauth2}, // both look at the clock once, which is nearly all of it
		{"Token", perCall, 2.4, floor},    // which reads the wall clock alone
		{"Token", allocs, 0, ""},
	}},
	{"valid token, 8 goroutines", []goal{
		{"TokenParallel", perCall, 0.6, xoauth2},
		{"TokenParallel", allocs, 0, ""},
	}},
	{"RoundTrip over a no-op base", []goal{
		{"Transport", perCall, 0.65, xoauth2},
		{"Transport", perCall, 1.15, floor},
		{"Transport", size, 1, floor},
		{"Transport", allocs, 1, floor},
	}},
	{"session found in a Pool, 8 goroutines (x-oauth2: a token that the caller holds)", []goal{
		{"PoolSession", perCall, 0.3, xoauth2},
		{"PoolSession", allocs, 0, ""},
	}},
	{"token of one of 1,024 sessions in a Pool, 8 goroutines (others: in a sync.Map)", []goal{
		{"PoolToken", perCall, 0.75, xoauth2},
		{"PoolToken", allocs, 0, ""},
	}},
	{"500 HTTP requests a second for 10 s, tokens of 1 s, token endpoint takes 20 ms (floor: no authentication)", []goal{
		{"RequestsFast", "p99.9-ms", 1.25, floor},
		{"RequestsFast", "p99.9-ms", 1, xoauth2},
		{"RequestsFast", errs, 0, ""},
	}},
	{"the same, tokens of 5 s, token endpoint takes 1.2 s", []goal{
		{"RequestsSlow", "p99.9-ms", 1.25, floor},
		{"RequestsSlow", "p99.9-ms", 0.2, xoauth2},
		{"RequestsSlow", errs, 0, ""},
	}},
	{"64 callers wait, server back after 20 s", []goal{
		{"Recovery", "p90-ms", 2000, ""},
		{"Recovery", "max-ms", 3000, ""},
		{"Recovery", requests, 20, ""}, // one a second
		{"Recovery", requests, 0.02, xoauth2},
	}},
	{"64 callers for 10 s, tokens of 200 ms, server takes 50 ms", []goal{
		{"Renewal", stalls, 0, ""},
		{"Renewal", errs, 0, ""},
	}},
	{"server answers 503 for 2 s, token lives", []goal{
		{"Outage", errs, 0, ""},
		{"Outage", requests, 5, ""},
	}},
	{"429 with Retry-After, token lives", []goal{
		{"RetryAfter", errs, 0, ""},
		{"RetryAfter", requests, 0, ""},
	}},
	{"server slower than the margin, from the third token on", []goal{
		{"SlowServer", "overlaps", 0, ""},
		{"SlowServer", stalls, 0, ""},
	}},
	{"10,000 goroutines, no token", []goal{
		{"Crowd", requests, 1, ""},
		{"Crowd", errs, 0, ""},
	}},
	{"caller with 50 ms to spare, server takes 480 ms", []goal{
		{"Deadline", "back-ms", 60, ""}, // a busy machine wakes sleepers late
		{"Deadline", requests, 1, ""},
		{"Deadline", errs, 0, ""},
	}},
	{"100,000 sessions in a Pool, each refreshed once", []goal{
		{"Sessions", "heap-B/session", 600, ""},
		{"Sessions", "goroutines", 20, ""},
		{"Idle", "cpu-%", 1, ""},
	}},
	{"5,000 sessions restored from a store that is 1 ms away (x-oauth2: one after the other)", []goal{
		{"Restore", "ms", 1. / 32, xoauth2},
		{"Restore", "calls/session", 1.1, ""},
	}},
	{"1,000,000 sessions restored from a store that is 1 ms away", []goal{
		{"ManyRestored", "s", 60, ""},
		{"ManyRestored", "in-use-B/session", 2400, ""}, // four times those at rest: the row says so
	}},
	{"1,000,000 sessions, all renewed in a simulated hour", []goal{
		{"Million", "died", 0, ""},
		{"Million", "MiB", 2048, ""},
	}},
	{"one refresh, beyond the network", []goal{
		{"Refresh", perCall, 6.5, xoauth2}, // it happens four times an hour: clarity goes first
		{"Refresh", allocs, 2.5, xoauth2},
	}},
	{"one refresh through a Pool of 1,024 sessions", []goal{
		{"RefreshPooled", perCall, 7, xoauth2},
	}},
	{"one refresh saved in files (floor: two files written and synced)", []goal{
		{"RefreshSaved", perCall, 2, floor}, // at least half of it is fsync
	}},
	{"a program that starts with a saved session, beside its process (x-oauth2: reads a JSON file)", []goal{
		{"ColdStart", perCall, 25, xoauth2}, // 0.3 ms, once in a program's life
	}},
	{"`evertoken token` from plain files (floor: a program that reads a file)", []goal{
		{"CommandPlain", perCall, 3, floor},
	}},
	{"the same from sealed files, keyring excluded", []goal{
		{"CommandSealed", perCall, 2, floor},
	}},
}

// An outcome is a goal next to what was measured.
type outcome struct {
	goal
	value   float64 // the ratio, or the value
	known   bool
	reached bool
}

// A measured is what was measured: just now, or as it is checked in.
type measured interface {
	median(at row, contender string) (float64, bool)
	ratio(at row, contender string) (float64, bool)
}

// against returns how what was measured does at a goal.
func (g goal) against(r measured) outcome {
	o := outcome{goal: g}
	at := row{g.benchmark, g.unit}
	if g.count() {
		o.value, o.known = r.median(at, ours)
	} else {
		o.value, o.known = r.ratio(at, g.than)
	}
	o.reached = o.known && o.value <= g.most
	return o
}

// String is, for example, "0.87 × x-oauth2 ns/op (goal 0.45)".
func (o outcome) String() string {
	value := "?"
	if o.known {
		value = number(o.value)
		if !o.count() {
			value = fmt.Sprintf("%.2f", o.value)
		}
	}
	mark := ""
	if !o.reached {
		mark = "**"
	}
	if o.count() {
		return fmt.Sprintf("%s%s %s (goal %s)%s", mark, value, o.unit, number(o.most), mark)
	}
	return fmt.Sprintf("%s%s × %s %s (goal %s)%s", mark, value, o.than, o.unit, number(o.most), mark)
}

// goalsTable is all works with their goals in Markdown. What is not reached is bold.
func goalsTable(r measured) string {
	var b strings.Builder
	b.WriteString("| work | measured | reached |\n|---|---|---|\n")
	for _, w := range works {
		var measured []string
		reached := 0
		for _, g := range w.goals {
			o := g.against(r)
			measured = append(measured, o.String())
			if o.reached {
				reached++
			}
		}
		verdict := "yes"
		if reached < len(w.goals) {
			verdict = fmt.Sprintf("%d of %d", reached, len(w.goals))
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", w.title, strings.Join(measured, ", "), verdict)
	}
	return b.String()
}
