//go:build race

package conformance

// raceEnabled makes the command under test report races when the tests do.
const raceEnabled = true
