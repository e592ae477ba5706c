package main

import (
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"slices"
	"time"
)

// A model is a crowd of sessions as the schedule of refresh renews it: see
// (refresh.Config).RefreshThreshold.
type model struct {
	sessions  int
	life      time.Duration // of an access token
	threshold time.Duration
	length    time.Duration // that is simulated
}

// renewals returns how many there are in each second, after all sessions have logged
// in at once, which is the worst that can happen.
func (m model) renewals(r *rand.Rand) []int {
	seconds := make([]int, int(m.length/time.Second)+1)
	lead := min(m.threshold, m.life/3)
	for range m.sessions {
		// A session keeps its jitter for the life of a process. It moves the first renewal, of
		// a crowd, forward by at most half the lead; then they are spread, and it does so by
		// a tenth, and a sixtieth of what the token lives before that.
		jitter := r.Float64()
		every := m.life - lead - time.Duration(jitter*float64(min(lead/10, (m.life-lead)/60)))
		for at := m.life - lead - time.Duration(jitter*float64(lead)/2); at <= m.length; at += every {
			seconds[at/time.Second]++
		}
	}
	return seconds
}

// spread says how even the last part of the seconds is: mean and peak.
func spread(seconds []int) (mean float64, peak int) {
	sum := 0
	for _, n := range seconds {
		sum += n
	}
	return float64(sum) / float64(len(seconds)), slices.Max(seconds)
}

// owner returns which of n replicas has the session, by rendezvous hashing: the one
// whose number and the name together have the highest hash. When a replica is added,
// it takes over an even share and nothing else moves.
func owner(name string, n int) int {
	best, chosen := uint64(0), 0
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // never fails
	sum := h.Sum64()
	for replica := range n {
		if score := mix(sum ^ mix(uint64(replica)+1)); score > best {
			best, chosen = score, replica
		}
	}
	return chosen
}

// mix spreads every bit over all others (the finalizer of SplitMix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// simulate prints what a million sessions do, and how evenly names are shared out.
func simulate(stdout io.Writer, seed uint64) {
	r := rand.New(rand.NewPCG(seed, seed))
	const sessions = 1_000_000
	fmt.Fprintf(stdout, "fleet -simulate -seed %d: %d sessions that log in at once, RefreshThreshold 5 min, 24 h\n\n", seed, sessions)
	fmt.Fprintln(stdout, "| access token lives | renewals in an hour, per session | renewals a second: mean | peak, first 4 lives | peak, last 4 lives |\n|---:|---:|---:|---:|---:|")
	for _, life := range []time.Duration{10 * time.Minute, time.Hour} {
		m := model{sessions: sessions, life: life, threshold: 5 * time.Minute, length: 24 * time.Hour}
		seconds := m.renewals(r)
		mean, _ := spread(seconds)
		early, late := 4*int(life/time.Second), len(seconds)-4*int(life/time.Second)
		_, first := spread(seconds[:early])
		_, last := spread(seconds[late:])
		fmt.Fprintf(stdout, "| %.0f min | %.2f | %.0f | %d | %d |\n", life.Minutes(), mean*3600/sessions, mean, first, last)
	}
	fmt.Fprintln(stdout, "\n| replicas | sessions of the fullest, to the mean | sessions that move when one is added |\n|---:|---:|---:|")
	for _, n := range []int{4, 16, 100} {
		fullest, moved := share(sessions/4, n)
		fmt.Fprintf(stdout, "| %d | %.3f | %.2f %% |\n", n, fullest, 100*moved)
	}
}

// share shares out sessions among n replicas.
func share(sessions, n int) (fullest, moved float64) {
	owned, moves := make([]int, n), 0
	for i := range sessions {
		name := fmt.Sprintf("user%08d", i)
		at := owner(name, n)
		owned[at]++
		if owner(name, n+1) != at {
			moves++
		}
	}
	return float64(slices.Max(owned)) * float64(n) / float64(sessions), float64(moves) / float64(sessions)
}
