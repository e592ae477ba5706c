// Package terminal draws on a terminal.
package terminal

import (
	"cmp"
	"io"
	"os"
	"runtime"
	"strings"

	"golang.org/x/term"
)

// Is reports whether f is where a person sits.
func Is(f any) bool {
	file, ok := f.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// A Look says what a terminal can show.
type Look struct {
	Width, Height int
	Color         bool
	Unicode       bool
}

// A Screen is a terminal that is drawn on as a whole. It uses the terminal's
// second buffer: what was there before comes back at the end, and a resize
// cannot garble what was drawn, since each picture begins at the top.
type Screen struct {
	file *os.File
	look Look
	last string // what is on it
}

// Open takes over the terminal, or reports false if out is not one that can
// be drawn on.
func Open(out io.Writer, getenv func(string) string) (*Screen, bool) {
	file, ok := out.(*os.File)
	if !ok || !Is(file) || getenv("TERM") == "dumb" || !enableANSI(file) {
		return nil, false
	}
	return takeOver(file, Look{Color: getenv("NO_COLOR") == "", Unicode: speaksUnicode(runtime.GOOS, getenv)}), true
}

func takeOver(file *os.File, l Look) *Screen {
	s := &Screen{file: file, look: l}
	s.write("\x1b[?1049h\x1b[?25l") // second buffer, no cursor
	return s
}

// Draw shows a picture. It writes all of it at once, over the last one, so that
// nothing flickers.
func (s *Screen) Draw(picture func(Look) string) {
	width, height, err := term.GetSize(int(s.file.Fd()))
	if err != nil || width <= 0 || height <= 0 { // as some containers and serial lines say
		width, height = 80, 24
	}
	if width != s.look.Width || height != s.look.Height {
		s.look.Width, s.look.Height, s.last = width, height, ""
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

// Close gives the terminal back as it was.
func (s *Screen) Close() { s.write("\x1b[?25h\x1b[?1049l") }

// write ignores errors: when the terminal is gone, no person is looking at it.
func (s *Screen) write(text string) { _, _ = s.file.WriteString(text) }

// speaksUnicode reports whether the locale can show more than ASCII.
func speaksUnicode(goos string, getenv func(string) string) bool {
	if goos == "windows" || goos == "darwin" {
		return true
	}
	locale := strings.ToLower(cmp.Or(getenv("LC_ALL"), getenv("LC_CTYPE"), getenv("LANG")))
	return strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
}
