package main

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
)

// A script that has no room for an answer must not take it for one.
func TestAnswersThatFindNoSpaceAreToldAsThat(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { full.Close() })
	for _, args := range []string{"version", "--version", "--help", "help", "help login", "login --help"} {
		var stderr strings.Builder
		code := run(t.Context(), strings.Fields(args), strings.NewReader(""), full, &stderr, noEnv)
		if code != exit.Temporary || !strings.Contains(stderr.String(), "free some space") {
			t.Errorf("%s: exit code %d, %q; want 4 and what to do", args, code, &stderr)
		}
	}
	a := testApp(t)
	err = new(getCmd).write(full, func() error { return nil }, &http.Response{Body: http.NoBody})
	if err != nil {
		t.Errorf("an empty answer: %v", err)
	}
	resp := &http.Response{Body: &slowReader{strings.NewReader("text")}}
	err = new(getCmd).write(full, func() error { return nil }, resp)
	if p, is := errors.AsType[*exit.Problem](a.explain(err)); !is || p.Code != exit.Temporary || p.Next != "free some space" {
		t.Errorf("get: %v; want 4 and what to do", a.explain(err))
	}
}
