// Package marks has what strangers put into texts to write on a terminal or to deceive who
// reads it, for tests that look for it in outputs.
package marks

import (
	"strings"
	"unicode/utf8"
)

// A Mark is a piece of text that must not come out as it went in.
type Mark struct {
	Name  string
	Raw   string
	Shown string // as package outside shows it
}

// All are the marks.
var All = []Mark{
	{"escape", "\x1b", `\x1b`},
	{"bell", "\x07", `\x07`},
	{"carriage return", "\r", `\r`},
	{"line feed", "\n", `\n`},
	{"tab", "\t", `\t`},
	{"backspace", "\b", `\x08`},
	{"NUL", "\x00", `\x00`},
	{"DEL", "\x7f", `\x7f`},
	{"C1 CSI", "\u009b", `\u009b`},
	{"C1 OSC", "\u009d", `\u009d`},
	{"next line", "\u0085", `\u0085`},
	{"C1 CSI as one byte", "\x9b", `\x9b`},
	{"no UTF-8", "\xff", `\xff`},
	{"lone surrogate", "\xed\xa0\x80", `\xed\xa0\x80`},
	{"overlong escape", "\xc0\x9b", `\xc0\x9b`},
	{"cut character", "\xe2\x80", `\xe2\x80`},
	{"right-to-left override", "\u202e", `\u202e`},
	{"right-to-left embedding", "\u202b", `\u202b`},
	{"left-to-right isolate", "\u2066", `\u2066`},
	{"pop isolate", "\u2069", `\u2069`},
	{"left-to-right mark", "\u200e", `\u200e`},
	{"Arabic letter mark", "\u061c", `\u061c`},
	{"zero-width space", "\u200b", `\u200b`},
	{"zero-width joiner", "\u200d", `\u200d`},
	{"byte order mark", "\ufeff", `\ufeff`},
	{"word joiner", "\u2060", `\u2060`},
	{"soft hyphen", "\u00ad", `\u00ad`},
	{"line separator", "\u2028", `\u2028`},
	{"paragraph separator", "\u2029", `\u2029`},
	{"no-break space", "\u00a0", `\u00a0`},
	{"ideographic space", "\u3000", `\u3000`},
	{"Hangul filler", "\u3164", `\u3164`},
	{"blank Braille", "\u2800", `\u2800`},
	{"variation selector", "\ufe0f", `\ufe0f`},
	{"interlinear annotation", "\ufff9", `\ufff9`},
	{"tag", "\U000e0041", `\U000e0041`},
	{"private use", "\ue000", `\ue000`},
	{"plane of private use", "\U0010fffd", `\U0010fffd`},
	{"not assigned", "\U000e1000", `\U000e1000`},
	{"noncharacter", "\uffff", `\uffff`},
}

// Text has all the marks, each between letters that say where it was planted.
func Text(where string) string {
	var b strings.Builder
	for _, m := range All {
		b.WriteString(where + m.Raw)
	}
	return b.String() + where
}

// In returns the names of the marks that stand in a text as they are, and that it is not
// UTF-8, if so. lines says that line breaks and tabs are ours.
func In(text string, lines bool) (names []string) {
	if !utf8.ValidString(text) {
		names = append(names, "no UTF-8")
	}
	for _, m := range All {
		ours := lines && (m.Raw == "\n" || m.Raw == "\t")
		if !ours && utf8.ValidString(m.Raw) && strings.Contains(text, m.Raw) {
			names = append(names, m.Name)
		}
	}
	return names
}
