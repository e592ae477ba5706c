package keyring

import (
	"context"
	"testing"

	"github.com/evertoken/evertoken/tokenstore"
)

func TestErrorsNameThePackageOnce(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for want, err := range map[string]error{
		"keyring: open: the OS keyring is locked: unlock it and try again": failed("open", ErrKeyringLocked),
		`keyring: read session "a": no such session`:                       failed(about("read", "a"), tokenstore.ErrNotFound),
		`keyring: save session "a": context canceled`:                      check(ended, "save", "a"),
	} {
		if got := err.Error(); got != want {
			t.Errorf("text %q; want %q", got, want)
		}
	}
}
