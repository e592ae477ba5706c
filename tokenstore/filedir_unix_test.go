//go:build unix && !darwin && !ios

package tokenstore_test

import (
	"testing"

	"github.com/evertoken/evertoken/tokenstore"
)

func TestDefaultDirStaysOnTheMachine(t *testing.T) {
	for _, test := range []struct{ home, state, want string }{
		{"/home/alice", "", "/home/alice/.local/state/evertoken"},
		{"/home/alice", "/var/state", "/var/state/evertoken"},
		{"/home/alice", "relative", "/home/alice/.local/state/evertoken"},
		{"", "", ""},
	} {
		t.Setenv("HOME", test.home)
		t.Setenv("XDG_STATE_HOME", test.state)
		got, err := tokenstore.DefaultDir()
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("with HOME=%q XDG_STATE_HOME=%q: %q, %v; want %q", test.home, test.state, got, err, test.want)
		}
	}
}
