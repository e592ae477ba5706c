package profile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

const lettersAndDigits = "abcdefghijklmnopqrstuvwxyz0123456789"

// CheckName is narrow, so that a name is a file's name everywhere: two names
// that differ in case would be one file on macOS and Windows. Every command checks
// a name, and compiling an expression for it takes longer than printing a token.
func CheckName(name string) error {
	if name == "" || len(name) > 64 || !strings.Contains(lettersAndDigits, name[:1]) || strings.Trim(name, lettersAndDigits+"._@-") != "" {
		return fmt.Errorf("profile name %q: use up to 64 small letters, digits and . _ @ -, beginning with a letter or digit", name)
	}
	return nil
}

// Nearest returns names with the one first that is most like the given name.
func Nearest(name string, names []string) []string {
	names = slices.Clone(names)
	slices.SortStableFunc(names, func(a, b string) int {
		return cmp.Or(distance(name, a)-distance(name, b), lengths(name, a)-lengths(name, b))
	})
	return names
}

// distance is how unlike the typed name is: not at all if that is its beginning.
func distance(typed, name string) int {
	if len(typed) > 1 && strings.HasPrefix(name, typed) {
		return 0
	}
	return edits(typed, name)
}

func lengths(a, b string) int { return max(len(a)-len(b), len(b)-len(a)) }

// edits counts how many letters have to be added, left out, replaced, or swapped
// with their neighbour, to make b of a.
func edits(a, b string) int {
	before, row := []int(nil), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			same := 1
			if a[i] == b[j] {
				same = 0
			}
			next[j+1] = min(next[j]+1, row[j+1]+1, row[j]+same)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
