// Package login gets the answer of a login from a person: it shows an address, opens
// the browser, and receives the browser when it returns to a port on the loopback
// interface (RFC 8252 section 7.3), or reads what the person pastes. It knows nothing of
// tokens.
package login

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"sync"
	"sync/atomic"

	"github.com/evertoken/evertoken/internal/browser"
	"github.com/evertoken/evertoken/internal/outside"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// ErrState means that an answer carries the state of another login, or none.
var ErrState = errors.New("the answer belongs to another login (state does not match)")

// A Person is how to reach the person who logs in. The fields are those of oauth.Config.
type Person struct {
	OpenBrowser  func(ctx context.Context, url string) error
	Output       io.Writer
	ReadRedirect func(ctx context.Context) (string, error)
}

// Say tells the person something. Output is where people look; if it cannot be
// written to, the person cannot be told. Texts among args that others may choose have to
// be outside.Text, which has no line breaks.
func (p Person) Say(format string, args ...any) {
	out := p.Output
	if out == nil {
		out = os.Stderr
	}
	_, _ = io.WriteString(out, outside.Lines(fmt.Sprintf(format, args...)))
}

// A Login is one login in the browser. A listener that hears an answer with its
// state offers it to answers; Await takes one and no more.
type Login struct {
	person      Person
	url         string
	redirectURL string
	answeredBy  func(url.Values) bool // whether a query carries its state
	answers     chan url.Values
	notices     chan string // what to tell the person, said by Await alone

	answered atomic.Bool // an answer was taken
	unclear  sync.Once   // tells of an error without state

	over chan struct{} // closed when the login has ended
	err  error         // how it ended; written before over closes
}

// Begin makes lb receive the browser of a login at address. answeredBy tells whether a
// query is an answer to it. End with Finish.
func (lb *Loopback) Begin(p Person, address string, answeredBy func(url.Values) bool) *Login {
	l := &Login{
		person:      p,
		url:         address,
		redirectURL: lb.RedirectURL,
		answeredBy:  answeredBy,
		answers:     make(chan url.Values),
		notices:     make(chan string, 1), // so that who sends one need not wait for Await
		over:        make(chan struct{}),
	}
	lb.serve(l)
	return l
}

// Await takes the person through the login, and returns the query of the first answer
// that belongs to it.
func (l *Login) Await(ctx context.Context) (url.Values, *wire.Failure) {
	asking, cancel := context.WithCancel(ctx)
	defer cancel() // once an answer is here: no more asking
	l.person.Say("To log in, open this address in a browser, unless one opens by itself:\n\n  %s\n\n", outside.ShowAddress(l.url))
	go l.openBrowser(asking)
	if l.person.ReadRedirect != nil {
		l.person.Say("If the browser runs on another machine, paste here the address it ends on.\n")
		go l.readPastes(asking)
	}
	l.person.Say("Waiting for the login. If the browser shows an error, stop with Ctrl-C.\n")
	for {
		select {
		case query := <-l.answers:
			l.sayAll() // what came before it
			return query, nil
		case notice := <-l.notices:
			l.person.Say("%s\n", notice)
		case <-ctx.Done():
			return nil, Unfinished(ctx, Op)
		}
	}
}

// sayAll tells the person what is still to be told.
func (l *Login) sayAll() {
	for {
		select {
		case notice := <-l.notices:
			l.person.Say("%s\n", notice)
		default:
			return
		}
	}
}

// Unfinished is the failure of a login that ctx ended.
func Unfinished(ctx context.Context, op string) *wire.Failure {
	return &wire.Failure{Op: op, Kind: wire.ErrTransient, Err: fmt.Errorf("the login was not finished: %w", context.Cause(ctx))}
}

// Finish tells the browser how the login ended.
func (l *Login) Finish(err error) {
	l.err = err
	close(l.over)
}

// offer hands an answer to Await, and reports whether it was taken, or the login has
// ended by another one, rather than ctx.
func (l *Login) offer(ctx context.Context, query url.Values) bool {
	select {
	case l.answers <- query:
	case <-l.over: // another answer came first
	case <-ctx.Done():
		return false
	}
	l.answered.Store(true)
	return true
}

// hearUnclear tells the person of an error that came without a state. Some servers leave it
// out; but any web page and any user of this machine can send the same, so it ends no login.
func (l *Login) hearUnclear(code string) {
	l.unclear.Do(func() {
		what := "an error"
		if wire.PlausibleCode(code) {
			what = "the error " + code
		}
		notice := "The browser came back with " + what + ", which does not say which login it belongs to. Still waiting; if the server has refused the login, stop with Ctrl-C."
		select {
		case l.notices <- notice: // before the browser gets its page, and so before what the person does next
		default:
			go func() {
				select {
				case l.notices <- notice:
				case <-l.over:
				}
			}()
		}
	})
}

// openBrowser shows the login page, or says why it cannot.
func (l *Login) openBrowser(ctx context.Context) {
	open := l.person.OpenBrowser
	if open == nil {
		open = browser.Open
	}
	if err := open(ctx, l.url); err != nil {
		l.notify(ctx, fmt.Sprintf("The browser could not be opened (%s). Please open the address above yourself.", outside.Text(err.Error())))
	}
}

func (l *Login) notify(ctx context.Context, notice string) {
	select {
	case l.notices <- notice:
	case <-ctx.Done():
	}
}
