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

func TestNextVersionCountsUpAndBeginsLaterEachSecond(t *testing.T) {
	for _, prev := range []uint64{1, 7, 1 << 51} {
		if got := tokenstore.NextVersion(prev); got != prev+1 {
			t.Errorf("NextVersion(%d) = %d", prev, got)
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
