package sim

import (
	"math/rand/v2"
	"time"
)

// A Kind is what an Event does.
type Kind string

const (
	Crash       Kind = "crash"                              // the process dies at its Nth call from now, and starts again after For
	Restart     Kind = "restart"                            // it is stopped in order, and starts again after For
	StoreAway   Kind = "store away"                         // no call of the process reaches the store
	StoreGone   Kind = "store away for all"                 // nor any other process's
	StoreLost   Kind = "store away beyond locks"            // for all, from the next answer on, and locks end after 15 seconds
	StoreSlow   Kind = "store slow"                         // each call takes N milliseconds
	StoreFull   Kind = "store full"                         // it can be read and not written
	AckLost     Kind = "store answers lost"                 // the process's next N writes take effect and fail
	Rollback    Kind = "store put back"                     // the session's record is as it was N writes ago
	Reset       Kind = "last writes lost"                   // the whole store is as it was N writes ago
	NetDown     Kind = "network down"                       // the process reaches no server
	RequestLost Kind = "requests lost"                      // its next N requests do not arrive, and it cannot know
	AnswerLost  Kind = "answers lost"                       // the answers to its next N requests
	NetSlow     Kind = "network slow"                       // each of its requests takes N milliseconds
	Held        Kind = "connections held"                   // its next N requests neither arrive nor end
	ServerDown  Kind = "server down"                        // 503 for all
	ServerBusy  Kind = "server busy"                        // 429, Retry-After N seconds
	ServerRests Kind = "server rests"                       // 503, Retry-After N seconds
	ServerVague Kind = "refused without a word"             // by something in front of the server
	OneVague    Kind = "one refused"                        // the same, of one session's refreshes alone
	ClientWrong Kind = "client refused"                     // whoever asks
	ServerPause Kind = "server pauses"                      // requests are worked on, and answered when the pause is over
	ClockStep   Kind = "clock set"                          // the wall clock of the process's host jumps N seconds
	Login       Kind = "login"                              // the person logs in again, at this process
	Logout      Kind = "logout"                             // and out, and in again after For
	ServerEnds  Kind = "server ends session"                // by its own will
	VagueEnd    Kind = "server ends session without a word" // as an API gateway's 403, say
	LateReplay  Kind = "late replays judged"                // no event: law 5 is checked for answers that are lost
	Crowd       Kind = "crowd"                              // N callers at once, some of whom leave, some of whom insist
)

// A Mode is a kind of trouble that histories may have.
type Mode struct {
	Kind Kind
	// Off says why the mode is not part of the normal test: a fault of the code, known
	// and to be mended. Empty means that the laws hold.
	Off string
	// Unless names such a fault that shows only in some worlds: the mode is off there.
	// Nil means in none.
	Unless func(*Plan) string
	// Make fills in For and N.
	Make func(r *rand.Rand, p *Plan) Event
}

func lasting(lo, hi time.Duration) func(*rand.Rand, *Plan) Event {
	return func(r *rand.Rand, _ *Plan) Event { return Event{For: between(r, lo, hi)} }
}

func times(n int) func(*rand.Rand, *Plan) Event {
	return func(r *rand.Rand, _ *Plan) Event { return Event{N: 1 + r.IntN(n)} }
}

// Modes returns all kinds of trouble.
func Modes() []Mode {
	return []Mode{
		{Kind: Crash, Make: func(r *rand.Rand, _ *Plan) Event {
			return Event{N: r.IntN(20), For: between(r, time.Second, 10*time.Minute)}
		}},
		{Kind: Restart, Make: lasting(0, 10*time.Minute)},
		{Kind: StoreAway, Make: lasting(time.Second, 20*time.Minute)},
		{Kind: StoreGone, Make: lasting(time.Second, 20*time.Minute)},
		{Kind: StoreLost, Make: lasting(16*time.Second, 20*time.Minute)},
		{Kind: StoreSlow, Make: func(r *rand.Rand, _ *Plan) Event {
			return Event{For: between(r, time.Second, 10*time.Minute), N: 100 + r.IntN(14_000)}
		}},
		{Kind: StoreFull, Make: lasting(time.Second, time.Hour)},
		{Kind: LateReplay},
		{Kind: AckLost, Make: times(4)},
		{Kind: Rollback, Make: times(12)},
		{Kind: Reset, Make: times(3)},
		{Kind: NetDown, Make: lasting(time.Second, time.Hour)},
		{Kind: RequestLost, Make: times(5)},
		{Kind: AnswerLost, Make: times(3)},
		{Kind: NetSlow, Make: func(r *rand.Rand, _ *Plan) Event {
			return Event{For: between(r, time.Minute, time.Hour), N: 1000 + r.IntN(27_000)}
		}},
		{Kind: Held, Make: times(3)},
		{Kind: ServerDown, Make: lasting(time.Second, 2*time.Hour)},
		{Kind: ServerBusy, Make: func(r *rand.Rand, _ *Plan) Event {
			return Event{For: between(r, time.Second, 10*time.Minute), N: 1 + r.IntN(120)}
		}},
		{Kind: ServerRests, Make: func(r *rand.Rand, _ *Plan) Event {
			return Event{For: between(r, time.Second, 10*time.Minute), N: 1 + r.IntN(120)}
		}},
		{Kind: ServerVague, Make: lasting(time.Second, 3*time.Hour)},
		{Kind: OneVague, Make: lasting(time.Minute, 12*time.Hour)},
		{Kind: ClientWrong, Make: lasting(time.Second, 3*time.Hour)},
		{Kind: ServerPause, Make: lasting(31*time.Second, 170*time.Second)}, // less than Config.RefreshTimeout,
		{Kind: ClockStep, Make: func(r *rand.Rand, p *Plan) Event {
			return Event{N: r.IntN(7200) - 3600}
		}},
		{Kind: Login, Make: times(1)},
		{Kind: Logout, Make: lasting(time.Minute, time.Hour)},
		{Kind: ServerEnds, Make: times(1)},
		{Kind: VagueEnd, Make: times(1)},
		{Kind: Crowd, Make: times(40)},
	}
}

// On returns the modes in which the laws are to hold today.
func On() []Mode {
	var on []Mode
	for _, m := range Modes() {
		if m.Off == "" {
			on = append(on, m)
		}
	}
	return on
}

// All returns all modes, in any world.
func All() []Mode {
	all := Modes()
	for i := range all {
		all[i].Unless = nil
	}
	return all
}

// Named returns the modes of the given kinds, whether they are on or off.
func Named(kinds ...Kind) []Mode {
	var named []Mode
	for _, m := range All() {
		for _, k := range kinds {
			if m.Kind == k {
				named = append(named, m)
			}
		}
	}
	return named
}
