package dialect

import "strings"

// nested returns an object for fields, of whose names a dot leads into another one.
func nested(fields map[string]any) map[string]any {
	object := make(map[string]any, len(fields))
	for path, value := range fields {
		inner, names := object, strings.Split(path, ".")
		for _, name := range names[:len(names)-1] {
			next, is := inner[name].(map[string]any)
			if !is {
				next = make(map[string]any)
				inner[name] = next
			}
			inner = next
		}
		inner[names[len(names)-1]] = value
	}
	return object
}
