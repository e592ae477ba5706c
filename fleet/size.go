package main

import "time"

// grace is how long the server repeats an answer that was lost: the window that is
// common among servers that have one. Without any, no client can save a session
// whose answer a partition has swallowed.
const grace = 30 * time.Second

// size is how much of everything there is.
type size struct {
	hosts, processes, sessions int           // processes of each host; all share all sessions
	life                       time.Duration // of an access token
	check                      time.Duration // refresh.Config.CheckInterval
	lease                      time.Duration // of a session's lock
	timeout                    time.Duration // refresh.Config.RefreshTimeout; two thirds of the lease
	maxWait                    time.Duration // refresh.Config.MaxWait
	length                     time.Duration // of a run
	calm                       time.Duration // before and after the faults
	every                      time.Duration // between the beginnings of two faults, on average
	calls                      time.Duration // between two API calls of a process
}

var (
	fullSize = size{
		hosts: 3, processes: 4, sessions: 400, life: 30 * time.Second, check: 10 * time.Second,
		lease: 3 * time.Second, timeout: 2 * time.Second, maxWait: 10 * time.Second,
		length: 75 * time.Second, calm: 8 * time.Second, every: 3 * time.Second, calls: 100 * time.Millisecond,
	}
	quickSize = size{
		hosts: 3, processes: 2, sessions: 60, life: 4 * time.Second, check: 2 * time.Second,
		lease: 1200 * time.Millisecond, timeout: 800 * time.Millisecond, maxWait: 5 * time.Second,
		length: 7 * time.Second, calm: time.Second, every: 700 * time.Millisecond, calls: 50 * time.Millisecond,
	}
)

// skewOf is how far clocks are off unless told otherwise: as far as five minutes are
// with tokens of an hour.
func (s size) skewOf() time.Duration { return s.life / 12 }

// offsets returns by how much each host's clock is off: the first one's behind, the
// last one's ahead.
func (s size) offsets(skew time.Duration) []time.Duration {
	offsets := make([]time.Duration, s.hosts)
	offsets[0], offsets[s.hosts-1] = -skew, skew
	return offsets
}
