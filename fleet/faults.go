package main

import (
	"math/rand/v2"
	"time"
)

// A trial is one kind of thing that goes wrong.
type trial int

const (
	cutEngine    trial = iota // a host cannot reach the engine
	cutAuthority              // a host cannot reach the authorization server
	cutBoth                   // a host can reach neither
	restart                   // the engine is killed, and started again
	pause                     // a process that has a lease is stopped for longer than that lasts
	mixed                     // so many are mixed in one run; those that follow have a day each

	putBack         trial = iota - 1 // an old copy of the engine's data is put back
	awayAfterSpend                   // the engine is killed when the server has done its work and not answered yet
	authorityPauses                  // the authorization server stands still with the requests that it has
	authorityDown                    // the authorization server is away
	throttled                        // one session is sent away for an hour
	trials
)

func (t trial) String() string {
	return [...]string{
		"host cut off from the engine", "from the authorization server", "from both", "engine killed and restarted", "holder stopped beyond its lease",
		"old copy put back", "engine away between spend and save", "authority pauses", "authority away", "one session throttled",
	}[t]
}

// A fault is one of them, from at until at+lasts since the run began. It is for one
// host; a pause is for one of its processes, and begins when that spends something
// next.
type fault struct {
	trial
	at, lasts     time.Duration
	host, process int
	how           int // there are several ways for some
}

// plan draws the faults of a run by lot. Every kind comes in turn, in an order that
// changes each time, and several overlap. No two are about the same thing at once:
// what a fault ends must not be what another one needs.
func (s size) plan(rand *rand.Rand) []fault {
	var faults []fault
	busy := make(map[any]time.Duration) // until when
	for at := s.calm; ; {
		for _, i := range rand.Perm(int(mixed)) {
			f := fault{trial: trial(i), at: at, host: rand.IntN(s.hosts), process: rand.IntN(s.processes)}
			f.lasts = s.lasts(f.trial, rand)
			if f.at+f.lasts > s.length-s.calm {
				return faults
			}
			at += s.every/2 + time.Duration(rand.Int64N(int64(s.every)))
			for range s.hosts { // of which one may have trouble enough
				if key := f.about(); busy[key] <= f.at {
					busy[key] = f.at + f.lasts + s.every // a pause may begin that much later
					faults = append(faults, f)
					break
				}
				f.host = (f.host + 1) % s.hosts
			}
		}
	}
}

// about is what only one fault may be about at a time.
func (f fault) about() any {
	switch f.trial {
	case restart:
		return restart
	case pause:
		return [2]int{f.host, f.process}
	}
	return f.host // cut off in one way
}

func (s size) lasts(t trial, rand *rand.Rand) time.Duration {
	between := func(a, b time.Duration) time.Duration { return a + time.Duration(rand.Int64N(int64(b-a))) }
	switch t {
	case restart:
		return between(s.lease/3, s.lease*2)
	case pause:
		return between(s.lease*5/4, s.lease*2)
	}
	return between(s.lease/2, min(s.lease*3, grace/2))
}
