//go:build unix

package oauth_test

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/evertoken/evertoken/oauth"
)

// Opening a named pipe waits for a writer, who may never come.
func TestFileThatIsAPipeIsNotWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := oauth.AssertionFile(path)(t.Context()); !errors.Is(err, oauth.ErrMisconfigured) {
		t.Errorf("%v; want ErrMisconfigured", err)
	}
}
