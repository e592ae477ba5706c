//go:build unix

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
)

// Before main begins, a program sets up all packages that it is made of, whatever
// its command. An expression or a template there costs every "evertoken token" more
// than the work that was asked for, so ours are made when first used.
func TestTheCommandStartsWithoutExpressionsAndTemplates(t *testing.T) {
	const most = 30 // allocations in a package: maps and errors stay below, an expression does not
	cmd := exec.Command(program(t), "version")
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	var trace bytes.Buffer
	cmd.Stderr = &trace
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	packages := 0
	for line := range strings.Lines(trace.String()) {
		var pkg string
		var at, clock float64
		var size, allocs int
		if n, _ := fmt.Sscanf(line, "init %s @%f ms, %f ms clock, %d bytes, %d allocs", &pkg, &at, &clock, &size, &allocs); n != 5 {
			continue
		}
		if !strings.HasPrefix(pkg, "github.com/evertoken/evertoken/") {
			continue
		}
		packages++
		if allocs > most {
			t.Errorf("package %s makes %d allocations (%d bytes) before main; want at most %d", pkg, allocs, size, most)
		}
	}
	if packages < 3 {
		t.Errorf("the trace shows %d of our packages: is its form another one now?\n%s", packages, &trace)
	}
}

func TestATokenThatNobodyReadsIsSaid(t *testing.T) {
	for name, args := range map[string][]string{"token": nil, "quiet": {"--quiet"}} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(program(t), append([]string{"token", "--dir", living().save(t)}, args...)...)
			reader, writer, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			_ = reader.Close()
			defer func() { _ = writer.Close() }()
			var stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = writer, &stderr
			_ = cmd.Run() // how it ended is asked for below
			if code := cmd.ProcessState.ExitCode(); code != exit.Failed || !strings.Contains(stderr.String(), "output closed before it was written (broken pipe)") {
				t.Errorf("ended with %v, saying %q; want exit code %d and a message", cmd.ProcessState, &stderr, exit.Failed)
			}
		})
	}
}
