package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// Each test binary is the browser too, as the command is.
func TestMain(m *testing.M) {
	if slices.Contains(browsers, filepath.Base(os.Args[0])) {
		os.Exit(browse())
	}
	os.Exit(m.Run())
}

// patient is a pace for a machine that has other things to do. Nothing is judged by time: how
// often tokens expire meanwhile does not matter.
var patient = pace{life: 4 * time.Second, person: 100 * time.Millisecond, outage: 6 * time.Second, limit: 5 * time.Minute}

// What the table in docs/mcp.md counts for our bridge, in all scenarios.
func TestF90_TenBridgesInEveryScenario(t *testing.T) {
	ours, err := build("../../..", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range scenarios {
		for _, expiresIn := range s.variants() {
			name := s.name
			if !expiresIn {
				name += ", without expires_in"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel() // most of it is waiting
				res, err := s.with(patient, ours, expiresIn, "")
				if err != nil {
					t.Fatal(err)
				}
				want := tally{windows: s.windows, registrations: s.registrations}
				if s.luck && res.asked.windows == want.windows+1 {
					want.windows++
				}
				if res.asked != want || res.lost || res.failed > 0 {
					t.Errorf("%+v were asked for, the session was lost: %t, and %d calls failed; want %+v and nothing else: %v",
						res.asked, res.lost, res.failed, want, res.words)
				}
			})
		}
	}
}
