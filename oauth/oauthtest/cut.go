package oauthtest

import (
	"bytes"
	"encoding/json"
)

// CutIn returns a function for Fault.Rewrite that ends a JSON object in the middle
// of a member's value, such as "refresh_token". A body without that member stays
// whole.
func CutIn(member string) func(body []byte) []byte {
	return func(body []byte) []byte {
		value, end := memberOf(body, member)
		return body[:end-(len(value)+1)/2]
	}
}

// CutBehind returns a function for Fault.Rewrite that ends a JSON object behind a
// member's value. A body without that member stays whole.
func CutBehind(member string) func(body []byte) []byte {
	return func(body []byte) []byte {
		_, end := memberOf(body, member)
		return body[:end]
	}
}

// memberOf returns the value of a member of the JSON object in body, and where it
// ends: at the body's end if there is none.
func memberOf(body []byte, member string) (value json.RawMessage, end int) {
	d := json.NewDecoder(bytes.NewReader(body))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil, len(body)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil || d.Decode(&value) != nil {
			break
		}
		if name == member {
			return value, int(d.InputOffset())
		}
	}
	return nil, len(body)
}
