package demo

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/terminal"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/text"
)

// A view is what the demo shows at one moment. Drawing it is a pure function.
type view struct {
	elapsed, total time.Duration

	life  time.Duration // of an access token
	left  time.Duration // of the current one; negative when it has died
	due   time.Duration // until the next renewal
	state string        // instead of due, while a renewal is under way or failing

	workers          int
	served, rejected int
	rate             float64 // requests a second, lately
	renewals         int
	attempts         int
	saves            int
	survived         int
	fault            string // the one under way

	log []logLine // oldest first
}

// A logLine is something that happened.
type logLine struct {
	at   time.Duration // since the start
	mood mood
	text string
}

// A mood is how good a piece of news is.
type mood int

const (
	plain mood = iota
	good
	bad
	alarming
)

// ansi colours a text as its mood says.
func (m mood) ansi(text string, l terminal.Look) string {
	codes := [...]string{plain: "", good: "32", bad: "33", alarming: "1;31"}
	if !l.Color || text == "" || codes[m] == "" {
		return text
	}
	return "\x1b[" + codes[m] + "m" + text + "\x1b[0m"
}

// sign marks a line for a reader without colours.
func (m mood) sign() string { return [...]string{plain: " ", good: "+", bad: "!", alarming: "X"}[m] }

const (
	minWidth = 40 // narrower, lines are cut
	maxWidth = 100
	labelled = 15 // columns before a value
)

// render draws v into at most l.Width columns and l.Height lines.
func render(v view, l terminal.Look) string {
	width := min(max(l.Width-1, minWidth), maxWidth) // terminals disagree on what follows the last column
	column := func(text string) string { return fmt.Sprintf("%-*s", max((width-labelled)/3, 14), text) }
	lines := []string{
		spread(" evertoken demo", clock(v.elapsed)+" of "+clock(v.total), width),
		"",
		label("access token") + v.bar(l, width) + "  " + v.lifeText(),
		label("next renewal") + v.renewalText(),
		"",
		label("requests") + good.ansi(column(text.Count(v.served)+" served"), l) +
			v.rejectedMood().ansi(column(text.Count(v.rejected)+" rejected"), l) +
			fmt.Sprintf("%s, %.0f/s", text.Plural(v.workers, "worker"), v.rate),
		label("renewals") + column(text.Count(v.renewals)+" done") + column(text.Plural(v.attempts, "attempt")) + text.Plural(v.saves, "save"),
		label("faults") + column(text.Count(v.survived)+" survived") + v.faultText(l),
		"",
	}
	const below = 2 // lines under the log
	room := max(l.Height-len(lines)-below, 1)
	for _, line := range v.log[max(len(v.log)-room, 0):] {
		lines = append(lines, line.draw(l))
	}
	for len(lines) < l.Height-1 {
		lines = append(lines, "")
	}
	lines = append(lines, " Ctrl-C ends it early")
	for i := range lines {
		lines[i] = cut(lines[i], l.Width-1)
	}
	return strings.Join(lines, "\n") + "\n"
}

func label(text string) string { return fmt.Sprintf(" %-*s", labelled, text) }

// bar shows how much of the token's life is left. The part in which it is due
// for renewal looks different.
func (v view) bar(l terminal.Look, width int) string {
	cells := max(width-labelled-20, 10)
	filled, late := 0, 0
	if v.life > 0 {
		share := math.Min(math.Max(float64(v.left)/float64(v.life), 0), 1)
		filled = int(math.Ceil(share * float64(cells)))
		late = cells / 3 // where Manager renews short tokens
	}
	full, lateFull, empty := "█", "▓", "░"
	if !l.Unicode {
		full, lateFull, empty = "#", "=", "."
	}
	head := good.ansi(strings.Repeat(full, max(filled-late, 0)), l)
	return bad.ansi(strings.Repeat(lateFull, min(filled, late)), l) + head + strings.Repeat(empty, cells-filled)
}

func (v view) lifeText() string {
	if v.left <= 0 {
		return "expired"
	}
	return fmt.Sprintf("%s of %s", seconds(v.left), v.life)
}

func (v view) renewalText() string {
	if v.state != "" {
		return v.state
	}
	return "in " + seconds(max(v.due, 0))
}

func (v view) rejectedMood() mood {
	if v.rejected > 0 {
		return alarming
	}
	return plain
}

func (v view) faultText(l terminal.Look) string {
	if v.fault == "" {
		return "none now"
	}
	return bad.ansi("now: "+v.fault, l)
}

func (line logLine) draw(l terminal.Look) string {
	return fmt.Sprintf(" %6s ", clockTenths(line.at)) + line.mood.ansi(line.mood.sign()+" "+line.text, l)
}

// spread puts one text to the left and one to the right.
func spread(left, right string, width int) string {
	gap := width - utf8.RuneCountInString(left) - utf8.RuneCountInString(right)
	return left + strings.Repeat(" ", max(gap, 1)) + right
}

// cut shortens a line to the given number of columns. Escape sequences take
// none, and all of them are kept.
func cut(line string, columns int) string {
	var b strings.Builder
	used, escape := 0, false
	for _, r := range line {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = r != 'm'
			b.WriteRune(r)
			continue
		default:
			used++
		}
		if r == '\x1b' || used <= columns {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// clock writes a duration as minutes and seconds.
func clock(d time.Duration) string {
	s := int(d.Round(time.Second) / time.Second)
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

func clockTenths(d time.Duration) string {
	tenths := int(d / (time.Second / 10))
	return fmt.Sprintf("%d:%02d.%d", tenths/600, tenths/10%60, tenths%10)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }
