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
	grace                      time.Duration // of the server
}

// Two cores carry fullSize with room: while nothing fails it keeps 0.7 of one busy with
// Redis and 0.8 with PostgreSQL. In both sizes a request may take at most a sixth of a
// token's life: beyond that pools begin to renew earlier.
var (
	fullSize = size{
		hosts: 3, processes: 8, sessions: 1000, life: 90 * time.Second, check: 30 * time.Second,
		lease: 6 * time.Second, timeout: 4 * time.Second, maxWait: 20 * time.Second,
		length: 10 * time.Minute, calm: 10 * time.Second, every: 8 * time.Second, calls: 250 * time.Millisecond, grace: grace,
	}
	quickSize = size{
		hosts: 3, processes: 2, sessions: 60, life: 8 * time.Second, check: 3 * time.Second,
		lease: 1500 * time.Millisecond, timeout: time.Second, maxWait: 5 * time.Second,
		length: 12 * time.Second, calm: time.Second, every: 800 * time.Millisecond, calls: 50 * time.Millisecond, grace: grace,
	}
	// daySize is for days, which run beside each other.
	daySize = size{
		hosts: 2, processes: 2, sessions: 12, life: 8 * time.Second, check: time.Second,
		lease: 1500 * time.Millisecond, timeout: time.Second, maxWait: 20 * time.Second,
		calm: time.Second, every: 800 * time.Millisecond, calls: 100 * time.Millisecond,
	}
)

// offsets returns by how much each host's clock is off: the first one's behind, the
// last one's ahead.
func (s size) offsets(skew time.Duration) []time.Duration {
	offsets := make([]time.Duration, s.hosts)
	offsets[0], offsets[s.hosts-1] = -skew, skew
	return offsets
}
