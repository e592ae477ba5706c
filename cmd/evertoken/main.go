// Command evertoken logs in to an OAuth server, or to a backend that has tokens of its own,
// once, and keeps the session alive from then on, for shell scripts and for people.
//
//	evertoken login --issuer https://login.example.com --client-id my-cli
//	evertoken get https://api.example.com/me
//	evertoken curl https://api.example.com/things -d name=value
//	evertoken status
//
// Any number of these may run at once: one of them renews the tokens and the
// others use what it got. To see a session live through a minute of trouble,
// without any server of your own:
//
//	evertoken demo
//
// # Exit codes
//
//	0  done
//	1  failed, for a reason that the message tells
//	2  wrong usage of the command line
//	3  a login is required
//	4  temporary trouble: the same command may work in a moment
//	5  misconfigured: a setting has to be changed first
//	130  interrupted by Ctrl-C before it was done; 128 plus the signal's number for others
//
// # Where things are
//
// All is below one directory, that of tokenstore.DefaultDir unless --dir or
// EVERTOKEN_DIR names another:
//
//	profiles/   the server and client each profile was logged in with, without the
//	            client secret, or the backend and its dialect, without the password;
//	            and the store of its tokens
//	sealed/     --store keyring: a file of tokens for each profile, sealed with a
//	            key that is in the OS keyring
//	*.json      --store file: a file of tokens for each profile, readable by any
//	            program that can read the user's files
//
// --profile or EVERTOKEN_PROFILE names another profile.
//
// Only "evertoken login" chooses the store: by --store, or else EVERTOKEN_STORE, or
// else as the profile remembers it, or else the keyring. If there is no keyring,
// that is an error: a plain file is only ever chosen by a person.
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
)

func main() {
	forbidDumps()
	ctx, stop := untilSignal()
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv)
	stop()
	os.Exit(code)
}

// untilSignal returns a context that the first signal to end cancels, so that a
// refresh under way is still saved. The second one ends the process as usual.
func untilSignal() (context.Context, context.CancelFunc) {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup wants it
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	came := make(chan os.Signal, 1)
	signal.Notify(came, signals...)
	go func() {
		select {
		case sig := <-came:
			signal.Stop(came)
			cancel(interrupted{sig})
		case <-ctx.Done():
		}
	}()

	// A reader that leaves early ("| head") must not kill a refresh either: while a
	// channel is registered for SIGPIPE, writes return an error instead. Ignoring the
	// signal would pass on to the browser that a login starts.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return ctx, func() { cancel(nil) }
}

// interrupted is the cause of a context that a signal has canceled.
type interrupted struct{ os.Signal }

func (interrupted) Error() string { return "interrupted" }

func (interrupted) Is(target error) bool { return target == context.Canceled }

// interruptedBy returns the exit code of a command that was interrupted, as shells
// count: by the signal that came. Other codes stay.
func interruptedBy(ctx context.Context, code int) int {
	if cause, ok := errors.AsType[interrupted](context.Cause(ctx)); ok && code == exit.Interrupted {
		if sig, ok := cause.Signal.(syscall.Signal); ok {
			return exit.Signal + int(sig)
		}
	}
	return code
}
