package oauth

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// cut reports whether the answer ended before it was complete.
func (a answer) cut(fields map[string]json.RawMessage) bool {
	body := bytes.TrimSpace(a.body)
	return !a.whole || len(body) == 0 || fields == nil && (body[0] == '{' || body[0] == '[') && !json.Valid(body)
}

func memberNames(fields map[string]json.RawMessage) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(fields)), func(name string) bool { return !plausibleCode(name) })
}

func holdsTokens(fields map[string]json.RawMessage) bool {
	for name := range fields {
		if strings.Contains(codeWord(name), "token") && !strings.HasSuffix(name, "_type") && strings.TrimSpace(textField(fields, name)) != "" {
			return true
		}
	}
	return false
}
