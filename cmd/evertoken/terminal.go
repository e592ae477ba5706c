package main

import (
	"cmp"
	"io"
	"os"
	"runtime"
	"strings"

	"golang.org/x/term"
)

// isTerminal reports whether f is where a person sits.
func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// A look says what a terminal can show.
type look struct {
	width, height int
	color         bool
	unicode       bool
}

// A screen is a terminal that is drawn on as a whole. It uses the terminal's
// second buffer: what was there before comes back at the end, and a resize
// cannot garble what was drawn, since each picture begins at the top.
type screen struct {
	file *os.File
	look look
	last string // what is on it
}

// openScreen takes over the terminal, or reports false if out is none that can
// be drawn on.
func openScreen(out io.Writer, getenv func(string) string) (*screen, bool) {
	file, ok := out.(*os.File)
	if !ok || !isTerminal(file) || getenv("TERM") == "dumb" || !enableANSI(file) {
		return nil, false
	}
	return takeOver(file, look{color: getenv("NO_COLOR") == "", unicode: speaksUnicode(runtime.GOOS, getenv)}), true
}

func takeOver(file *os.File, l look) *screen {
	s := &screen{file: file, look: l}
	s.write("\x1b[?1049h\x1b[?25l") // second buffer, no cursor
	return s
}

// draw shows a picture. It writes all of it at once, over the last one, so that
// nothing flickers.
func (s *screen) draw(picture func(look) string) {
	width, height, err := term.GetSize(int(s.file.Fd()))
	if err != nil {
		width, height = 80, 24
	}
	if width != s.look.width || height != s.look.height {
		s.look.width, s.look.height, s.last = width, height, ""
	}
	text := picture(s.look)
	if text == s.last {
		return
	}
	s.last = text
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	lines = lines[:min(len(lines), max(height, 1))]
	// Home; after each line, clear the rest of it; at the end, the rest below.
	s.write("\x1b[H" + strings.Join(lines, "\x1b[K\r\n") + "\x1b[K\x1b[J")
}

// close gives the terminal back as it was.
func (s *screen) close() { s.write("\x1b[?25h\x1b[?1049l") }

// write ignores errors: when the terminal is gone, so is the one who looks.
func (s *screen) write(text string) { _, _ = s.file.WriteString(text) }

// speaksUnicode reports whether the locale can show more than ASCII.
func speaksUnicode(goos string, getenv func(string) string) bool {
	if goos == "windows" || goos == "darwin" {
		return true
	}
	locale := strings.ToLower(cmp.Or(getenv("LC_ALL"), getenv("LC_CTYPE"), getenv("LANG")))
	return strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
}
