// Package disk has disks that go bad, and get well again.
package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/evertoken/evertoken/torture/internal/process"
	"github.com/evertoken/evertoken/torture/internal/worker"
)

// A Disk is a directory that one of the faults can strike.
type Disk struct {
	Dir    string
	Remove func()
}

// A Fault is a way for a disk to go bad. What is on the disk stays there.
type Fault struct {
	Name string
	// Lefts is how many of what runs out may be left: from none to more than a save
	// takes.
	Lefts int
	// Process says that it strikes a process, and not the disk.
	Process bool
	// NoLock says that the session cannot be locked meanwhile: then nothing may be spent.
	NoLock bool
	// Break begins it, with so many left; Mend ends it. Both get the session's file,
	// and the worker that it is to strike, which is nil for a command.
	Break func(ctx context.Context, d *Disk, file string, p *process.Process, left int) error
	Mend  func(ctx context.Context, d *Disk, file string, p *process.Process) error
}

// New returns a real small disk at dir, if one may be mounted, with all that can happen
// to it. Otherwise limits on the process stand in for that.
func New(dir string) (*Disk, []Fault) {
	unmount, err := mountSmall(dir)
	if err != nil {
		return &Disk{dir, func() {}}, Limits
	}
	return &Disk{dir, unmount}, append(Limits[:len(Limits):len(Limits)], onDisk...)
}

// onDisk are the faults of a disk that was mounted.
var onDisk = []Fault{
	{
		Name: "full", Lefts: 4,
		Break: func(_ context.Context, d *Disk, _ string, _ *process.Process, left int) error {
			return fillUp(d.ballast(), left*pageSize)
		},
		Mend: func(_ context.Context, d *Disk, _ string, _ *process.Process) error { return os.Remove(d.ballast()) },
	},
	{
		Name: "out of inodes", Lefts: 4,
		Break: func(_ context.Context, d *Disk, _ string, _ *process.Process, left int) error {
			return useInodes(d.ballast(), left)
		},
		Mend: func(_ context.Context, d *Disk, _ string, _ *process.Process) error { return os.RemoveAll(d.ballast()) },
	},
	{
		Name: "read-only", Lefts: 1,
		Break: func(_ context.Context, d *Disk, _ string, _ *process.Process, _ int) error {
			return remount(d.Dir, true)
		},
		Mend: func(_ context.Context, d *Disk, _ string, _ *process.Process) error {
			return remount(d.Dir, false)
		},
	},
	{
		Name: "the record is a mount point", Lefts: 1,
		Break: func(_ context.Context, _ *Disk, file string, _ *process.Process, _ int) error {
			return mountOver(file)
		},
		Mend: func(_ context.Context, _ *Disk, file string, _ *process.Process) error {
			return unmount(file)
		},
	},
}

// Limits are faults that need no privileges. They strike a worker only.
var Limits = []Fault{
	limit("files must not grow (RLIMIT_FSIZE)", false, worker.CmdRoom+" 0", worker.CmdRoom+" -1"),
	limit("no file can be opened (RLIMIT_NOFILE)", true, worker.CmdFiles+" none", worker.CmdFiles+" any"),
}

func limit(name string, noLock bool, begin, end string) Fault {
	return Fault{
		Name: name, Lefts: 1, Process: true, NoLock: noLock,
		Break: func(ctx context.Context, _ *Disk, _ string, p *process.Process, _ int) error {
			return p.Ask(ctx, begin)
		},
		Mend: func(ctx context.Context, _ *Disk, _ string, p *process.Process) error { return p.Ask(ctx, end) },
	}
}

func (d *Disk) ballast() string { return filepath.Join(d.Dir, "ballast") }

// pageSize is what a file system of memory gives out at once.
const pageSize = 4096

// fillUp writes to a file until the disk is full, and gives so much of it back.
func fillUp(path string, left int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	block := make([]byte, 512)
	for range 1 << 20 {
		if _, err = f.Write(block); err != nil {
			break
		}
	}
	if err == nil {
		return errors.Join(errors.New("the small disk does not fill up"), f.Close())
	}
	info, err := f.Stat()
	if err == nil && left > 0 {
		err = f.Truncate((info.Size()+pageSize-1)/pageSize*pageSize - int64(left))
	}
	return errors.Join(err, f.Close())
}

// useInodes makes files until there are no more, and removes so many of them.
func useInodes(path string, left int) error {
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	for n := range 1 << 16 {
		if os.WriteFile(filepath.Join(path, fmt.Sprint(n)), nil, 0o600) != nil {
			for i := range left {
				if err := os.Remove(filepath.Join(path, fmt.Sprint(n-1-i))); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return errors.New("the small disk has inodes without end")
}

// patiently tries again for a while what fails as long as a process is at work.
func patiently(try func() error) (err error) {
	for range 100 {
		if err = try(); err == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}
