// Package disk has disks that can be filled.
package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/evertoken/evertoken/torture/internal/process"
	"github.com/evertoken/evertoken/torture/internal/worker"
)

// A Disk can be full.
type Disk struct {
	Name string
	Dir  string
	// Fill takes all room, for the given worker at least; Free gives it back.
	Fill, Free func(ctx context.Context, p *process.Process) error
	Remove     func()
}

// New returns a real small disk at dir, if one may be mounted, or a limit on the size
// of files, which makes writes fail in the same place.
func New(dir string) *Disk {
	unmount, err := mountSmall(dir)
	if err != nil {
		return Limited(dir)
	}
	ballast := filepath.Join(dir, "ballast")
	return &Disk{
		Name: "a small tmpfs", Dir: dir, Remove: unmount,
		Fill: func(context.Context, *process.Process) error { return fillUp(ballast) },
		Free: func(context.Context, *process.Process) error { return os.Remove(ballast) },
	}
}

// Limited returns a limit on the size of files below dir.
func Limited(dir string) *Disk {
	room := func(bytes int) func(context.Context, *process.Process) error {
		return func(ctx context.Context, p *process.Process) error {
			return p.Ask(ctx, fmt.Sprintf("%s %d", worker.CmdRoom, bytes))
		}
	}
	return &Disk{Name: "a limit on the size of files (RLIMIT_FSIZE), as nothing may be mounted here",
		Dir: dir, Remove: func() {}, Fill: room(0), Free: room(-1)}
}

// fillUp writes to a file until the disk is full.
func fillUp(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	block := make([]byte, 512)
	for range 1 << 20 {
		if _, err = f.Write(block); err != nil {
			_ = f.Close() // it has failed already
			return nil
		}
	}
	return errors.Join(errors.New("the small disk does not fill up"), f.Close())
}
