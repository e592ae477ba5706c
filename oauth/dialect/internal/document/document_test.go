package document

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// written is a tree in one line, without lines and paths.
func written(n *Node) string {
	var parts []string
	for _, m := range n.Members {
		parts = append(parts, m.Name+"="+written(m.Value))
	}
	for _, e := range n.Elements {
		parts = append(parts, written(e))
	}
	return fmt.Sprintf("%s %q %v (%s)", n.Kind, n.Text, n.True, strings.Join(parts, ", "))
}

func TestAllFormsGiveOneTree(t *testing.T) {
	const asJSON = `{"a":{"b":["x",1,-2.5,true,false,null,{}]},"c":"true"}`
	const asYAML = "a:\n  b: [x, 1, -2.5, true, false, null, {}]\nc: 'true'\n"
	fromJSON, err := Read([]byte(asJSON))
	if err != nil {
		t.Fatal(err)
	}
	want := written(fromJSON)
	fromYAML, err := Read([]byte(asYAML))
	if err != nil || written(fromYAML) != want {
		t.Errorf("from YAML: %s, %v; want %s", written(fromYAML), err, want)
	}
	var values [2]any
	if err := json.Unmarshal([]byte(asJSON), &values[0]); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(asYAML), &values[1]); err != nil {
		t.Fatal(err)
	}
	for _, value := range values {
		if n, err := Of(value); err != nil || written(n) != want {
			t.Errorf("of a value: %s, %v; want %s", written(n), err, want)
		}
	}
	if n := fromJSON.Members[0].Value.Members[0].Value.Elements[6]; n.Path != "a.b[6]" || n.Line != 1 {
		t.Errorf("path %q, line %d", n.Path, n.Line)
	}
}

func TestWhatNoDecoderReturnsIsRefused(t *testing.T) {
	deep := any("x")
	for range maxDepth + 2 {
		deep = []any{deep}
	}
	for _, value := range []any{struct{}{}, map[any]any{}, []any{make(chan int)}, deep} {
		if n, err := Of(value); err == nil {
			t.Errorf("%T is read as %s", value, written(n))
		}
	}
}

func TestOnlyWordsOfADocumentAreShown(t *testing.T) {
	for name, want := range map[string]bool{"access_token": true, "X-1": true, "": false, "a b": false, "é": false, "a\x1b": false, strings.Repeat("a", 33): false} {
		if got := Shown(name) == name; got != want {
			t.Errorf("%q: shown %v; want %v", name, got, want)
		}
	}
}
