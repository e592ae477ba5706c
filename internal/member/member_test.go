package member_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/evertoken/evertoken/internal/member"
)

func TestWhatIsOfAnotherTypeIsAbsent(t *testing.T) {
	for _, text := range []string{``, ` `, `null`, `[]`, `"{}"`, `{`, `{}{}`, `{"a":1,}`, `{"a"}`} {
		if got := member.Object([]byte(text)); got != nil {
			t.Errorf("Object(%q) = %q; want nil", text, got)
		}
	}
	if got := member.Object([]byte(" {\"a\":1,\"a\":\"last\"}\n")); string(got["a"]) != `"last"` {
		t.Errorf("of two members with one name: %s; want the last", got["a"])
	}
	for text, want := range map[string]string{`"plain"`: "plain", ` "\u0041"`: "A", `""`: "", `12`: "", `null`: "", `["a"]`: "", `"`: "", ``: ""} {
		if got := member.Text(json.RawMessage(text)); got != want {
			t.Errorf("Text(%q) = %q; want %q", text, got, want)
		}
	}
	for text, want := range map[string][]string{`["a", "b"]`: {"a", "b"}, `[]`: nil, `["a",1]`: nil, `"a"`: nil, ``: nil} {
		if got := member.Texts(json.RawMessage(text)); !slices.Equal(got, want) || (got == nil) != (want == nil) {
			t.Errorf("Texts(%q) = %q; want %q", text, got, want)
		}
	}
}
