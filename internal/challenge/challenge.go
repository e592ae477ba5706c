// Package challenge reads what a server wants of those whom it refuses, in the
// WWW-Authenticate headers of a 401 or 403 (RFC 9110 section 11.6.1). It takes
// malformed headers for what can be read of them: APIs send such.
package challenge

import (
	"net/http"
	"strings"
)

// A challenge is one challenge of a header line. Parameter names are in lower case.
type challenge struct {
	scheme string
	params map[string]string
}

// Params returns the parameters of the first challenge of the given scheme, however
// many header lines and other challenges there are, by their names in lower case.
// Nil means that there is no such challenge.
func Params(h http.Header, scheme string) map[string]string {
	for _, c := range all(h) {
		if strings.EqualFold(c.scheme, scheme) {
			return c.params
		}
	}
	return nil
}

// Param returns the named parameter of the first challenge that has it, of
// whatever scheme, or "". The name must be in lower case.
func Param(h http.Header, name string) string {
	for _, c := range all(h) {
		if value, found := c.params[name]; found {
			return value
		}
	}
	return ""
}

// all returns the challenges of all header lines, in order.
func all(h http.Header) []challenge {
	var list []challenge
	for _, line := range h.Values("WWW-Authenticate") {
		list = append(list, parse(line)...)
	}
	return list
}

// parse reads a header line. A word before "=" names a parameter of the
// challenge before it; a word right after a scheme is credentials, as of
// Negotiate; any other word is the scheme of a new challenge. The commas between
// parameters are not needed: some APIs leave them out.
func parse(line string) []challenge {
	var list []challenge
	afterScheme := false
	for p := (scanner{line}); !p.atEnd(); {
		word := p.word()
		switch {
		case word == "" && p.skip('"'):
			p.quoted() // belongs to nothing
		case p.skip('='):
			value := p.value()
			if word != "" && len(list) > 0 {
				list[len(list)-1].set(strings.ToLower(word), value)
			}
			afterScheme = false
		case p.skip(','):
			if word != "" && !afterScheme {
				list = append(list, challenge{word, map[string]string{}})
			}
			afterScheme = false
		case word != "" && afterScheme:
			afterScheme = false
		case word != "":
			list = append(list, challenge{word, map[string]string{}})
			afterScheme = true
		}
	}
	return list
}

// set keeps a parameter. A name must not repeat (RFC 9110 section 11.2); if it
// does, what came first counts.
func (c challenge) set(name, value string) {
	if _, repeated := c.params[name]; !repeated {
		c.params[name] = value
	}
}

// A scanner reads a header line from left to right.
type scanner struct{ rest string }

func (p *scanner) atEnd() bool { return p.rest == "" }

// skip passes one given byte, if it is next.
func (p *scanner) skip(c byte) bool {
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *scanner) skipSpace() { p.rest = strings.TrimLeft(p.rest, " \t") }

// word reads up to white space or a delimiter, passing white space around it.
func (p *scanner) word() string {
	p.skipSpace()
	end := strings.IndexAny(p.rest, " \t,=\"")
	if end < 0 {
		end = len(p.rest)
	}
	word := p.rest[:end]
	p.rest = p.rest[end:]
	p.skipSpace()
	return word
}

// value reads what stands behind "=", in quotes or not.
func (p *scanner) value() string {
	p.skipSpace()
	if p.skip('"') {
		return p.quoted()
	}
	end := strings.IndexAny(p.rest, " \t,")
	if end < 0 {
		end = len(p.rest)
	}
	value := p.rest[:end]
	p.rest = p.rest[end:]
	return value
}

// quoted reads up to the closing quote, or to the end if there is none.
func (p *scanner) quoted() string {
	var b strings.Builder
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			p.rest = p.rest[i+1:]
			return b.String()
		case c == '\\' && i+1 < len(p.rest):
			i++
			b.WriteByte(p.rest[i])
		default:
			b.WriteByte(c)
		}
	}
	p.rest = ""
	return b.String()
}
