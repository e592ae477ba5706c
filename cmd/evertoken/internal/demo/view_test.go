package demo

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/terminal"
)

var update = flag.Bool("update", false, "write the golden files anew")

// example is a view in the middle of a demo.
func example() view {
	return view{
		elapsed: 23*time.Second + 400*time.Millisecond, total: time.Minute,
		life: 20 * time.Second, left: 13200 * time.Millisecond, due: 6500 * time.Millisecond,
		workers: 4, served: 1234, rate: 40.6, renewals: 3, attempts: 5, saves: 4, survived: 2,
		fault: "answer lost after the rotation",
		log: []logLine{
			{at: 0, text: "logged in: the token lives 20s"},
			{at: 8 * time.Second, mood: bad, text: "fault: connection reset"},
			{at: 8100 * time.Millisecond, text: "not renewed: connection reset by peer; next try in 1s"},
			{at: 9200 * time.Millisecond, mood: good, text: "renewed: the token lives 20s"},
			{at: 9200 * time.Millisecond, mood: good, text: "survived: connection reset"},
			{at: 23 * time.Second, mood: bad, text: "fault: answer lost after the rotation"},
		},
	}
}

func TestViewLooksAsItShould(t *testing.T) {
	renewing := example()
	renewing.left, renewing.state = 4*time.Second, "failed, again in 0.8s"
	lost := example()
	lost.left, lost.state, lost.rejected, lost.fault = -time.Second, "under way", 2, ""
	lost.log = append(lost.log, logLine{at: 23300 * time.Millisecond, mood: alarming, text: "REJECTED: the API answered 401 Unauthorized"})

	for name, c := range map[string]struct {
		v view
		l terminal.Look
	}{
		"usual":    {example(), terminal.Look{Width: 80, Height: 24, Unicode: true}},
		"colour":   {renewing, terminal.Look{Width: 80, Height: 24, Unicode: true, Color: true}},
		"ascii":    {renewing, terminal.Look{Width: 80, Height: 24}},
		"rejected": {lost, terminal.Look{Width: 80, Height: 24, Color: true}},
		"small":    {example(), terminal.Look{Width: 50, Height: 13}},
	} {
		t.Run(name, func(t *testing.T) {
			got := render(c.v, c.l)
			path := filepath.Join("testdata", "view-"+name+".golden")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != strings.ReplaceAll(string(want), "\r\n", "\n") {
				t.Errorf("the view has changed; terminal.Look at it, then run the test with -update. Got:\n%s", got)
			}
		})
	}
}

func TestViewFitsEveryTerminal(t *testing.T) {
	v := example()
	for range 100 {
		v.log = append(v.log, logLine{text: strings.Repeat("long ", 50)})
	}
	for _, width := range []int{1, 10, 39, 40, 41, 79, 80, 81, 300} {
		for _, height := range []int{1, 5, 11, 12, 24, 100} {
			picture := render(v, terminal.Look{Width: width, Height: height, Unicode: true})
			lines := strings.Split(strings.TrimSuffix(picture, "\n"), "\n")
			if len(lines) > max(height, 12) { // the screen drops what is below its edge
				t.Errorf("%d×%d: %d lines", width, height, len(lines))
			}
			for _, line := range lines {
				if n := utf8.RuneCountInString(line); n > width-1 {
					t.Errorf("%d×%d: line of %d columns: %q", width, height, n, line)
				}
			}
		}
	}
}

func TestViewShowsTheNewestEvents(t *testing.T) {
	v := example()
	for range 100 {
		v.log = append(v.log, logLine{text: "old"})
	}
	v.log = append(v.log, logLine{text: "newest"})
	if !strings.Contains(render(v, terminal.Look{Width: 80, Height: 24}), "newest") {
		t.Error("the newest event is not shown")
	}
}

func TestCutKeepsColoursAndCountsNoEscapes(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"short", "short"},
		{"exactly ten", "exactly te"},
		{"\x1b[32mgreen and long\x1b[0m", "\x1b[32mgreen and \x1b[0m"},
		{"ünïcödé täx", "ünïcödé tä"},
	} {
		if got := cut(c.in, 10); got != c.want {
			t.Errorf("cut(%q, 10) = %q; want %q", c.in, got, c.want)
		}
	}
}
