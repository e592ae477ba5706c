// Package member reads JSON objects field by field, because each field may be of
// another type than expected: in answers of servers, and in what is stored. A member
// that does not hold what a reader wants reads like one that is absent.
package member

import "encoding/json"

// Fields are the members of a JSON object by name.
type Fields map[string]json.RawMessage

// Object returns the members of the JSON object that data is (of members with one
// name, the last), or nil if data is none.
func Object(data []byte) Fields {
	var members Fields
	if json.Unmarshal(data, &members) != nil {
		return nil
	}
	return members
}

// Text returns the string that raw is in JSON, or "" if it is none.
func Text(raw json.RawMessage) string {
	var s string
	if len(raw) == 0 || json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// Texts returns the strings of the array that raw is in JSON, or nil if it is none
// or has none.
func Texts(raw json.RawMessage) []string {
	var list []string
	if len(raw) == 0 || json.Unmarshal(raw, &list) != nil || len(list) == 0 {
		return nil
	}
	return list
}
