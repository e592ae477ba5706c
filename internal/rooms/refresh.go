package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const module = "github.com/evertoken/evertoken"

// mostFilesPerRefresh is how many files one refresh may run through: as many as it does now.
// It may only fall; the aim is fewer than 30.
const mostFilesPerRefresh = 65

// filesOfOneRefresh returns the files of this module of which one scheduled refresh of
// one session in a File runs statements. It runs the tests of package onerefresh, one
// with and one without a refresh, and compares how often each statement ran.
func filesOfOneRefresh(root string) ([]string, error) {
	dir, err := os.MkdirTemp("", "rooms")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	tests := filepath.Join(dir, "onerefresh.exe") // Windows starts no other
	build := exec.Command("go", "test", "-c", "-o", tests, "-covermode=count", "-coverpkg="+module+"/...", "./internal/rooms/onerefresh")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("onerefresh: %w\n%s", err, out)
	}
	with, err := covered(tests, "TestOneRefresh")
	if err != nil {
		return nil, err
	}
	without, err := covered(tests, "TestNoRefresh")
	if err != nil {
		return nil, err
	}
	files := map[string]bool{}
	for block, n := range with {
		if n > without[block] {
			file, _, _ := strings.Cut(block, ":")
			files[strings.TrimPrefix(file, module+"/")] = true
		}
	}
	return slices.Sorted(maps.Keys(files)), nil
}

// covered runs one of the tests, and returns how often each block of statements of the
// module ran, by its place.
func covered(tests, name string) (map[string]int, error) {
	profile := filepath.Join(filepath.Dir(tests), name)
	cmd := exec.Command(tests, "-test.run=^"+name+"$", "-test.coverprofile="+profile)
	cmd.Dir = filepath.Dir(tests)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	data, err := os.ReadFile(profile)
	if err != nil {
		return nil, err
	}
	return readProfile(data)
}

// readProfile reads lines such as "file.go:33.41,35.3 1 2": a block's place, its
// statements, and how often it ran. The first line names the mode.
func readProfile(data []byte) (map[string]int, error) {
	blocks := map[string]int{}
	for i, line := range bytes.Split(bytes.TrimSpace(data), []byte("\n")) {
		if i == 0 {
			continue
		}
		fields := strings.Fields(string(line))
		if len(fields) != 3 {
			return nil, fmt.Errorf("line %d of the profile has %d fields, want 3", i+1, len(fields))
		}
		n, err := strconv.Atoi(fields[2])
		if err != nil {
			return nil, fmt.Errorf("line %d of the profile: %w", i+1, err)
		}
		blocks[fields[0]] += n
	}
	return blocks, nil
}
