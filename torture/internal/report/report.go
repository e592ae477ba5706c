// Package report has the rows of the table that a torture prints.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A Row is the result of one kind of torture.
type Row struct {
	Number    int      `json:"row"`
	What      string   `json:"what"`
	Judged    bool     `json:"judged"`
	Processes int      `json:"processes"` // started in all
	Rounds    int      `json:"rounds"`
	Spends    int      `json:"spends"`        // refresh tokens that reached the server
	Reuses    int      `json:"reuses"`        // and should not have, says its auditor
	Lost      int      `json:"sessions_lost"` // a new login was needed
	Torn      int      `json:"torn_files"`    // a file was neither the old one nor the new one
	Locks     int      `json:"locks_left"`    // held by no living process
	Served    int      `json:"served"`        // requests that had to be served
	Failed    int      `json:"failed"`        // and were not
	Wait      Millis   `json:"longest_wait"`  // of a caller that had to be served, in milliseconds
	Asked     int      `json:"asked"`         // requests that reached a server that was away
	Problems  []string `json:"problems"`      // what breaks a promise
	Late      []string `json:"too_slow"`      // what took longer than is promised
	Notes     []string `json:"notes"`

	Waits []time.Duration `json:"-"` // of callers for a server that is back
	Away  time.Duration   `json:"-"` // how long servers were away that Asked counts for
}

// Millis is a duration, in JSON a number of milliseconds.
type Millis int64

// Holds reports whether no promise is broken.
func (r *Row) Holds() bool { return len(r.Problems) == 0 && len(r.Late) == 0 }

// enough is how many problems a row tells one by one.
const enough = 5

// Broken notes that a promise is broken. Rows for comparison have promised nothing.
func (r *Row) Broken(format string, args ...any) {
	if r.Judged {
		r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
	}
}

// TooSlow notes that something takes longer than is promised. On a machine that has other
// work to do that can be the machine's doing.
func (r *Row) TooSlow(format string, args ...any) {
	if r.Judged {
		r.Late = append(r.Late, fmt.Sprintf(format, args...))
	}
}

// Note adds a sentence below the table.
func (r *Row) Note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// CountServed counts a request that had to be served, and how long it took.
func (r *Row) CountServed(err error, took time.Duration) {
	r.Wait = max(r.Wait, Millis(took.Milliseconds()))
	if err == nil {
		r.Served++
		return
	}
	r.Failed++
	r.Broken("not served: %v", err)
}

// Add adds the counts of a part that ran beside others.
func (r *Row) Add(part *Row) {
	r.Processes += part.Processes
	r.Rounds += part.Rounds
	r.Spends += part.Spends
	r.Reuses += part.Reuses
	r.Lost += part.Lost
	r.Torn += part.Torn
	r.Locks += part.Locks
	r.Served += part.Served
	r.Failed += part.Failed
	r.Wait = max(r.Wait, part.Wait)
	r.Waits = append(r.Waits, part.Waits...)
	r.Asked += part.Asked
	r.Away += part.Away
	r.Problems = append(r.Problems, part.Problems...)
	r.Late = append(r.Late, part.Late...)
}

// quantile is the least time within which that share of the waits was over.
func (r *Row) quantile(share float64) time.Duration {
	if len(r.Waits) == 0 {
		return 0
	}
	slices.Sort(r.Waits)
	return r.Waits[min(len(r.Waits)-1, int(share*float64(len(r.Waits))))]
}

// Wait90 is how long nine of ten callers have waited at most.
func (r *Row) Wait90() time.Duration { return r.quantile(0.9) }

// WaitsText tells how long callers have waited.
func (r *Row) WaitsText() string {
	seconds := func(share float64) float64 { return r.quantile(share).Seconds() }
	return fmt.Sprintf("half of %d callers were served within %.2f s, 90 %% within %.2f s, and all within %.2f s",
		len(r.Waits), seconds(0.5), seconds(0.9), seconds(1))
}

// columns are the headings of the table, with the width that each needs. All of
// it fits in 100 columns.
var columns = []struct {
	name  string
	width int
}{
	{"what", -32}, {"procs", 5}, {"rounds", 6}, {"spends", 6}, {"reuses", 6}, {"lost", 4},
	{"torn", 4}, {"locks", 5}, {"served", 9}, {"wait", 6}, {"holds", 5},
}

// String returns the time in seconds.
func (m Millis) String() string {
	if m < 10_000 {
		return fmt.Sprintf("%.1f s", float64(m)/1000)
	}
	return fmt.Sprintf("%d s", (m+500)/1000)
}

// PrintHeader prints the heading of the table.
func PrintHeader(w io.Writer) {
	head, rule := "|", "|"
	for _, c := range columns {
		head += fmt.Sprintf("%*s|", c.width, c.name)
		if c.width < 0 {
			rule += strings.Repeat("-", -c.width) + "|"
		} else {
			rule += strings.Repeat("-", c.width-1) + ":|"
		}
	}
	fmt.Fprintf(w, "%s\n%s\n", head, rule)
}

// Print prints the row with its number.
func (r *Row) Print(w io.Writer) {
	holds := "yes"
	switch {
	case !r.Judged:
		holds = "–"
	case !r.Holds():
		holds = "NO"
	}
	served := strconv.Itoa(r.Served)
	if r.Failed > 0 {
		served += "/" + strconv.Itoa(r.Served+r.Failed)
	}
	cells := []any{fmt.Sprintf("%d %s", r.Number, r.What), r.Processes, r.Rounds, r.Spends, r.Reuses, r.Lost, r.Torn, r.Locks, served, r.Wait, holds}
	line := "|"
	for i, c := range columns {
		line += fmt.Sprintf("%*v|", c.width, cells[i])
	}
	fmt.Fprintln(w, line)
}

// PrintNotes prints what the table cannot hold.
func PrintNotes(w io.Writer, rows []*Row) {
	for _, r := range rows {
		fmt.Fprintln(w)
		text := strings.Join(r.Notes, " ")
		text += told(" BROKEN: ", r.Problems) + told(" TOO SLOW: ", r.Late)
		fmt.Fprintln(w, wrap(fmt.Sprintf("%d. %s", r.Number, text), 100))
	}
}

// told returns what is wrong, each as a sentence that begins with a word.
func told(word string, problems []string) (text string) {
	for n, p := range problems {
		if n == enough {
			return text + fmt.Sprintf("%sand %d more.", word, len(problems)-enough)
		}
		text += word + p + "."
	}
	return text
}

// wrap breaks text into lines of at most width characters, indented as in a list.
func wrap(text string, width int) string {
	var b strings.Builder
	used := 0
	for _, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case used == 0:
		case used+1+n > width:
			b.WriteString("\n   ")
			used = 3
		default:
			b.WriteByte(' ')
			used++
		}
		b.WriteString(word)
		used += n
	}
	return b.String()
}

// WriteJSON writes the rows to a file.
func WriteJSON(path string, seed uint64, rows []*Row) error {
	data, err := json.MarshalIndent(map[string]any{"seed": seed, "rows": rows}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}
