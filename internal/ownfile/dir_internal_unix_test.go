//go:build unix

package ownfile

import (
	"os"
	"path/filepath"
	"testing"
)

// Above the user's home, whoever may change a directory has all that the user has.
func TestDirectoriesAboveTheHomeAreNotLookedAt(t *testing.T) {
	top := filepath.Join(t.TempDir(), "top")
	home := filepath.Join(top, "home")
	if err := os.MkdirAll(filepath.Join(home, "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(top, 0o777); err != nil {
		t.Fatal(err)
	}
	for end, want := range map[string]bool{home: true, "/elsewhere": false, "": false} {
		err := checkWay(filepath.Join(home, "state"), func(path string) bool { return path == end })
		if (err == nil) != want {
			t.Errorf("the home is %q: %v", end, err)
		}
	}
	if err := os.Chmod(home, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := checkWay(filepath.Join(home, "state"), func(path string) bool { return path == home }); err == nil {
		t.Error("a home that all may write to is good")
	}
}

// A group that is called as its user and has no other member is that user's own.
func TestGroupWithOtherMembersIsNotTheUsersOwn(t *testing.T) {
	for what, tt := range map[string]struct {
		name, members string
		own           bool
	}{
		"a private group":                  {"alice", "", true},
		"a private group that names her":   {"alice", "alice", true},
		"another member":                   {"alice", "bob", false},
		"another member beside her":        {"alice", "alice,bob", false},
		"a group of many":                  {"staff", "", false},
		"a group of many that names her":   {"users", "alice", false},
		"a name that begins as the user's": {"alice2", "", false},
	} {
		if got := isPrivate("alice", tt.name, tt.members); got != tt.own {
			t.Errorf("%s: %v; want %v", what, got, tt.own)
		}
	}
}
