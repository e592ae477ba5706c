package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A row is the result of one kind of torture.
type row struct {
	What      string   `json:"what"`
	Judged    bool     `json:"judged"`
	Processes int      `json:"processes"` // started in all
	Rounds    int      `json:"rounds"`
	Spends    int      `json:"spends"`        // refresh tokens that reached the server
	Reuses    int      `json:"reuses"`        // and should not have, says its auditor
	Lost      int      `json:"sessions_lost"` // a new login was needed
	Torn      int      `json:"torn_files"`    // a file was neither the old one nor the new one
	Locks     int      `json:"locks_left"`    // held by nobody who lives
	Served    int      `json:"served"`        // requests that had to be served
	Failed    int      `json:"failed"`        // and were not
	Problems  []string `json:"problems"`      // what breaks a promise
	Notes     []string `json:"notes"`
}

// newRow returns the row of a client. Only x/oauth2 is not judged.
func newRow(c client, what string) *row {
	if c == xoauth2 {
		return &row{What: "x/oauth2: " + what}
	}
	return &row{What: what, Judged: true}
}

// holds reports whether no promise is broken.
func (r *row) holds() bool { return len(r.Problems) == 0 }

// enough is how many problems a row tells one by one.
const enough = 5

// broken notes that a promise is broken. Rows for comparison have promised nothing.
func (r *row) broken(format string, args ...any) {
	if r.Judged {
		r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
	}
}

func (r *row) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// served counts a request that had to be served.
func (r *row) served(err error) {
	if err == nil {
		r.Served++
		return
	}
	r.Failed++
	r.broken("not served: %v", err)
}

// add adds the counts of a part that ran beside others.
func (r *row) add(part *row) {
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

func printHeader(w io.Writer) {
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

func (r *row) print(w io.Writer, number int) {
	holds := "yes"
	switch {
	case !r.Judged:
		holds = "–"
	case !r.holds():
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

// printNotes prints what the table cannot hold.
func printNotes(w io.Writer, rows []*row) {
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

func writeJSON(path string, seed uint64, rows []*row) error {
	data, err := json.MarshalIndent(map[string]any{"seed": seed, "rows": rows}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}
