package main

import (
	"slices"
	"strings"
	"time"
)

// A step is a part of a round: one run of the test program.
type step struct {
	benchmarks []string
	time       string // -test.benchtime
	test       string // in place of benchmarks: a test that prints its result like one
	sessions   string // -sessions, for the test
	rounds     int    // of make bench; 0: none
	quick      int    // rounds of make bench-check
	limit      time.Duration
}

// plan is what is measured. Rounds take turns, so that a machine that is busy for
// a minute spoils one value of each library's. Short work has more rounds, because
// noise is larger beside it. What is weighed or counted in fake time has one: it
// comes out the same, to the byte.
var plan = []step{
	{benchmarks: []string{"Token", "TokenParallel", "TokenContext", "PoolSession", "PoolToken", "Transport"}, time: "100ms", rounds: 8, quick: 6},
	{benchmarks: []string{"Refresh", "RefreshShared", "RefreshPooled", "RefreshSaved", "ColdStart", "CommandPlain", "CommandSealed"}, time: "200ms", rounds: 6, quick: 4},
	{benchmarks: []string{"Renewal", "Outage", "RetryAfter", "SlowServer", "Crowd", "Deadline", "Restore"}, time: "1x", rounds: 6, quick: 1},
	{benchmarks: []string{"RequestsFast", "RequestsSlow", "Recovery"}, time: "1x", rounds: 4, quick: 1},
	{benchmarks: []string{"Sessions", "SessionsJWT"}, time: "1x", rounds: 1, quick: 1},
	{test: "TestSessionsAtRestUseNoProcessor", sessions: "100000", rounds: 1},
	{test: "TestManySessionsAreRestored", sessions: "1000000", rounds: 1, limit: 5 * time.Minute},
	{test: "TestAMillionSessionsRenewInAnHour", sessions: "1000000", rounds: 1, limit: 4 * time.Minute},
}

// stepLimit ends what hangs.
const stepLimit = 5 * time.Minute

// args are the test program's.
func (s step) args() []string {
	if s.test != "" {
		return []string{"-test.run", "^" + s.test + "$", "-test.v", "-sessions", s.sessions}
	}
	return []string{"-test.run", "^$", "-test.bench", "^Benchmark(" + strings.Join(s.benchmarks, "|") + ")$",
		"-test.benchtime", s.time}
}

// only returns the steps of a plan with none but the given benchmarks.
func only(steps []step, benchmarks []string) []step {
	var list []step
	for _, s := range steps {
		s.benchmarks = slices.DeleteFunc(slices.Clone(s.benchmarks), func(b string) bool { return !slices.Contains(benchmarks, b) })
		if len(s.benchmarks) > 0 {
			list = append(list, s)
		}
	}
	return list
}
