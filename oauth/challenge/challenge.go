// Package challenge reads what an API wants of those whom it refuses: the
// WWW-Authenticate headers of a 401 or 403 (RFC 9110 section 11.6.1).
//
// [Find] serves a program that knows which scheme it speaks:
//
//	if c, ok := challenge.Find(resp.Header, "Bearer"); ok && c.Code() == "insufficient_scope" {
//		askFor(c.Scopes())
//	}
//
// A challenge that is malformed is taken for what can be read of it, since APIs send
// such: without commas, with quotes that never close, with parameters that repeat. Of
// each response the first 64 KiB of these headers are read, at a cost that grows with
// their length and no faster.
//
// All of it is the API's word, and none of it is checked. Quote what goes to a
// terminal or a log; [Challenge.String] does.
package challenge

import (
	"net/http"
	"strings"
)

// maxRead is how much is read of a response's challenges. net/http lets a server send a
// megabyte of header; a challenge that an API means fits into the few kilobytes that
// servers allow for a header.
const maxRead = 64 << 10

// Parse returns the challenges of all WWW-Authenticate headers, in order. What is behind
// the first 64 KiB is left out, and so is what that limit cuts in two. Safe for
// concurrent use, as long as nothing writes to h.
func Parse(h http.Header) []Challenge {
	var list []Challenge
	left := maxRead
	for _, line := range h.Values("WWW-Authenticate") {
		p := parser{rest: line, list: list, first: len(list)}
		if len(line) > left {
			p.rest, p.cut = line[:left], true
		}
		left -= len(p.rest)
		p.parse()
		if list = p.list; p.cut {
			break
		}
	}
	return list
}

// Find returns the first challenge of the given scheme, in letters of any case, however
// many others there are.
func Find(h http.Header, scheme string) (Challenge, bool) {
	for _, c := range Parse(h) {
		if strings.EqualFold(c.Scheme, scheme) {
			return c, true
		}
	}
	return Challenge{}, false
}

// Params returns the parameters of the first challenge of the given scheme by their
// names in lower case. Nil means that there is no such challenge.
func Params(h http.Header, scheme string) map[string]string {
	c, found := Find(h, scheme)
	if found && c.Params == nil {
		c.Params = map[string]string{}
	}
	return c.Params
}

// Param returns the named parameter of the first challenge that has it, of whatever
// scheme, or "". The name must be in lower case.
func Param(h http.Header, name string) string {
	for _, c := range Parse(h) {
		if value, found := c.Params[name]; found {
			return value
		}
	}
	return ""
}
