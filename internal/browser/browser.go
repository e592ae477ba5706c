// Package browser shows a URL in the person's browser.
package browser

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/cli/browser"
)

// Check returns why Open would show nothing to the person, as far as the environment tells.
func Check() error {
	if os.Getenv("BROWSER") != "" {
		return nil
	}
	return reachable(runtime.GOOS, os.Getenv)
}

// Open shows an http or https URL in a browser: with a program named by the
// environment variable BROWSER, otherwise with the system's.
//
// BROWSER is read as xdg-open reads it: a list separated by colons (semicolons on
// Windows) of commands, tried until one works; %s in a command stands for the
// URL, which otherwise comes last. No shell is involved.
//
// Open does not wait for the browser to end. It returns an error when the program
// cannot be started or fails at once, when there is no display, and in an SSH
// session, where a browser would open on a screen that the person does not see. The end of
// ctx ends the waiting, not the browser. Nothing the browser prints reaches the
// program's own output. Safe for concurrent use.
func Open(ctx context.Context, url string) error { return open(ctx, url, settleTime) }

// settleTime is how long a program has to fail. Those that hand the URL to a
// running browser end within it; those that are the browser go on.
const settleTime = 500 * time.Millisecond

// open is Open with another time for each program to fail.
func open(ctx context.Context, url string, limit time.Duration) error {
	if !strings.HasPrefix(url, "https://") && !strings.HasPrefix(url, "http://") {
		return errors.New("only http and https addresses are opened")
	}
	if list := os.Getenv("BROWSER"); list != "" {
		return openWith(ctx, list, url, limit)
	}
	if err := reachable(runtime.GOOS, os.Getenv); err != nil {
		return err
	}
	discardOutput()
	return settle(ctx, limit, func() error {
		if err := browser.OpenURL(url); err != nil {
			return fmt.Errorf("no browser could be started: %w", cleanError(err))
		}
		return nil
	})
}

// discardOutput is done once and for the whole program, since that is how the
// library wants it: its browsers would print into ours.
var discardOutput = sync.OnceFunc(func() {
	browser.Stdout = io.Discard
	browser.Stderr = io.Discard
})

// openWith tries the commands of a BROWSER list in turn.
func openWith(ctx context.Context, list, url string, limit time.Duration) error {
	var lastErr error
	for entry := range strings.SplitSeq(list, string(filepath.ListSeparator)) {
		args := command(entry, url)
		if len(args) == 0 {
			continue
		}
		if lastErr = start(ctx, args, limit); lastErr == nil {
			return nil
		}
	}
	if lastErr == nil {
		return errors.New("the environment variable BROWSER names no program")
	}
	return fmt.Errorf("the program named by BROWSER did not start: %w", cleanError(lastErr))
}

// command returns the words of one BROWSER entry with the URL put in. An entry
// that is a program as a whole may have spaces in its path.
func command(entry, url string) []string {
	entry = strings.TrimSpace(entry)
	if entry == "" {
		return nil
	}
	if _, err := exec.LookPath(entry); err == nil {
		return []string{entry, url}
	}
	words := strings.Fields(entry)
	if !strings.Contains(entry, "%s") {
		return append(words, url)
	}
	for i, word := range words {
		words[i] = strings.ReplaceAll(word, "%s", url)
	}
	return words
}

// start runs a command. The browser outlives the call, so ctx is not its.
func start(ctx context.Context, args []string, limit time.Duration) error {
	cmd := exec.Command(args[0], args[1:]...)
	if err := cmd.Start(); err != nil {
		return err
	}
	return settle(ctx, limit, cmd.Wait)
}

// settle runs f and returns its error, or nil when it takes longer than limit.
func settle(ctx context.Context, limit time.Duration, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil
}

// reachable returns an error when a browser would open where the person does not see it.
func reachable(goos string, getenv func(string) string) error {
	if getenv("SSH_CONNECTION") != "" || getenv("SSH_TTY") != "" {
		return errors.New("this is an SSH session")
	}
	switch goos {
	case "windows", "darwin", "ios", "android":
		return nil
	}
	for _, name := range []string{"DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"} {
		if getenv(name) != "" {
			return nil
		}
	}
	return errors.New("there is no display")
}

// cleanError keeps the URL, which errors of os/exec do not hold today, out of
// messages for good: it returns the program's name and why it failed.
func cleanError(err error) error {
	var missing *exec.Error
	var exit *exec.ExitError
	switch {
	case errors.As(err, &missing):
		return missing
	case errors.As(err, &exit):
		return errors.New(exit.ProcessState.String())
	}
	var path *os.PathError
	if errors.As(err, &path) {
		return path
	}
	return fmt.Errorf("%T", err)
}
