package storeerr_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/internal/storeerr"
	"github.com/evertoken/evertoken/tokenstore"
)

func TestOnlyOurVersionsAreVersions(t *testing.T) {
	for text, want := range map[string]uint64{"1": 1, "7": 7, "1855425871872123": 1855425871872123, "9006099743113216": storeerr.MaxVersion} {
		if got, err := storeerr.ParseVersion(text); got != want || err != nil {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "0", "-1", "+1", "007", " 1", "1 ", "1.0", "1e3", "0x1", "1_000", "abc", "nil", "\u0661", "NaN", "inf",
		"9006099743113217", "9007199254740991", "9007199254740992", "9223372036854775808", "18446744073709551615", "18446744073709551616", strings.Repeat("9", 400),
	} {
		if got, err := storeerr.ParseVersion(text); got != 0 || !errors.Is(err, tokenstore.ErrDamaged) || strings.Contains(err.Error(), text) && text != "" {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}
