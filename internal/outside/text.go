// Package outside writes text that came from outside of the program: from servers, from
// other programs' files, from the command lines and configurations of others. A stranger who
// chooses such text must not write on a person's terminal, nor into the lines of a log:
// neither move the cursor, nor set the title, nor turn the direction of what follows, nor
// have one name look like another.
//
// What could is shown as an escape that a person can read and report: \x1b, \u202e, \xff.
// Everything else stays as it is, so that text in whatever script is readable.
package outside

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// A Text is text from outside. It prints on one line, escaped, under every verb of fmt and
// in slog.
type Text string

// String returns the text as it may be shown.
func (t Text) String() string { return Show(string(t)) }

// Format implements fmt.Formatter: every verb prints what String returns, padded to a width.
func (t Text) Format(w fmt.State, _ rune) {
	format := "%"
	if w.Flag('-') {
		format += "-"
	}
	width, _ := w.Width()
	_, _ = fmt.Fprintf(w, format+"*s", width, t.String())
}

// LogValue implements slog.LogValuer.
func (t Text) LogValue() slog.Value { return slog.StringValue(t.String()) }

// Show returns s on one line, with escapes in place of what a terminal or a reader would
// obey. What it returns, it returns unchanged.
func Show(s string) string { return show(s, false) }

// Lines is Show for text of ours with text from outside in it: tabs and line breaks stay,
// those of Windows too. A carriage return alone, with which text is written over, does not.
func Lines(s string) string { return show(s, true) }

func show(s string, lines bool) string {
	if !slowly(s, lines) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case plain(r), lines && (r == '\n' || r == '\t' || r == '\r' && strings.HasPrefix(s[i+1:], "\n")):
			b.WriteRune(r)
		default:
			b.WriteString(escape(r))
		}
		i += size
	}
	return b.String()
}

// slowly reports whether s has more than printable ASCII, which most text does not.
func slowly(s string, lines bool) bool {
	for i := range len(s) {
		if c := s[i]; (c < ' ' || c > '~') && !(lines && (c == '\n' || c == '\t')) {
			return true
		}
	}
	return false
}

// escape returns a character as Go source has it.
func escape(r rune) string {
	switch {
	case r == '\n':
		return `\n`
	case r == '\r':
		return `\r`
	case r == '\t':
		return `\t`
	case r < 0x80:
		return fmt.Sprintf(`\x%02x`, r)
	case r > 0xffff:
		return fmt.Sprintf(`\U%08x`, r)
	}
	return fmt.Sprintf(`\u%04x`, r)
}

// blank are characters that count as printable and show nothing.
var blank = &unicode.RangeTable{R16: []unicode.Range16{{Lo: 0x2800, Hi: 0x2800, Stride: 1}}}

// plain reports whether a character may be shown: letters, marks, numbers, punctuation,
// symbols, and the space. Left out are control characters, C1 too, which some terminals
// obey; format characters, which turn the direction or have no width; the separators of
// lines and paragraphs, and spaces of other kinds; tags, variation selectors and fillers,
// which show nothing; what is for private use or not assigned, surrogates among it.
func plain(r rune) bool {
	if r <= unicode.MaxASCII {
		return ' ' <= r && r <= '~'
	}
	return unicode.IsPrint(r) && !unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector, blank)
}

// JSON is Show for a document in JSON, which may span lines: its strings keep their
// meaning for programs. What is not UTF-8 in it becomes U+FFFD, as for these.
func JSON(data []byte) string {
	var b strings.Builder
	for _, r := range string(data) {
		switch {
		case plain(r), r == '\n', r == '\t':
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// A Writer escapes what is written to it, as Lines does, and passes it on. A character may
// be cut in two between two writes. It is not safe for concurrent use.
type Writer struct {
	w    io.Writer
	half []byte // the beginning of a character, or of a line break
}

// NewWriter returns a Writer that passes on to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	data := append(w.half, p...)
	whole := len(data)
	if whole > 0 && data[whole-1] == '\r' {
		whole--
	}
	for cut := 1; cut < utf8.UTFMax && cut <= len(data); cut++ {
		if tail := data[len(data)-cut:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				whole = len(data) - cut
			}
			break
		}
	}
	w.half = append([]byte(nil), data[whole:]...)
	if _, err := io.WriteString(w.w, Lines(string(data[:whole]))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close writes what has come of a character whose end did not. It does not close the
// writer beneath.
func (w *Writer) Close() error {
	_, err := io.WriteString(w.w, Lines(string(w.half)))
	w.half = nil
	return err
}
