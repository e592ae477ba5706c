package oauthtest

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"strconv"

	"github.com/evertoken/evertoken/internal/authserver/answer"
	"github.com/evertoken/evertoken/internal/sleep"
)

// A broken says how a connection ends instead of a whole answer.
type broken int

const (
	notBroken broken = iota
	refusedDial
	reset
	cut
	endsEarly  // behind the whole body
	abandoned  // the client has left
	unreadBody // the request's own body could not be read
)

// apply carries out the request by work, with what goes wrong. It returns the
// answer, how the connection breaks, and whether the answer is the server's own
// (or says as much).
func (f *Fault) apply(ctx context.Context, work func() *answer.Answer) (a *answer.Answer, how broken, own bool) {
	if f == nil {
		return work(), notBroken, true
	}
	before := !f.AfterCommit
	if before {
		_ = sleep.For(ctx, f.Delay)
	}
	if f.AfterCommit || !f.replaces() {
		a = work()
	}
	if !before {
		_ = sleep.For(ctx, f.Delay)
	}
	switch {
	case f.Hang:
		<-ctx.Done()
		return a, abandoned, false
	case f.Down, f.Reset:
		return a, reset, false
	}
	if f.hasAnswer() {
		a, own = f.answer(a), false
	} else {
		f.edit(a)
		own = f.rewrite(a)
	}
	f.head(a)
	switch {
	case f.CutBody:
		return a, cut, false
	case f.EndsEarly:
		return a, endsEarly, own
	}
	return a, notBroken, own
}

// replaces reports whether the fault takes the place of the server's work.
func (f *Fault) replaces() bool { return f.Hang || f.Down || f.Reset || f.hasAnswer() }

func (f *Fault) hasAnswer() bool {
	return f.Status != 0 || f.Body != "" || f.HTML || f.Redirect != "" || f.RetryAfter > 0
}

// page is what a captive portal or a proxy in trouble shows.
const page = "<!DOCTYPE html>\n<html lang=\"en\"><title>Gateway</title><h1>Something is in the way</h1></html>\n"

// answer builds the scripted answer; done is the server's own, or nil.
func (f *Fault) answer(done *answer.Answer) *answer.Answer {
	a := &answer.Answer{Status: f.Status, Header: http.Header{}, Body: []byte(f.Body)}
	if done != nil {
		a.Committed, a.Rotated = done.Committed, done.Rotated
	}
	a.Header.Set("Content-Type", "application/json")
	if f.HTML {
		a.Header.Set("Content-Type", "text/html; charset=utf-8")
		a.Body = []byte(page)
	}
	if f.Redirect != "" {
		setDefault(&a.Status, http.StatusTemporaryRedirect)
		a.Header.Set("Location", f.Redirect)
	}
	if f.RetryAfter > 0 {
		setDefault(&a.Status, http.StatusTooManyRequests)
		a.Header.Set("Retry-After", strconv.Itoa(int(math.Ceil(f.RetryAfter.Seconds()))))
	}
	setDefault(&a.Status, http.StatusOK)
	return a
}

// head sets the answer's header. Names without values stay as such: net/http would
// make up a Content-Type otherwise.
func (f *Fault) head(a *answer.Answer) {
	for name, values := range f.Header {
		a.Header[http.CanonicalHeaderKey(name)] = append([]string(nil), values...)
	}
}

// edit changes the server's own answer.
func (f *Fault) edit(a *answer.Answer) {
	if a.Fields == nil {
		return
	}
	switch f.ExpiresIn {
	case "":
	case Missing:
		delete(a.Fields, "expires_in")
	default:
		a.Fields["expires_in"] = json.RawMessage(f.ExpiresIn)
	}
	if f.Edit != nil {
		f.Edit(a.Fields)
	}
}

// rewrite changes the body of the server's own answer, and reports whether a client
// that reads it knows where it stands.
func (f *Fault) rewrite(a *answer.Answer) (informs bool) {
	informs = a.Informs()
	if f.Rewrite == nil {
		return informs
	}
	tokens := []string{a.String("access_token"), a.String("refresh_token")}
	a.Encode()
	a.Body = f.Rewrite(a.Body)
	for _, token := range tokens {
		informs = informs && (bytes.Contains(a.Body, []byte(token)) || bytes.Contains(a.Body, []byte(url.QueryEscape(token))))
	}
	return informs
}
