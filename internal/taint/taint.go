// Package taint follows marked values through a run of a program, for tests. There are three
// colours of them:
//
//   - secret: tokens, codes, keys, passwords. They may be in no output.
//   - untrusted: what strangers write, which has the marks of package marks. It may be in an
//     output only escaped.
//   - origin: secrets of one server. They may be in requests to the servers they are for, and
//     in none to others.
//
// A test tells a Book which secrets there are, by where they come from and where they may go,
// and all that comes out of the run. Check then looks for each of them in all of it.
package taint

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/evertoken/evertoken/internal/outside/marks"
)

// A Book has the secrets of a run and its outputs. The zero value is empty. It is safe for
// concurrent use.
type Book struct {
	mu      sync.Mutex // guards all below
	secrets []*secret
	known   map[string]*secret
	outputs []output
	had     map[string]bool  // by key
	added   int              // outputs, with those that came out again
	printed map[string][]any // by type
}

// A secret is a value, and who may see it.
type secret struct {
	what  string
	forms []string
	at    []string // servers
}

// An output is what came out at one place, the first of several if it came out the same there.
type output struct {
	where string
	text  string
	kind  kind
	may   []string // what secrets are that may be in it
}

type kind int

const (
	shown    kind = iota // to a person, in lines
	passedOn             // to a program, whose text from strangers is its own
	request              // to a server
)

// shortest is how long a value has to be to be looked for: shorter ones are in any text.
const shortest = 8

// Secret adds a value, and the servers that may see it in requests. what says in a failure
// which it is. A value that is known already keeps its name, and may be seen by more servers.
func (b *Book) Secret(what, value string, at ...string) {
	if len(value) < shortest {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.known[value]; s != nil {
		s.at = append(s.at, at...)
		return
	}
	s := &secret{what: what, forms: Forms(value), at: at}
	if b.known == nil {
		b.known = make(map[string]*secret)
	}
	b.known[value] = s
	b.secrets = append(b.secrets, s)
}

// Key adds a private number, such as the d of an EC key, in big-endian bytes.
func (b *Book) Key(what string, number []byte, at ...string) {
	b.Secret(what, string(number), at...)
	b.Secret(what+" in base64", base64.RawURLEncoding.EncodeToString(number), at...)
	b.Secret(what+" in decimal", new(big.Int).SetBytes(number).String(), at...)
}

// Shown adds what a person can read, under a name for failures. may has what the secrets are
// called that belong there.
func (b *Book) Shown(where, text string, may ...string) { b.add(output{where, text, shown, may}) }

// PassedOn adds what a program can read: text from strangers is in it as it is.
func (b *Book) PassedOn(where, text string, may ...string) {
	b.add(output{where, text, passedOn, may})
}

// Request adds a request that a server has received, as text.
func (b *Book) Request(server, text string) { b.add(output{server, text, request, nil}) }

func (b *Book) add(o output) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.added++
	key := o.key()
	if b.had[key] {
		return
	}
	if b.had == nil {
		b.had = make(map[string]bool)
	}
	b.had[key] = true
	b.outputs = append(b.outputs, o)
}

// key is what an output has in common with others of which one is enough to look at: all but
// where it came out.
func (o output) key() string {
	key := fmt.Sprint(o.kind, o.may, "\n", o.text)
	if o.kind == request {
		key += "\n" + o.where
	}
	return key
}

// Write adds to what a person can read, so that a Book is where logs go.
func (b *Book) Write(p []byte) (int, error) {
	b.Shown("the log", string(p))
	return len(p), nil
}

// Forms returns how a secret may be written: as it is, in URLs, in JSON, in Go, in base64 and
// in hexadecimal; as bytes in decimal, as fmt prints them. A JWT is also looked for by its
// payload and its signature, since half a token is too much.
func Forms(value string) []string {
	quoted, _ := json.Marshal(value)
	forms := []string{
		value, url.QueryEscape(value), url.PathEscape(value), strings.Trim(string(quoted), `"`), strings.Trim(strconv.Quote(value), `"`),
		hex.EncodeToString([]byte(value)), strings.ToUpper(hex.EncodeToString([]byte(value))), strings.Trim(fmt.Sprint([]byte(value)), "[]"),
	}
	// In a longer text the value begins at any of three places of base64.
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for skip := range 3 {
			whole := enc.EncodeToString([]byte(strings.Repeat("x", skip) + value))
			if inner := whole[[]int{0, 2, 3}[skip]:]; len(inner) > shortest {
				forms = append(forms, inner[:len(inner)-1]) // the last character may depend on what follows
			}
		}
	}
	if parts := strings.Split(value, "."); len(parts) == 3 {
		forms = append(forms, parts[1], parts[2])
	}
	slices.Sort(forms)
	return slices.DeleteFunc(slices.Compact(forms), func(s string) bool { return len(s) < shortest })
}

// Check reports each secret in an output that it does not belong to, each mark that is in an
// output as it came, and each server that got a secret of another. It fails too if there were
// fewer secrets or outputs than given: a run without any proves nothing.
func (b *Book) Check(t testing.TB, secrets, outputs int) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.secrets) < secrets || b.added < outputs {
		t.Errorf("%d secrets and %d outputs, want at least %d and %d: less proves nothing", len(b.secrets), b.added, secrets, outputs)
	}
	for _, o := range b.outputs {
		for _, s := range b.secrets {
			if slices.Contains(o.may, s.what) || o.kind == request && slices.Contains(s.at, o.where) {
				continue
			}
			if at := s.in(o.text); at >= 0 {
				t.Errorf("%s has a secret (%s) after %q", o.where, s.what, o.text[max(0, at-80):at])
			}
		}
		if o.kind != shown {
			continue
		}
		if found := marks.In(strings.ReplaceAll(o.text, "\r\n", "\n"), true); found != nil {
			t.Errorf("%s has %v as it came: %.600q", o.where, found, o.text)
		}
	}
}

// in returns where a text has the secret, or -1.
func (s *secret) in(text string) int {
	for _, form := range s.forms {
		if at := strings.Index(text, form); at >= 0 {
			return at
		}
	}
	return -1
}
