package main

import (
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// A row is the result of one run.
type row struct {
	What                               string
	Hosts, Processes, Sessions, Faults int
	tally
	Lost            int           // sessions that cannot be renewed any more
	Living, Served  int           // calls with a living token, and those of them that were served
	Waited, GivenUp int           // calls with a dead one: served in the end, or not in time
	Wait            time.Duration // the longest of a caller
	Problems        []string
	Note            string
}

func (r *row) holds() bool { return len(r.Problems) == 0 }

// broken notes that a promise is broken.
func (r *row) broken(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// note says what happened.
func (r *row) note(f *run) {
	var happened [trials]int
	for _, x := range f.faults {
		happened[x.trial]++
	}
	var parts []string
	for t, n := range happened {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d × %s", n, trial(t)))
		}
	}
	r.Note = fmt.Sprintf("%.0f s with access tokens of %.0f s: %.1f lives; leases of %s, a look every %s. Hosts are %s. %s. The machine's %d cores were busy for %.0f %% of the time.",
		f.size.length.Seconds(), f.size.life.Seconds(), f.size.length.Seconds()/f.size.life.Seconds(),
		f.size.lease, f.size.check, f.network, strings.Join(parts, ", "), runtime.NumCPU(), 100*f.busy)
}

// columns are the headings of the table.
var columns = []string{"engine", "processes", "sessions", "faults", "spends", "due", "early", "replays", "reuses", "lost", "living: served", "dead: served", "given up", "longest wait", "holds"}

func printHeader(w io.Writer) {
	fmt.Fprintf(w, "| %s |\n|---%s|\n", strings.Join(columns, " | "), strings.Repeat("|---:", len(columns)-1))
}

func (r *row) print(w io.Writer) {
	holds := "yes"
	if !r.holds() {
		holds = "NO"
	}
	cells := []string{r.What, fmt.Sprintf("%d × %d", r.Hosts, r.Processes)}
	spends := r.Due + r.Early + r.Replays + r.Reuses + r.Refused
	for _, n := range []int{r.Sessions, r.Faults, spends, r.Due, r.Early, r.Replays, r.Reuses, r.Lost} {
		cells = append(cells, strconv.Itoa(n))
	}
	cells = append(cells, fmt.Sprintf("%d/%d", r.Served, r.Living), strconv.Itoa(r.Waited), strconv.Itoa(r.GivenUp), fmt.Sprintf("%.1f s", r.Wait.Seconds()), holds)
	fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | "))
}

// enough is how many problems of a kind are told one by one.
const enough = 3

// printProblems tells what is broken, as soon as that is known. Problems whose texts
// differ in words with digits only are of one kind.
func (r *row) printProblems(w io.Writer) {
	told := make(map[string]int)
	for _, p := range r.Problems {
		var words []string
		for word := range strings.FieldsSeq(p) {
			if !strings.ContainsAny(word, "0123456789") {
				words = append(words, word)
			}
		}
		kind := strings.Join(words, " ")
		if told[kind]++; told[kind] <= enough {
			fmt.Fprintf(w, "fleet: %s: BROKEN: %s\n", r.What, p)
		}
	}
	if n := len(r.Problems); n > 0 {
		fmt.Fprintf(w, "fleet: %s: %d in all\n", r.What, n)
	}
}
