//go:build unix

package tokenstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"testing"
)

func TestF73_WhatIsWrongWithAPlaceSaysWhetherItPasses(t *testing.T) {
	path := func(errno syscall.Errno) error { return &fs.PathError{Op: "open", Path: "x", Err: errno} }
	rename := func(errno syscall.Errno) error { return &os.LinkError{Op: "rename", Old: "y", New: "x", Err: errno} }
	for name, c := range map[string]struct {
		err                    error
		place, passes, noLocks bool
	}{
		"flock: no lock service":    {syscall.ENOLCK, true, false, true},
		"flock: not supported":      {syscall.EOPNOTSUPP, true, false, true},
		"flock: not supported, BSD": {syscall.ENOTSUP, true, false, true},
		"flock: no such call":       {syscall.ENOSYS, true, false, true},
		"flock: bad descriptor":     {syscall.EBADF, true, false, true},
		"flock: bad operation":      {syscall.EINVAL, true, false, true},
		"flock: disk error":         {syscall.EIO, true, true, false},
		"no room":                   {path(syscall.ENOSPC), true, true, false},
		"no quota":                  {path(syscall.EDQUOT), true, true, false},
		"too large":                 {path(syscall.EFBIG), true, true, false},
		"read-only":                 {path(syscall.EROFS), true, false, false},
		"somebody else's":           {path(syscall.EACCES), true, false, false},
		"immutable":                 {rename(syscall.EPERM), true, false, false},
		"a mount":                   {rename(syscall.EBUSY), true, false, false},
		"another call's EINVAL":     {path(syscall.EINVAL), true, false, false},
		"no rename within":          {rename(syscall.EXDEV), true, false, false},
		"a directory in the way":    {path(syscall.EISDIR), true, false, false},
		"a file for the directory":  {path(syscall.ENOTDIR), true, false, false},
		"a link to itself":          {path(syscall.ELOOP), true, false, false},
		"a socket in the way":       {path(syscall.ENXIO), true, false, false},
		"no descriptors":            {path(syscall.EMFILE), true, true, false},
		"no descriptors at all":     {path(syscall.ENFILE), true, true, false},
		"flock: stale":              {syscall.ESTALE, true, true, false},
		"stale":                     {path(syscall.ESTALE), true, true, false},
		"too slow":                  {path(syscall.ETIMEDOUT), true, true, false},
		"known already":             {&PlaceError{Err: path(syscall.EISDIR), Advice: "x", Passes: true}, true, true, false},
		"disk error":                {path(syscall.EIO), true, true, false},
		"gone":                      {path(syscall.ENOENT), false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := fmt.Errorf("save: %w", advise(c.err))
			place, ok := errors.AsType[*PlaceError](err)
			if ok != c.place || errors.Is(err, ErrNoLocks) != c.noLocks || !errors.Is(err, c.err) {
				t.Fatalf("error %v; want a PlaceError: %v, about locks: %v", err, c.place, c.noLocks)
			}
			if ok && (place.Passes != c.passes || place.Advice == "") {
				t.Errorf("passes: %v, advice %q; want %v and some", place.Passes, place.Advice, c.passes)
			}
		})
	}
}
