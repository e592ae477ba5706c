// Command fleet has hosts share sessions while everything between them fails, and
// counts what is lost.
//
//	make fleet
//	make fleet ARGS="-quick"
//	make fleet ARGS="-seed 7 -for 1m -skew 0"
//	make fleet ARGS="-quick -rows 3,5"
//
// Each host has several processes; in each of them a refresh.Pool keeps all sessions
// alive, and uses their tokens. They share one Redis, then one PostgreSQL. The
// authorization server is oauthtest's: it ends a session when a refresh token is
// spent twice, beyond a grace window of thirty seconds. Hosts are network namespaces,
// or process groups behind proxies where those are refused.
//
// Faults are drawn by lot from one seed, which is printed: hosts cut off from the
// engine, from the authorization server, or from both; the engine killed and started
// again; processes stopped in the middle of a spend, for longer than leases last. The
// clocks of two hosts are off by five minutes, one to either side: by several lives of
// an access token.
//
// After that each kind of bad day has a run of its own, with fewer processes, in which
// nothing else goes wrong: an old copy of the engine's data is put back, of whose last
// renewals one host has not heard; the engine is killed when the server has spent a token
// and not answered yet; the server stands still with the requests that it has, for more
// than half a minute, and then goes on; it is away while callers wait, and back; it sends
// one session away for an hour. No answer is lost on the second, the third and the last of
// these days, whose servers have no grace window: there no token may be sent again.
//
// # What is counted
//
// Every refresh token that arrives is a spend, and one of these:
//
//   - due: the first spend of a token whose access token had lived half its life or
//     more, which is when pools begin to renew. There is one for each expiry. A pool
//     that has waited long for the server begins earlier: that counts as due if the
//     process, or one that announced the spend before, was seen to wait.
//   - early: the same more than a second before that. That must not be, whatever the
//     clocks say.
//   - replays: sent again before the successor was saved: an answer was lost on the
//     way, or its process was stopped. The server's grace window is for that.
//   - reuses: sent again after the successor was saved, or at the same time. That must
//     not be.
//
// Where all promises are kept, each spend is for an expiry or a replay. It counts when
// a process began to send a request, not when that arrived: a broken network may deliver
// it late, and a process may be stopped in between. That a pair is saved is the word of
// the process whose write the engine has acknowledged.
//
// A session is lost when the server has ended it, or when the engine holds a refresh
// token that was exchanged and a process that starts then cannot go on with it. Calls
// of the API are living if the token that the process holds has more than a second to
// live by the server's clock, and does not die on a journey that began in time. Those
// must be served at any time, whatever the host's clock says. Others wait for a new
// token, and are given up when none can be had in time.
//
// Exit code 1 means that a promise is broken; the notes say which. It needs Linux,
// redis-server and PostgreSQL (setup.sh).
package main

import (
	"cmp"
	"context"
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
	"time"

	"github.com/evertoken/evertoken/internal/workers"
)

// Exit codes.
const (
	exitHolds  = 0
	exitBroken = 1
	exitUsage  = 2
)

func main() {
	if workers.Inside() {
		os.Exit(work(os.Stdin, os.Stdout))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// command parses the arguments, runs all rows and returns the exit code.
func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("fleet", flag.ContinueOnError)
	flags.SetOutput(stderr)
	seed := flags.Uint64("seed", rand.Uint64N(1_000_000), "what random choices are drawn from")
	quick := flags.Bool("quick", false, "seconds and few sessions instead of minutes and many")
	skew := flags.Duration("skew", 5*time.Minute, "how far the clocks of two hosts are off, one to either side")
	length := flags.Duration("for", 0, "how long each engine's run is; zero means ten minutes, or seconds with -quick")
	var only []int
	flags.Func("rows", "run only these: `numbers` with commas between them; from 3 on they are days", func(list string) error {
		for text := range strings.SplitSeq(list, ",") {
			n, err := strconv.Atoi(text)
			if err != nil {
				return err
			}
			only = append(only, n)
		}
		return nil
	})
	measuring := flags.Bool("measure", false, "instead, count what sessions ask of the engines")
	simulating := flags.Bool("simulate", false, "instead, compute what a million sessions do")
	switch err := flags.Parse(args); {
	case err == flag.ErrHelp:
		return exitHolds
	case err != nil || flags.NArg() > 0 || *length < 0:
		return exitUsage
	}
	if *simulating {
		simulate(stdout, *seed)
		return exitHolds
	}
	if *measuring {
		if err := measure(ctx, stdout); err != nil {
			fmt.Fprintln(stderr, "fleet:", err)
			return exitBroken
		}
		return exitHolds
	}
	s, mode := fullSize, ""
	if *quick {
		s, mode = quickSize, " -quick"
	}
	s.length = cmp.Or(*length, s.length)
	fmt.Fprintf(stdout, "fleet -seed %d%s\n\n", *seed, mode)
	holds, err := runAll(ctx, *seed, s, days(*quick), only, *skew, stdout, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "fleet:", err)
	}
	if err != nil || !holds {
		return exitBroken
	}
	return exitHolds
}

// runAll runs the chosen rows, all if none is chosen, prints each when it is done, and the
// notes at the end.
func runAll(ctx context.Context, seed uint64, s size, ofDays []day, only []int, skew time.Duration, stdout, stderr io.Writer) (holds bool, err error) {
	goFirst()
	printHeader(stdout)
	random := rand.New(rand.NewPCG(seed, seed))
	chosen := func(number int) bool { return len(only) == 0 || slices.Contains(only, number) }
	var rows []*row
	holds = true
	tell := func(r *row) {
		r.print(stdout)
		r.printProblems(stderr)
		rows, holds = append(rows, r), holds && r.holds()
	}
	engines := []kind{inRedis, inPostgres}
	for i, k := range engines {
		if !chosen(i + 1) {
			continue
		}
		r, err := runRow(ctx, random, s, k, skew)
		if err != nil {
			return false, fmt.Errorf("%s: %w", k, err)
		}
		tell(r)
	}
	err = runDays(ctx, random, ofDays, func(i int) bool { return chosen(len(engines) + i + 1) }, tell)
	if err != nil {
		return false, err
	}
	for _, r := range rows {
		fmt.Fprintf(stdout, "\n%s: %s\n", r.What, r.Note)
	}
	return holds, nil
}
