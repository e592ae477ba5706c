// Package chance is where waits get the part of them that is left to chance, which keeps
// processes and sessions from acting at the same moment.
package chance

import "math/rand/v2"

// A Source is a clock that also says what chance does, so that a simulated history
// can be played a second time.
type Source interface {
	// Chance returns a number in [0,1), another one each time.
	Chance() float64
	// ChanceOf returns a number in [0,1) for a name, the same each time.
	ChanceOf(name string) float64
}

// Float64 returns a random number in [0,1): what clk says if it is a Source.
// Safe for concurrent use.
func Float64(clk any) float64 {
	if s, ok := clk.(Source); ok {
		return s.Chance()
	}
	return rand.Float64()
}

// Of returns a number in [0,1) that stays with a name: what clk says if it is a Source,
// and what otherwise says if not.
func Of(clk any, name string, otherwise func(name string) float64) float64 {
	if s, ok := clk.(Source); ok {
		return s.ChanceOf(name)
	}
	return otherwise(name)
}
