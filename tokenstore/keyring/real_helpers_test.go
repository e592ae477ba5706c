//go:build real

package keyring_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/teststore"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/keyring"
)

// soon is when an event must have come that needs no waiting for, on a busy machine too.
const soon = 2 * time.Minute

func init() {
	helpers["serve"] = serve
	helpers["count"] = count
}

// words are what a helper says of the errors it meets.
var words = []struct {
	word string
	err  error
}{
	{"no-keyring", keyring.ErrNoKeyring},
	{"locked", keyring.ErrKeyringLocked},
	{"timeout", keyring.ErrTimeout},
	{"key-lost", keyring.ErrKeyLost},
	{"not-found", tokenstore.ErrNotFound},
}

// word says what kind of error it is. One that is two kinds at once is "mixed".
func word(err error) string {
	if err == nil {
		return "ok"
	}
	found := "error"
	for _, w := range words {
		if errors.Is(err, w.err) {
			if found != "error" {
				return "mixed"
			}
			found = w.word
		}
	}
	return found
}

// A server does what it is told, one command a line:
//
//	open            opens the sealed store, and direct the one in the keyring
//	timeout T       sets the limits for the next open, which are long: how long a call may
//	prompt T        take, and how long a person
//	set NAME TEXT   saves a session with TEXT as its tokens, or replaces it
//	get NAME        tells the access token
//	number NAME     tells the number that the session carries
//	number NAME N   saves another one
//	many N NAME     gets the session N times at once
//	rotate          makes a new key
//	stuck           tells how many goroutines are in a call of the keyring
//
// It answers with a line for each: a word, the milliseconds it took, and a text.
type server struct {
	config keyring.Config
	root   string
	store  tokenstore.Store
}

// serve runs a server on the keyring of the session. Its arguments are the
// directories of the locks, which is the user's if empty, and of the sealed
// sessions.
func serve(args []string) error {
	s := &server{root: args[0], config: keyring.Config{Service: service, Dir: args[1], Timeout: soon, PromptTimeout: 2 * soon}}
	if name := os.Getenv("EVERTOKEN_KEYRING_SERVICE"); name != "" {
		s.config.Service = name
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		start := time.Now()
		text, err := s.do(context.Background(), strings.Fields(lines.Text()))
		if err != nil {
			text = err.Error()
		}
		fmt.Printf("%s\t%d\t%s\n", word(err), time.Since(start).Milliseconds(), text)
	}
	return lines.Err()
}

func (s *server) do(ctx context.Context, command []string) (text string, err error) {
	switch command[0] {
	case "timeout":
		s.config.Timeout, err = time.ParseDuration(command[1])
	case "prompt":
		s.config.PromptTimeout, err = time.ParseDuration(command[1])
	case "open":
		s.store, err = keyring.OpenReal(ctx, s.config, s.root)
	case "direct":
		s.store, err = keyring.OpenDirectReal(ctx, s.config, s.root)
	case "set":
		err = s.set(ctx, command[1], command[2])
	case "get":
		return s.get(ctx, command[1])
	case "number":
		return s.number(ctx, command[1], command[2:])
	case "many":
		return s.many(ctx, command[1], command[2])
	case "rotate":
		err = s.store.(*keyring.Store).Rotate(ctx)
	case "stuck":
		return strconv.Itoa(goroutinesIn("keyring.protect[...]")), nil
	default:
		err = fmt.Errorf("no such command: %q", command)
	}
	return "", err
}

func (s *server) set(ctx context.Context, name, text string) error {
	next := record(text)
	rec, err := s.store.Get(ctx, name)
	switch {
	case err == nil:
		next.Version = rec.Version
	case !errors.Is(err, tokenstore.ErrNotFound):
		return err
	}
	_, err = s.store.Set(ctx, name, next)
	return err
}

func (s *server) get(ctx context.Context, name string) (string, error) {
	rec, err := s.store.Get(ctx, name)
	if err != nil {
		return "", err
	}
	return rec.Tokens.AccessToken, nil
}

func (s *server) number(ctx context.Context, name string, next []string) (string, error) {
	rec, err := s.store.Get(ctx, name)
	if err == nil && len(next) > 0 {
		rec.RefreshedBy = next[0]
		_, err = s.store.Set(ctx, name, rec)
	}
	if err != nil {
		return "", err
	}
	return rec.RefreshedBy, nil
}

func (s *server) many(ctx context.Context, number, name string) (string, error) {
	n, err := strconv.Atoi(number)
	if err != nil {
		return "", err
	}
	errs := make(chan error)
	for range n {
		go func() {
			_, err := s.get(ctx, name)
			errs <- err
		}()
	}
	for range n {
		err = errors.Join(err, <-errs)
	}
	return "", err
}

// realPlace is a place in the keyring of the session: with a service that nobody
// else has, it is empty.
func realPlace(t *testing.T) *place {
	t.Helper()
	p := newPlace(t)
	p.config.Service = fmt.Sprintf("evertoken-test-%d-%d", os.Getpid(), places.Add(1))
	p.config.Timeout = soon
	return p
}

var places atomic.Int64

func (p *place) real(t *testing.T) *keyring.Store {
	t.Helper()
	s, err := keyring.OpenReal(t.Context(), p.config, p.root)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (p *place) realDirect(t *testing.T) *keyring.Direct {
	t.Helper()
	d, err := keyring.OpenDirectReal(t.Context(), p.config, p.root)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

const (
	countProcesses = 8
	countEach      = 5
)

// count counts up a number in the keyring itself, under the session's lock.
func count(args []string) error {
	ctx := context.Background()
	store, err := keyring.OpenDirectReal(ctx, keyring.Config{Service: args[2], Dir: args[1], Timeout: soon}, args[0])
	if err != nil {
		return err
	}
	return teststore.CountLocked(ctx, store, "default", countEach)
}
