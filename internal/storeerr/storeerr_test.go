package storeerr_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/evertoken/evertoken/internal/storeerr"
	"github.com/evertoken/evertoken/tokenstore"
)

func TestFailedSaysWhatWasBeingDone(t *testing.T) {
	for _, test := range []struct {
		action string
		err    error
		want   string
	}{
		{"open", errors.New("no such thing"), "shelf: open: no such thing"},
		{storeerr.About("save", `a"b`), storeerr.ErrNoRecord, `shelf: save session "a\"b": no record was given`},
		{"list sessions", fmt.Errorf("%w: away", tokenstore.ErrUnavailable), "shelf: list sessions: the store cannot be reached: away"},
	} {
		err := storeerr.Failed("shelf", test.action, test.err)
		if got := err.Error(); got != test.want {
			t.Errorf("text %q; want %q", got, test.want)
		}
		if !errors.Is(err, test.err) {
			t.Errorf("%q does not wrap what happened", err)
		}
	}
	if err := storeerr.Failed("shelf", "open", nil); err != nil {
		t.Errorf("nothing failed: %v", err)
	}
}

func TestCheckRefusesBadNamesAndEndedContexts(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := storeerr.Check(t.Context(), "shelf", "read", "default"); err != nil {
		t.Errorf("a good name: %v", err)
	}
	if err := storeerr.Check(ended, "shelf", "read", ""); err == nil || err.Error() != tokenstore.CheckName("").Error() {
		t.Errorf("no name: %v; want what CheckName says", err)
	}
	const want = `shelf: read session "default": context canceled`
	if err := storeerr.Check(ended, "shelf", "read", "default"); !errors.Is(err, context.Canceled) || err.Error() != want {
		t.Errorf("an ended context: %v; want %s", err, want)
	}
}
