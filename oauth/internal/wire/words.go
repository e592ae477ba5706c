package wire

import (
	"strings"
	"unicode"
)

// CodeWord returns a code in the spelling of RFC 6749: TOKEN_REUSED, tokenReused
// and token-reused are token_reused. What follows a colon is a description.
func CodeWord(code string) string {
	code, _, _ = strings.Cut(code, ":")
	if isCodeWord(code) {
		return code
	}
	var b strings.Builder
	lower, gap := false, false
	for _, r := range code {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			gap = b.Len() > 0
			lower = false
			continue
		case gap, lower && unicode.IsUpper(r):
			b.WriteByte('_')
		}
		gap, lower = false, unicode.IsLower(r)
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// isCodeWord reports whether CodeWord has nothing to change.
func isCodeWord(code string) bool {
	for i := range len(code) {
		if c := code[i]; (c < 'a' || c > 'z') && (c != '_' || i == 0 || i == len(code)-1) {
			return false
		}
	}
	return true
}

// PlausibleCode reports whether a server's error code may be repeated in our
// messages. RFC 6749 would allow any printable text, a token among them; real
// codes are words joined by underscores.
func PlausibleCode(code string) bool {
	if code == "" || len(code) > 40 {
		return false
	}
	lower, upper := true, true
	for _, r := range code {
		lower = lower && (r >= 'a' && r <= 'z' || r == '_')
		upper = upper && (r >= 'A' && r <= 'Z' || r == '_')
	}
	return lower || upper
}

// IsHeaderWord reports whether s can name a header, a cookie or a scheme (RFC
// 9110 section 5.6.2).
func IsHeaderWord(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?={}`, s[i]) >= 0 {
			return false
		}
	}
	return s != ""
}
