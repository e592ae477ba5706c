package session

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestLessScopeIsOneThatIsMissing(t *testing.T) {
	for _, tt := range []struct {
		before, after string
		want          bool
	}{
		{"", "", false}, {"", "a", false}, {"a", "", true}, {"a b", "b a", false}, {"a b", "b c", true}, {"a a", "a", false},
	} {
		if got := lessScope(strings.Fields(tt.before), strings.Fields(tt.after)); got != tt.want {
			t.Errorf("%q after %q: less is %v, want %v", tt.after, tt.before, got, tt.want)
		}
	}
}

// Comparing each scope with each would take longer than tests may.
func TestF93_ManyScopesAreLookedAtOnce(t *testing.T) {
	many := make([]string, 500_000)
	for i := range many {
		many[i] = strconv.Itoa(i)
	}
	turned := slices.Clone(many)
	slices.Reverse(turned)
	if lessScope(many, turned) {
		t.Error("a scope is missing")
	}
}
