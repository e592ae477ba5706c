package ownfile_test

import (
	"errors"
	"path/filepath"
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
