package demo

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/terminal"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/text"
)

const (
	frame       = 100 * time.Millisecond // between pictures
	plainReport = 5 * time.Second        // between reports in lines
)

// show displays the demo until ctx ends: as a picture on a terminal, as lines
// elsewhere. An error means that the output is closed.
func (d *demo) show(ctx context.Context) error {
	if !d.Plain {
		if s, ok := terminal.Open(d.Out, d.Getenv); ok {
			defer s.Close()
			return d.each(ctx, func(v view) error {
				s.Draw(func(l terminal.Look) string { return render(v, l) })
				return nil
			})
		}
	}
	p := &plainDisplay{out: d.Out}
	if err := d.each(ctx, p.show); err != nil {
		return err
	}
	return p.show(d.view(time.Now()))
}

// each calls f with a view for every frame.
func (d *demo) each(ctx context.Context, f func(view) error) error {
	ticker := time.NewTicker(frame)
	defer ticker.Stop()
	for {
		if err := f(d.view(time.Now())); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// A plainDisplay tells in lines what a screen would draw.
type plainDisplay struct {
	out      io.Writer
	lines    int           // of the log, printed so far
	reported time.Duration // when the last report was
}

func (p *plainDisplay) show(v view) error {
	var b strings.Builder
	for _, line := range v.log[p.lines:] {
		b.WriteString(strings.TrimRight(line.draw(terminal.Look{}), " ") + "\n")
	}
	p.lines = len(v.log)
	if v.elapsed-p.reported >= plainReport {
		p.reported = v.elapsed
		b.WriteString(logLine{at: v.elapsed, text: v.report()}.draw(terminal.Look{}) + "\n")
	}
	_, err := io.WriteString(p.out, b.String())
	return err
}

// report is the view in one line.
func (v view) report() string {
	token := "token expired"
	if v.left > 0 {
		token = fmt.Sprintf("token lives %s", seconds(v.left))
	}
	return fmt.Sprintf("%s served, %s rejected, %s, %s", text.Count(v.served), text.Count(v.rejected), text.Plural(v.renewals, "renewal"), token)
}

// summary prints how it went.
func (d *demo) summary(out io.Writer) error {
	v := d.view(time.Now())
	d.board.mu.Lock()
	slowest, began := d.board.slowest, len(d.board.faults)
	d.board.mu.Unlock()
	rows := [][2]string{
		{"ran for", clock(v.elapsed)},
		{"requests served", text.Count(v.served)},
		{"requests rejected", text.Count(v.rejected)},
		{"slowest request", slowest.Round(time.Millisecond).String()},
		{"renewals", fmt.Sprintf("%s, in %s", text.Count(v.renewals), text.Plural(v.attempts, "attempt"))},
		{"saves", text.Count(v.saves)},
	}
	if !d.NoFaults {
		rows = append(rows, [2]string{"faults survived", fmt.Sprintf("%d of %d (--seed %d)", v.survived, began, d.Seed)})
	}
	rows = append(rows, [2]string{"audit", d.auditText()})
	var b strings.Builder
	b.WriteString("\n")
	for _, row := range rows {
		fmt.Fprintf(&b, "  %-18s %s\n", row[0], row[1])
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func (d *demo) auditText() string {
	mistakes := d.server.Audit()
	if len(mistakes) == 0 {
		return "clean: no refresh token was misused"
	}
	lines := []string{text.Plural(len(mistakes), "mistake")}
	for _, m := range mistakes {
		lines = append(lines, "                     "+m.String())
	}
	return strings.Join(lines, "\n")
}

// verdict is an error unless all went well.
func (d *demo) verdict() error {
	d.board.mu.Lock()
	rejected := d.board.rejected
	d.board.mu.Unlock()
	if rejected > 0 || len(d.server.Audit()) > 0 {
		return exit.New(exit.Failed, "the session was not kept alive as it should", fmt.Sprintf("run it again with --seed %d --verbose, and report it", d.Seed))
	}
	return nil
}
