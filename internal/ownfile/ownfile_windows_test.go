package ownfile_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/internal/ownfile"
	"github.com/evertoken/evertoken/internal/testdir"
)

// Links of Windows are reparse points, those of directories (junctions) among them, which
// need no privilege.
func TestF97_ReparsePointsAreNotFollowed(t *testing.T) {
	for what, plant := range map[string]func(path, target string) error{
		"a directory": func(path, _ string) error { return os.Mkdir(path, 0o700) },
		"a junction": func(path, target string) error {
			return errors.Join(os.Mkdir(target, 0o700), exec.Command("cmd", "/c", "mklink", "/J", path, target).Run())
		},
		"a link to a file": func(path, target string) error {
			return errors.Join(os.WriteFile(target, []byte("theirs"), 0o600), os.Symlink(target, path))
		},
		"a link to nothing": func(path, target string) error { return os.Symlink(target, path) },
	} {
		dir := testdir.New(t)
		path, target := filepath.Join(dir, "file"), filepath.Join(dir, "target")
		err := plant(path, target)
		if _, there := os.Lstat(path); err == nil {
			err = there // Wine 8 makes no links, and says that it has
		}
		if err != nil {
			t.Logf("%s cannot be made here: %v", what, err)
			continue
		}
		_, before := os.Lstat(target)
		_, _, openErr := ownfile.Open(path)
		_, _, appendErr := ownfile.Append(path)
		for call, err := range map[string]error{"Open": openErr, "Append": appendErr, "PrepareLock": ownfile.PrepareLock(path, "other")} {
			if own, ok := errors.AsType[*ownfile.Error](err); !ok || !strings.HasPrefix(own.Error(), path+" is ") {
				t.Errorf("%s of %s: %v; want an error that says what it is", call, what, err)
			}
		}
		if _, after := os.Lstat(target); (before == nil) != (after == nil) {
			t.Errorf("%s: something was made or removed where it leads: %v", what, after)
		}
	}
}

func TestF97_HugeFileIsNotRead(t *testing.T) {
	path := filepath.Join(testdir.New(t), "file")
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, ownfile.Limit+1)); err != nil {
		t.Fatal(err)
	}
	if _, err := ownfile.ReadPrivate(path); !errors.Is(err, ownfile.ErrTooLarge) {
		t.Errorf("error %v; want ErrTooLarge", err)
	}
}
