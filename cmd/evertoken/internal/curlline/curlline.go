// Package curlline decides which of curl's options may stand beside a token that curl reads
// from a pipe. An option that prints what curl sends, or sends it elsewhere, may not; and
// since curl gets new ones with each version, only those that are known may.
package curlline

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"

	"github.com/evertoken/evertoken/internal/outside"
)

// A Line is what a person tells curl.
type Line struct {
	options []option
}

// An option is one of curl's, with its value if it takes one.
type option struct {
	name  string // long
	value string
	takes bool
}

// Read reads options as curl does: long and short ones, several of these in one word, values
// in the same word or in the next.
func Read(words []string) (*Line, error) {
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	line := new(Line)
	for len(words) > 0 {
		var read []option
		var err error
		if read, words, err = readWord(words); err != nil {
			return nil, err
		}
		for _, o := range read {
			if err := o.check(); err != nil {
				return nil, err
			}
		}
		line.options = append(line.options, read...)
	}
	return line, nil
}

// readWord reads the options of the first word, and returns the words behind it.
func readWord(words []string) (read []option, rest []string, err error) {
	word, rest := words[0], words[1:]
	switch {
	case len(word) > 2 && strings.HasPrefix(word, "--"):
		name := word[2:]
		takes, known := values[name]
		if !known {
			return nil, nil, refused(word)
		}
		o := option{name: name, takes: takes}
		if takes {
			if len(rest) == 0 {
				return nil, nil, fmt.Errorf("curl's option %s needs a value", outside.Show(word))
			}
			o.value, rest = rest[0], rest[1:]
		}
		return []option{o}, rest, nil
	case len(word) > 1 && word[0] == '-' && word != "--":
		return readShort(word, rest)
	}
	return nil, nil, fmt.Errorf("%q is not an option of curl's, and there is one URL for each run", outside.Show(word))
}

// readShort reads a word of short options, of which the last may have a value.
func readShort(word string, rest []string) (read []option, _ []string, err error) {
	for i := 1; i < len(word); i++ {
		name := short[word[i]]
		if name == "" {
			return nil, nil, refused("-" + word[i:i+1])
		}
		if !values[name] {
			read = append(read, option{name: name})
			continue
		}
		o := option{name: name, takes: true, value: word[i+1:]}
		if o.value == "" {
			if len(rest) == 0 {
				return nil, nil, fmt.Errorf("curl's option -%c needs a value", word[i])
			}
			o.value, rest = rest[0], rest[1:]
		}
		return append(read, o), rest, nil
	}
	return read, rest, nil
}

// refused is the error for an option that is not passed on.
func refused(option string) error {
	why := "evertoken does not know what it does with the token"
	if known := reasons[strings.TrimLeft(option, "-")]; known != "" {
		why = known
	}
	return fmt.Errorf("curl's option %s is refused: %s", outside.Show(option), why)
}

// check refuses values that say more than their option: a line break within a header is
// another header.
func (o option) check() error {
	if !o.takes {
		return nil
	}
	if !bodies[o.name] && strings.ContainsFunc(o.value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("the value of curl's option --%s has control characters", o.name)
	}
	switch o.name {
	case "header":
		if strings.HasPrefix(o.value, "@") {
			return errors.New("curl's option -H is refused with a file: that may hold a header in the token's place")
		}
		if name := headerName(o.value); strings.EqualFold(name, "Host") {
			return errors.New("curl's option -H is refused with Host: what stands before several sites would pass the token on to another one")
		}
	case "request":
		if o.value == "" || strings.Trim(o.value, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-") != "" {
			return errors.New("the value of curl's option -X is not a method")
		}
	}
	if o.readsStdin() && !NamesPipes(runtime.GOOS) {
		return errors.New("a body cannot be read from stdin on this system, where curl reads the token from there: put it into a file")
	}
	return nil
}

// readsStdin reports whether an option may have curl read stdin.
func (o option) readsStdin() bool {
	return o.value == "-" && o.name != "output" && o.name != "dump-header" || o.value == "." && o.name == "upload-file" ||
		strings.Contains(o.value, "@-") || strings.Contains(o.value, "<-")
}

// NamesPipes reports whether programs of a system can open an inherited pipe by a name.
func NamesPipes(goos string) bool { return goos == "linux" || goos == "darwin" }

// headerName returns the name in a value of -H: "Name: value", "Name:" or "Name;".
func headerName(value string) string {
	name, _, _ := strings.Cut(value, ":")
	name, _, _ = strings.Cut(name, ";")
	return strings.TrimSpace(name)
}

// Check returns an error if the line has a header that carries the token too.
func (l *Line) Check(carrying http.Header) error {
	for _, o := range l.options {
		name := ""
		switch o.name {
		case "header":
			name = headerName(o.value)
		case "cookie":
			name = "Cookie"
		}
		if _, taken := carrying[http.CanonicalHeaderKey(name)]; taken {
			return fmt.Errorf("the header %s carries the token, and cannot be given besides", http.CanonicalHeaderKey(name))
		}
	}
	return nil
}

// Method returns the method that curl will use.
func (l *Line) Method() string {
	method := http.MethodGet
	for _, o := range l.options {
		switch {
		case bodies[o.name] && o.name != "url-query" && method == http.MethodGet:
			method = http.MethodPost
		case o.name == "upload-file":
			method = http.MethodPut
		}
	}
	has := func(name string) bool {
		return slices.ContainsFunc(l.options, func(o option) bool { return o.name == name })
	}
	switch {
	case has("head"):
		method = http.MethodHead
	case has("get"):
		method = http.MethodGet
	}
	for _, o := range l.options {
		if o.name == "request" {
			method = o.value
		}
	}
	return method
}

// Args returns curl's arguments for a request to u: without the settings of .curlrc, which
// may have it print or pass on the token, and with nothing in the URL that curl would read
// otherwise than this program does.
func (l *Line) Args(u *url.URL) []string {
	target := *u
	target.Fragment, target.RawFragment = "", ""
	if target.Path == "" {
		target.Path = "/"
	}
	args := []string{"--disable", "--globoff", "--proto", "=" + u.Scheme, "--max-redirs", "0", "--silent", "--show-error"}
	if u.Scheme == "http" {
		args = append(args, "--noproxy", "*") // on this machine
	}
	for _, o := range l.options {
		args = append(args, "--"+o.name)
		if o.takes {
			args = append(args, o.value)
		}
	}
	address := target.String()
	if ascii, ok := outside.Address(address); ok {
		address = ascii
	}
	return append(args, "--url", address)
}

// Config returns headers in the form of curl's configuration files.
func Config(carrying http.Header) string {
	var b strings.Builder
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	for name, lines := range carrying {
		for _, value := range lines {
			fmt.Fprintf(&b, "header = \"%s: %s\"\n", escape.Replace(name), escape.Replace(value))
		}
	}
	return b.String()
}
