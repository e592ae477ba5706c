package ownfile_test

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/evertoken/evertoken/internal/ownfile"
)

// Opening a pipe wakes the process that waits at its other end, and opening a device may wind a tape. So
// what is none of ours is not even opened.
func TestF97_WhatIsNoFileIsNotEvenOpened(t *testing.T) {
	for what, plant := range map[string]func(path string) error{
		"a named pipe": func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a directory":  func(path string) error { return syscall.Mkdir(path, 0o700) },
	} {
		path := filepath.Join(t.TempDir(), "file")
		must(t, plant(path))
		fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
		must(t, err)
		if _, err := unix.InotifyAddWatch(fd, path, unix.IN_OPEN); err != nil {
			t.Fatal(err)
		}
		events := make([]byte, 4096)
		opened := func() bool {
			n, err := unix.Read(fd, events)
			if err != nil && !errors.Is(err, unix.EAGAIN) {
				t.Error(err)
			}
			return n > 0
		}
		_, _, openErr := ownfile.Open(path)
		_, _, appendErr := ownfile.Append(path)
		if openErr == nil || appendErr == nil || opened() {
			t.Errorf("%s was opened: %v, %v", what, openErr, appendErr)
		}
		if f, _, err := ownfile.OpenAnyway(path, unix.O_RDONLY); err == nil {
			_ = f.Close()
		}
		if !opened() {
			t.Errorf("%s: nothing is told of what is opened, so that this test proves nothing", what)
		}
		must(t, unix.Close(fd))
	}
}

// The group's bits in a mode are those of an access control list, if there is one: others may
// be named in it, and the group be the user's own.
func TestDirectoryAboveThatAListOpensToOthersIsRefused(t *testing.T) {
	top := filepath.Join(t.TempDir(), "top")
	must(t, os.Mkdir(top, 0o700))
	list := []byte{2, 0, 0, 0}
	for _, entry := range []struct {
		tag, may uint16
		id       uint32
	}{{1, 7, ^uint32(0)}, {2, 7, 4711}, {4, 0, ^uint32(0)}, {16, 7, ^uint32(0)}, {32, 0, ^uint32(0)}} {
		list = binary.LittleEndian.AppendUint16(list, entry.tag)
		list = binary.LittleEndian.AppendUint16(list, entry.may)
		list = binary.LittleEndian.AppendUint32(list, entry.id)
	}
	if err := unix.Setxattr(top, "system.posix_acl_access", list, 0); err != nil {
		if os.Getenv("EVERTOKEN_REQUIRE_REAL") == "1" || os.Getenv("CI") == "true" {
			t.Fatalf("no access control lists here: %v", err)
		}
		t.Skipf("no access control lists here: %v (EVERTOKEN_REQUIRE_REAL=1 makes this a failure)", err)
	}
	err := ownfile.CheckParents(filepath.Join(top, "store"))
	if own, ok := errors.AsType[*ownfile.Error](err); !ok || !strings.Contains(own.Advice, "chmod go-w") {
		t.Errorf("%v; want the directory refused", err)
	}
	must(t, os.Chmod(top, 0o700)) // as that advises: the list stays, and its entries may nothing
	if err := ownfile.CheckParents(filepath.Join(top, "store")); err != nil {
		t.Errorf("after chmod: %v", err)
	}
}
