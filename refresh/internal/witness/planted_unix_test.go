//go:build unix

package witness_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/evertoken/evertoken/refresh/internal/witness"
)

// What lies in place of a file of notes is as if nothing had been noted there.
func TestF97_WhatLiesInPlaceOfNotesIsLeftAlone(t *testing.T) {
	sum := sha256.Sum256([]byte("default"))
	for what, plant := range map[string]func(path, target string) error{
		"a named pipe": func(path, _ string) error { return syscall.Mkfifo(path, 0o600) },
		"a directory":  func(path, _ string) error { return os.Mkdir(path, 0o700) },
		"a link to a file": func(path, target string) error {
			return errors.Join(os.WriteFile(target, []byte("theirs"), 0o600), os.Symlink(target, path))
		},
		"a link to nothing": func(path, target string) error { return os.Symlink(target+"-nothing", path) },
		"a hard link": func(path, target string) error {
			return errors.Join(os.WriteFile(target, []byte("theirs"), 0o600), os.Link(target, path))
		},
		"a huge file": func(path, _ string) error {
			return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 8<<30))
		},
	} {
		t.Run(what, func(t *testing.T) {
			spoiled, whole := t.TempDir(), t.TempDir()
			target := filepath.Join(t.TempDir(), "target")
			if err := plant(filepath.Join(spoiled, hex.EncodeToString(sum[:1])), target); err != nil {
				t.Fatal(err)
			}
			b := witness.Open(spoiled, whole)
			b.Note("default", token(1))
			if !b.Spent("default", token(1)) || b.Spent("default", token(2)) {
				t.Error("the other directory does not count")
			}
			if data, err := os.ReadFile(target); err == nil && string(data) != "theirs" {
				t.Errorf("the file that it leads to is now %q", data)
			}
			if _, err := os.Lstat(target + "-nothing"); err == nil {
				t.Error("a file was made where the link leads")
			}
		})
	}
}

// A directory that another user has put there, or could replace, is not used.
func TestF97_DirectoriesOfOthersAreLeftAlone(t *testing.T) {
	for what, plant := range map[string]func(dir, victim string) error{
		"a link of another user's to a directory of ours": func(dir, victim string) error {
			return errors.Join(os.Symlink(victim, dir), os.Lchown(dir, 4711, 4711))
		},
		"a directory of another user's": func(dir, _ string) error { return errors.Join(os.Mkdir(dir, 0o755), os.Chown(dir, 4711, 4711)) },
		"one that others may write to":  func(dir, _ string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o777)) },
		"one below such a directory": func(dir, _ string) error {
			return errors.Join(os.Chmod(filepath.Dir(dir), 0o777), os.Mkdir(dir, 0o700))
		},
		"none, below such a directory": func(dir, _ string) error { return os.Chmod(filepath.Dir(dir), 0o777) },
	} {
		t.Run(what, func(t *testing.T) {
			dir, victim := filepath.Join(t.TempDir(), "spent"), t.TempDir()
			if err := plant(dir, victim); errors.Is(err, os.ErrPermission) {
				t.Skip("only root gives files away")
			} else if err != nil {
				t.Fatal(err)
			}
			b := witness.Open(dir).For("/sessions")
			b.Note("default", token(1))
			b.Replace("login", pair(2))
			if b.Spent("default", token(1)) || b.Old("login", pair(1)) || b.SeesAll([]string{b.ID()}) {
				t.Error("notes in it count")
			}
			for _, dir := range []string{dir, victim} {
				if entries, err := os.ReadDir(dir); len(entries) > 0 || what[:4] == "none" && dir != victim && err == nil {
					t.Errorf("%s has %v now, %v", dir, entries, err)
				}
			}
		})
	}
}
