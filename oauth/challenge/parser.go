package challenge

import "strings"

// A parser reads a header line from left to right, and appends what it finds to list.
type parser struct {
	rest  string
	cut   bool // the line goes on behind rest
	list  []Challenge
	first int // where this line's challenges begin: a line continues none of another's
}

// parse reads the line. A word before "=" names a parameter of the challenge before it;
// what follows a scheme without being one is credentials, as of Negotiate; any other word
// is the scheme of a new challenge. The commas between parameters are not needed: some
// APIs leave them out.
func (p *parser) parse() {
	afterScheme := false
	for p.rest != "" {
		if afterScheme && p.token68() {
			afterScheme = false
			continue
		}
		word := p.word()
		switch {
		case word == "" && p.skip('"'):
			p.quoted() // belongs to nothing
		case p.skip('='):
			p.param(strings.ToLower(word), p.value())
			afterScheme = false
		case p.skip(','):
			if word != "" {
				p.list = append(p.list, Challenge{Scheme: word})
			}
			afterScheme = false
		case afterScheme:
			afterScheme = false // a word between a scheme and its parameters
		case word != "" && !p.truncated():
			p.list = append(p.list, Challenge{Scheme: word})
			afterScheme = true
		}
	}
}

// truncated reports whether what was read last may go on behind the limit.
func (p *parser) truncated() bool { return p.cut && p.rest == "" }

// param keeps a parameter of the newest challenge. A name must not repeat (RFC 9110
// section 11.2); if it does, what came first counts.
func (p *parser) param(name, value string) {
	if name == "" || len(p.list) == p.first || p.truncated() {
		return
	}
	c := &p.list[len(p.list)-1]
	if _, repeated := c.Params[name]; repeated {
		return
	}
	if c.Params == nil {
		c.Params = make(map[string]string)
	}
	c.Params[name] = value
}

// token68 reads the credentials of the newest challenge (RFC 9110 section 11.2), if that
// is what comes next. One "=" at the end is either a part of them or a parameter with
// nothing behind it, which malformed challenges have: credentials stand alone, so that
// another parameter behind it decides.
func (p *parser) token68() bool {
	q := *p
	q.skipSpace()
	text := q.rest
	q.rest = strings.TrimLeft(q.rest, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/")
	chars := len(text) - len(q.rest)
	q.rest = strings.TrimLeft(q.rest, "=")
	text = text[:len(text)-len(q.rest)]
	q.skipSpace()
	if chars == 0 || q.rest != "" && q.rest[0] != ',' || len(text) == chars+1 && q.paramFollows() {
		return false
	}
	if q.truncated() {
		p.rest = ""
		return true
	}
	p.rest = q.rest
	p.skip(',')
	p.list[len(p.list)-1].Token68 = text
	return true
}

// paramFollows reports whether the next item of the list is a parameter.
func (p *parser) paramFollows() bool {
	q := *p
	q.rest = strings.TrimLeft(q.rest, " \t,")
	return q.word() != "" && q.skip('=')
}

// skip passes one given byte, if it is next.
func (p *parser) skip(c byte) bool {
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *parser) skipSpace() { p.rest = strings.TrimLeft(p.rest, " \t") }

// word reads up to white space or a delimiter, passing white space around it.
func (p *parser) word() string {
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
func (p *parser) value() string {
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
func (p *parser) quoted() string {
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
