package refresh

import (
	"net/http"
	"strings"
)

// A challenge is one challenge of a WWW-Authenticate header (RFC 9110 section
// 11.6.1). Parameter names are in lower case.
type challenge struct {
	scheme string
	params map[string]string
}

// bearerChallenge returns the parameters of the Bearer challenge in a response,
// however many header lines and other challenges there are, or nil. It takes
// malformed headers for what can be read of them: APIs send such.
func bearerChallenge(h http.Header) map[string]string { return challengeFor(h, "Bearer") }

// challengeFor is bearerChallenge for any scheme.
func challengeFor(h http.Header, scheme string) map[string]string {
	for _, line := range h.Values("WWW-Authenticate") {
		for _, c := range parseChallenges(line) {
			if strings.EqualFold(c.scheme, scheme) {
				return c.params
			}
		}
	}
	return nil
}

// parseChallenges reads a header line. A word before "=" names a parameter of the
// challenge before it; a word right after a scheme is credentials, as of
// Negotiate; any other word is the scheme of a new challenge. The commas between
// parameters are not needed: some APIs leave them out.
func parseChallenges(line string) []challenge {
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
				list[len(list)-1].params[strings.ToLower(word)] = value
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
