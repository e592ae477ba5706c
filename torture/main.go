// Command torture does to real processes what ends sessions elsewhere, and counts
// what is lost: it kills them, stops them, fills their disk and moves their clock,
// while they keep a session alive on a server that ends it at the first mistake.
//
//	make torture
//	make torture ARGS="-quick"
//	make torture ARGS="-seed 7 -json report.json"
//
// The server is oauthtest's, in this process, over sockets of the loopback
// interface. The workers are this command again, as processes of their own: they
// call the server's API through a refresh.Manager over a tokenstore.File, one
// request for each line on their standard input. An expiry is the server's word
// that it no longer takes the access token. What is drawn by lot is drawn from
// one seed, which is printed; when a signal arrives is up to the system too.
//
// The table is Markdown. Exit code 1 means that a promise is broken, and the notes
// say which. Rows of x/oauth2 show what the same does to a program as people write
// it without this module (see the type plain); they are not judged.
//
// It needs Linux, macOS or another Unix, and no privileges. With those to mount a
// file system it fills a real small disk; otherwise a limit on the size of files
// stands in for that.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"

	"github.com/evertoken/evertoken/internal/workers"
	"github.com/evertoken/evertoken/torture/internal/process"
	"github.com/evertoken/evertoken/torture/internal/report"
	"github.com/evertoken/evertoken/torture/internal/worker"
)

func main() {
	if workers.Inside() {
		os.Exit(worker.Main(os.Stdin, os.Stdout))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// command parses the arguments, runs all rows and returns the exit code. Workers
// write their own trouble to stderr.
func command(ctx context.Context, args []string, stdout io.Writer, stderr *os.File) int {
	flags := flag.NewFlagSet("torture", flag.ContinueOnError)
	flags.SetOutput(stderr)
	seed := flags.Uint64("seed", rand.Uint64N(1_000_000), "what random choices are drawn from")
	quick := flags.Bool("quick", false, "a few seconds of each instead of minutes")
	jsonFile := flags.String("json", "", "also write the rows as JSON to this `file`")
	switch err := flags.Parse(args); {
	case err == flag.ErrHelp:
		return worker.ExitHolds
	case err != nil:
		return worker.ExitUsage
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "torture: unexpected argument %q: it takes flags only\n", flags.Arg(0))
		return worker.ExitUsage
	case !process.HaveSignals:
		fmt.Fprintln(stderr, "torture: it needs the signals of Unix: run it on Linux or macOS")
		return worker.ExitBroken
	}
	rows, err := runAll(ctx, *seed, *quick, stdout, stderr)
	if err == nil && *jsonFile != "" {
		err = report.WriteJSON(*jsonFile, *seed, rows)
	}
	if err != nil {
		fmt.Fprintln(stderr, "torture:", err)
		return worker.ExitBroken
	}
	for _, r := range rows {
		if !r.Holds() {
			return worker.ExitBroken
		}
	}
	return worker.ExitHolds
}

// runAll runs every row and prints each when it is done, and the notes at the
// end. It leaves no process and no file behind.
func runAll(ctx context.Context, seed uint64, quick bool, stdout io.Writer, stderr *os.File) ([]*report.Row, error) {
	t, err := newTorture(seed, quick, stderr)
	if err != nil {
		return nil, err
	}
	defer t.clear()
	mode := ""
	if quick {
		mode = " -quick"
	}
	fmt.Fprintf(stdout, "torture -seed %d%s\n\n", seed, mode)
	report.PrintHeader(stdout)
	var rows []*report.Row
	for _, run := range t.rows() {
		r, err := run(ctx)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("interrupted: %w", context.Cause(ctx))
		}
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", len(rows)+1, err)
		}
		rows = append(rows, r)
		r.Print(stdout, len(rows))
	}
	report.PrintNotes(stdout, rows)
	return rows, nil
}

// rows returns what to run, in order.
func (t *torture) rows() []func(context.Context) (*report.Row, error) {
	s := t.size
	return []func(context.Context) (*report.Row, error){
		func(ctx context.Context) (*report.Row, error) { return t.crowded(ctx, worker.Evertoken, s.expiries) },
		func(ctx context.Context) (*report.Row, error) { return t.killed(ctx, worker.Evertoken, s.kills, grace) },
		func(ctx context.Context) (*report.Row, error) { return t.killed(ctx, worker.Evertoken, s.kills, 0) },
		func(ctx context.Context) (*report.Row, error) { return t.terminated(ctx, worker.Evertoken, s.terms) },
		t.diskFull,
		t.clockStepped,
		t.stopped,
		func(ctx context.Context) (*report.Row, error) { return t.crowded(ctx, worker.XOAuth2, s.plainExpiries) },
		func(ctx context.Context) (*report.Row, error) {
			return t.killed(ctx, worker.XOAuth2, s.plainKills, grace)
		},
		func(ctx context.Context) (*report.Row, error) { return t.terminated(ctx, worker.XOAuth2, s.plainKills) },
	}
}
