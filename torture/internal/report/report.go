// Package report has the rows of the table that a torture prints.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Row is the result of one kind of torture.
type Row struct {
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
	Problems  []string `json:"problems"`      // what breaks a promise
	Notes     []string `json:"notes"`
}

// Holds reports whether no promise is broken.
func (r *Row) Holds() bool { return len(r.Problems) == 0 }

// enough is how many problems a row tells one by one.
const enough = 5

// Broken notes that a promise is broken. Rows for comparison have promised nothing.
func (r *Row) Broken(format string, args ...any) {
	if r.Judged {
		r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
	}
}

// Note adds a sentence below the table.
func (r *Row) Note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// CountServed counts a request that had to be served.
func (r *Row) CountServed(err error) {
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
	r.Problems = append(r.Problems, part.Problems...)
}

// columns are the headings of the table, with the width that each needs. All of
// it fits in 100 columns.
var columns = []struct {
	name  string
	width int
}{
	{"what", -36}, {"procs", 5}, {"rounds", 6}, {"spends", 6}, {"reuses", 6}, {"lost", 4},
	{"torn", 4}, {"locks", 5}, {"served", 9}, {"holds", 5},
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
func (r *Row) Print(w io.Writer, number int) {
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
	cells := []any{fmt.Sprintf("%d %s", number, r.What), r.Processes, r.Rounds, r.Spends, r.Reuses, r.Lost, r.Torn, r.Locks, served, holds}
	line := "|"
	for i, c := range columns {
		line += fmt.Sprintf("%*v|", c.width, cells[i])
	}
	fmt.Fprintln(w, line)
}

// PrintNotes prints what the table cannot hold.
func PrintNotes(w io.Writer, rows []*Row) {
	for i, r := range rows {
		fmt.Fprintln(w)
		text := strings.Join(r.Notes, " ")
		for n, p := range r.Problems {
			switch {
			case n < enough:
				text += " BROKEN: " + p + "."
			case n == enough:
				text += fmt.Sprintf(" BROKEN: and %d more.", len(r.Problems)-enough)
			}
		}
		fmt.Fprintln(w, wrap(fmt.Sprintf("%d. %s", i+1, text), 100))
	}
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
