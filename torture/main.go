// Command torture does to real processes what ends sessions elsewhere, and counts
// what is lost: it kills them, stops them, fills their disk and moves their clock,
// while they keep a session alive on a server that ends it at the first mistake.
//
//	make torture
//	make torture ARGS="-quick"
//	make torture ARGS="-seed 7 -json report.json"
//	make torture ARGS="-quick -rows 11,13"
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
// Rows 1 to 10 run one after the other. Those after them mostly wait, and run beside
// each other: for a disk, a store or a server to be bad, and to get well.
//
// It needs Linux, macOS or another Unix, and no privileges. With those to mount a
// file system it fills a real small disk and unmounts a home; otherwise limits on the
// process stand in for that. The rows of commands build the evertoken command, with
// the go that is in the path.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
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
	var only numbers
	flags.Func("rows", "run only these: `numbers` with commas between them", only.chosen)
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
	rows, err := runAll(ctx, *seed, *quick, only, stdout, stderr)
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

// runAll runs the rows and prints each when it and those before it are done, and the
// notes at the end. It leaves no process and no file behind.
func runAll(ctx context.Context, seed uint64, quick bool, only numbers, stdout io.Writer, stderr *os.File) ([]*report.Row, error) {
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
	rows, err := t.runRows(ctx, only, stdout)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("interrupted: %w", context.Cause(ctx))
	}
	if err != nil {
		return nil, err
	}
	report.PrintNotes(stdout, rows)
	return rows, nil
}

// runRows runs first one row after the other, and then the patient ones beside each other.
func (t *torture) runRows(ctx context.Context, only numbers, stdout io.Writer) ([]*report.Row, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		row *report.Row
		err error
	}
	var results []chan result // in order
	entries := t.rows()
	for i, e := range entries {
		if !only.has(i + 1) {
			continue
		}
		done := make(chan result, 1)
		results = append(results, done)
		run := func() {
			r, err := e.run(ctx)
			if err != nil {
				err = fmt.Errorf("row %d: %w", i+1, err)
				cancel()
			} else {
				r.Number = i + 1
			}
			done <- result{r, err}
		}
		if e.patient {
			go run()
			continue
		}
		run()
		last := <-done
		if last.err != nil {
			return nil, last.err
		}
		last.row.Print(stdout)
		done <- last
	}
	var rows []*report.Row
	var failed error
	for _, done := range results {
		last := <-done // also after a failure: each row cleans up
		if failed == nil || errors.Is(failed, context.Canceled) {
			failed = cmp.Or(last.err, failed)
		}
		if rows = append(rows, last.row); failed == nil && entries[last.row.Number-1].patient {
			last.row.Print(stdout)
		}
	}
	return rows, failed
}

// numbers are those of chosen rows; none means all.
type numbers []int

func (ns numbers) has(n int) bool { return len(ns) == 0 || slices.Contains(ns, n) }

// chosen reads numbers with commas between them.
func (ns *numbers) chosen(list string) error {
	for _, text := range strings.Split(list, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		*ns = append(*ns, n)
	}
	return nil
}

// An entry is a row to run.
type entry struct {
	// patient says that it waits for most of the time, and measures nothing that others
	// disturb that do the same.
	patient bool
	run     func(context.Context) (*report.Row, error)
}

// Numbers that notes refer to.
const (
	rowServerAway = 22
	rowsInAll     = 28
)

// rows returns what to run, in order.
func (t *torture) rows() []entry {
	s := t.size
	busy := func(run func(context.Context) (*report.Row, error)) entry { return entry{run: run} }
	patient := func(c worker.Client, run func(context.Context, worker.Client, *rand.Rand) (*report.Row, error)) entry {
		own := t.newRand() // what is drawn beside others must not depend on them
		return entry{true, func(ctx context.Context) (*report.Row, error) { return run(ctx, c, own) }}
	}
	return []entry{
		busy(func(ctx context.Context) (*report.Row, error) { return t.crowded(ctx, worker.Evertoken, s.expiries) }),
		busy(func(ctx context.Context) (*report.Row, error) {
			return t.killed(ctx, worker.Evertoken, s.kills, grace)
		}),
		busy(func(ctx context.Context) (*report.Row, error) { return t.killed(ctx, worker.Evertoken, s.kills, 0) }),
		busy(func(ctx context.Context) (*report.Row, error) {
			return t.terminated(ctx, worker.Evertoken, s.terms)
		}),
		busy(t.badDiskDaemon),
		busy(t.clockStepped),
		busy(t.stopped),
		busy(func(ctx context.Context) (*report.Row, error) {
			return t.crowded(ctx, worker.XOAuth2, s.plainExpiries)
		}),
		busy(func(ctx context.Context) (*report.Row, error) {
			return t.killed(ctx, worker.XOAuth2, s.plainKills, grace)
		}),
		busy(func(ctx context.Context) (*report.Row, error) {
			return t.terminated(ctx, worker.XOAuth2, s.plainKills)
		}),

		patient(worker.Evertoken, t.badDiskCommand),
		patient(worker.XOAuth2, t.badDiskCommand),
		patient(worker.Evertoken, t.oldCopyDaemons),
		patient(worker.Evertoken, t.oldCopyCommand),
		patient(worker.XOAuth2, t.oldCopyDaemons),
		patient(worker.Evertoken, t.directoryAway),
		patient(worker.XOAuth2, t.directoryAway),
		patient(worker.Evertoken, t.serverPauses),
		patient(worker.XOAuth2, t.serverPauses),
		patient(worker.Evertoken, t.endlessAnswers),
		patient(worker.XOAuth2, t.endlessAnswers),
		patient(worker.Evertoken, t.serverAway),
		patient(worker.XOAuth2, t.serverAway),
		patient(worker.Evertoken, t.serverBackInTime),
		patient(worker.XOAuth2, t.serverBackInTime),
		patient(worker.Evertoken, t.refusedCommand),
		patient(worker.Evertoken, t.throttledOne),
		patient(worker.XOAuth2, t.throttledOne),
	}
}
