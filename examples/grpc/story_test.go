package main

import (
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
)

func TestTheStoryEndsWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b strings.Builder
		if err := run(t.Context(), &b); err != nil {
			t.Errorf("run: %v", err)
		}
		for _, want := range []string{
			`logged in; access tokens live 4s\n(.*refreshed\n){2}`,
			`goes down\n(.*nothing is lost: .*\n)+.*is back; [5-9] calls have failed\n(.*failed.*\n)*.*refreshed`,
			`forgets its access tokens\n.*refreshed\n.*again, before a stream\n.*refreshed\n.*3 messages`,
			`, 0 mistakes with refresh tokens\n.*logged out\n$`,
		} {
			if !regexp.MustCompile(want).MatchString(b.String()) {
				t.Errorf("the story has no part like %q", want)
			}
		}
		if t.Failed() {
			t.Log("\n" + b.String())
		}
	})
}
