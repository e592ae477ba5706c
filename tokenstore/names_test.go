package tokenstore_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/tokenstore"
)

func TestCheckName(t *testing.T) {
	for name, want := range map[string]string{
		"default":                "",
		" ":                      "",
		"../x":                   "",
		"日本語":                    "",
		strings.Repeat("n", 512): "",
		"":                       "tokenstore: invalid session name: it is empty",
		strings.Repeat("n", 513): "tokenstore: invalid session name: it has 513 bytes, more than 512",
		"a\x00b":                 `tokenstore: invalid session name: "a\x00b" contains a NUL`,
		"a\xff":                  `tokenstore: invalid session name: "a\xff" is not valid UTF-8`,
	} {
		err := tokenstore.CheckName(name)
		switch {
		case want == "" && err != nil:
			t.Errorf("CheckName(%q): %v", name, err)
		case want != "" && (err == nil || err.Error() != want || !errors.Is(err, tokenstore.ErrInvalidName)):
			t.Errorf("CheckName(%q): %v; want %q", name, err, want)
		}
	}
}

func TestNextVersionGrowsAndIsLaterEachSecond(t *testing.T) {
	now := tokenstore.NextVersion(0)
	for _, prev := range []uint64{1, 7, now, 1 << 51, 1 << 52, 1<<53 - 2} {
		if got := tokenstore.NextVersion(prev); got <= prev || got >= 1<<53 || prev < now && got < now-1<<20 {
			t.Errorf("NextVersion(%d) = %d at %d", prev, got, now)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		last := uint64(0)
		for range 1000 {
			got := tokenstore.NextVersion(0)
			if got <= last || got >= 1<<53 {
				t.Fatalf("NextVersion(0) = %d, a second earlier it was %d", got, last)
			}
			last = got
			time.Sleep(time.Second)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		year2242 := time.Date(2242, 1, 1, 0, 0, 0, 0, time.UTC)
		time.Sleep(time.Until(year2242))
		if got := tokenstore.NextVersion(0); got >= 1<<53 {
			t.Errorf("NextVersion(0) = %d in 2242; want less than 2^53", got)
		}
	})
	seen := make(map[uint64]bool)
	for range 100 {
		seen[tokenstore.NextVersion(0)] = true
	}
	if len(seen) < 90 {
		t.Errorf("100 new versions at once: only %d are different", len(seen))
	}
}

// A store goes back to an older copy and is written to again: no version comes twice, however
// short the time since, and whatever happened to the clock.
func TestVersionsAfterARollbackAreNeverUsedTwice(t *testing.T) {
	for name, start := range map[string]uint64{"a session of this store": 0, "one with a version from the future": 1 << 51, "one that another program wrote": 1<<52 + 7} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				used, version := make(map[uint64]int), tokenstore.NextVersion(start)
				var copies []uint64
				twice := 0
				for range 100 {
					copies = append(copies, version)
					for range 3 {
						version = tokenstore.NextVersion(version)
						if used[version]++; used[version] > 1 {
							twice++
						}
					}
					version = copies[len(copies)/2] // back to a copy
					time.Sleep(100 * time.Millisecond)
				}
				if twice > 1 { // by chance
					t.Errorf("%d of 300 versions were used twice", twice)
				}
			})
		})
	}
}
