package bridge_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/bridge"
)

// inBubble is a server without a network, for tests whose time is their own.
func inBubble() *remote {
	return &remote{streams: make(chan func(http.ResponseWriter), 10), handle: make(map[string]func(http.ResponseWriter, string))}
}

// startInBubble begins a bridge to a server in a bubble.
func startInBubble(t *testing.T, s *remote, change ...func(*bridge.Config)) *run {
	t.Helper()
	toServer := func(cfg *bridge.Config) { cfg.Client = &http.Client{Transport: direct{s}} }
	return start(t, "http://mcp.test/", append([]func(*bridge.Config){toServer}, change...)...)
}

// direct hands requests to a handler; the answer's body is read while it is written.
type direct struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (d direct) RoundTrip(req *http.Request) (*http.Response, error) {
	body, out := io.Pipe()
	w := &answering{header: make(http.Header), out: out, began: make(chan *http.Response, 1)}
	w.resp = &http.Response{Body: body, Request: req, ContentLength: -1, ProtoMajor: 1, ProtoMinor: 1}
	end := context.AfterFunc(req.Context(), func() { body.CloseWithError(context.Cause(req.Context())) })
	inner := req.Clone(req.Context())
	if inner.Body == nil {
		inner.Body = http.NoBody
	}
	if trace := httptrace.ContextClientTrace(req.Context()); trace != nil {
		trace.WroteRequest(httptrace.WroteRequestInfo{})
	}
	go func() {
		defer end()
		defer func() {
			if recover() != nil { // as http.ErrAbortHandler
				w.abort()
			}
		}()
		d.handler.ServeHTTP(w, inner)
		w.WriteHeader(http.StatusOK)
		out.Close()
	}()
	select {
	case resp := <-w.began:
		if resp == nil {
			return nil, io.ErrUnexpectedEOF
		}
		if trace := httptrace.ContextClientTrace(req.Context()); trace != nil {
			trace.GotFirstResponseByte()
		}
		return resp, nil
	case <-req.Context().Done():
		return nil, context.Cause(req.Context())
	}
}

// An answering is what a handler in a bubble writes to.
type answering struct {
	header http.Header
	out    *io.PipeWriter
	resp   *http.Response
	began  chan *http.Response
}

// Header implements http.ResponseWriter.
func (a *answering) Header() http.Header { return a.header }

// Flush implements http.Flusher.
func (a *answering) Flush() {}

// WriteHeader implements http.ResponseWriter.
func (a *answering) WriteHeader(status int) {
	if a.resp.StatusCode == 0 {
		a.resp.StatusCode, a.resp.Header = status, a.header.Clone()
		a.began <- a.resp
	}
}

// abort breaks the connection.
func (a *answering) abort() {
	if a.resp.StatusCode == 0 {
		a.began <- nil
	}
	a.out.CloseWithError(io.ErrUnexpectedEOF)
}

// Write implements http.ResponseWriter.
func (a *answering) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.out.Write(p)
}

// next returns the next line that the program gets, or "" if none comes in time.
func (r *run) next(within time.Duration) string {
	line := make(chan string, 1)
	go func() {
		text, _ := r.out.ReadString('\n')
		line <- strings.TrimSuffix(text, "\n")
	}()
	select {
	case text := <-line:
		return text
	case <-time.After(within):
		return ""
	}
}

// inTurn answers by each of several in turn, and then by the last.
func inTurn(answers ...func(http.ResponseWriter, string)) func(http.ResponseWriter, string) {
	n := -1
	return func(w http.ResponseWriter, id string) {
		n = min(n+1, len(answers)-1)
		answers[n](w, id)
	}
}

// says answers by a status and an empty body.
func says(status int) func(http.ResponseWriter, string) {
	return func(w http.ResponseWriter, _ string) {
		w.Header().Del("Mcp-Session-Id")
		w.WriteHeader(status)
	}
}

// breaks answers by breaking the connection.
func breaks(http.ResponseWriter, string) { panic(http.ErrAbortHandler) }

// streams answers by a stream with the given text.
func streams(text string) func(http.ResponseWriter, string) {
	return func(w http.ResponseWriter, _ string) {
		events(w)
		_, _ = io.WriteString(w, text)
	}
}
