// Command evertoken logs in to an OAuth server once and keeps the session alive
// from then on, for shell scripts and for people.
//
//	evertoken login --issuer https://login.example.com --client-id my-cli
//	curl -H "Authorization: Bearer $(evertoken token)" https://api.example.com/me
//	evertoken get https://api.example.com/me
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
//	5  misconfigured: somebody has to change something first
//
// # Where things are
//
// All is below one directory, that of tokenstore.DefaultDir unless --dir or
// EVERTOKEN_DIR names another:
//
//	profiles/   the server and client each profile was logged in with, without the
//	            client secret, and the store of its tokens
//	sealed/     --store keyring: a file of tokens for each profile, sealed with a
//	            key that is in the OS keyring
//	*.json      --store file: a file of tokens for each profile, readable by whoever
//	            can read the user's files
//
// --profile or EVERTOKEN_PROFILE names another profile.
//
// Only "evertoken login" chooses the store: by --store, or else EVERTOKEN_STORE, or
// else as the profile remembers it, or else the keyring. If there is no keyring,
// that is an error: a plain file is only ever chosen by a person.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	a := newApp(os.Stdin, os.Stdout, os.Stderr, os.Getenv)
	if answer := a.quick(os.Args[1:]); answer != nil {
		// Nothing is under way, so a signal may end the process as usual; only of
		// writes to nobody the message tells, as it does below. No other program is
		// started any more to which this could pass on.
		signal.Ignore(syscall.SIGPIPE)
		os.Exit(answer())
	}
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
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	context.AfterFunc(ctx, stop)

	// A reader that leaves early ("| head") must not kill a refresh either: with
	// somebody listening for SIGPIPE, writes return an error instead. Ignoring it
	// would pass on to the browser that a login starts.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return ctx, stop
}
