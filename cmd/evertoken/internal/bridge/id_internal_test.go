package bridge

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestSameIDKnowsAllSpellings(t *testing.T) {
	groups := [][]string{
		{`"a/b"`, `"a\/b"`, `"\u0061/b"`},
		{`"é"`, `"\u00e9"`, `"\u00E9"`},
		{`"a&b"`, `"a\u0026b"`},
		{`"😀"`, `"\ud83d\ude00"`},
		{`1`, `1.0`, `1e0`, `10E-1`, `0.1e+1`, `1.000`},
		{`-1`, `-1.0`},
		{`0`, `0.0`, `-0`, `0e5`},
		{`1200`, `12e2`, `1.2E3`, `1200.0`},
		{`9007199254740993`, `9007199254740993.0`},
		{`9007199254740992`},
		{`1e999999999999`},
		{`1e400`, `10e399`},
		{`"1"`}, {`"1.0"`}, {`""`}, {`null`}, {`true`}, {`{"a":1}`}, {``},
		{strings.Repeat("9", 400)},
	}
	seen := make(map[string]int)
	for i, group := range groups {
		for _, id := range group {
			key := sameID(json.RawMessage(id))
			if other, taken := seen[key]; taken && other != i {
				t.Errorf("%s counts as %s", id, groups[other][0])
			} else if seen[key] = i; key != sameID(json.RawMessage(group[0])) {
				t.Errorf("%s does not count as %s", id, group[0])
			}
		}
	}
}
