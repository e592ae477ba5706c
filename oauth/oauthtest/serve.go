package oauthtest

import (
	"bytes"
	"context"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxRequest is far above what any request to this server needs.
const maxRequest = 1 << 20

// A reply is what goes back to the client: an answer, whole or broken.
type reply struct {
	*answer
	how   broken
	spend *spend // the refresh token that was sent, for the auditor; or nil
	own   bool   // the answer tells the client where it stands
	err   error  // with unreadBody
}

// handle carries out one request. arrived is called once nothing can keep the
// request away any more; it is nil for requests off a socket, which have arrived.
// The caller reports to the spend what became of the reply.
func (s *Server) handle(r *http.Request, arrived func()) reply {
	e := s.endpointOf(r.URL.Path)
	body, form := readForm(r)
	raw := s.spentToken(e, r, body, form)
	f := s.script.take(e, form.Get("grant_type"), s.spenderOf(raw))
	direct := arrived != nil
	if direct {
		if f != nil && f.Down {
			return reply{how: refusedDial}
		}
		arrived()
	}
	s.count(e)
	s.audit.checkQuery(r.URL)

	var sp *spend
	if raw != "" {
		sp = s.audit.arrive(r.Context(), hashOf(raw), direct)
	}
	r.PostForm, r.Body = form, io.NopCloser(bytes.NewReader(body))
	a, how, own := f.apply(r.Context(), func() *answer { return s.work(e, r) })
	if a != nil {
		a.encode()
	}
	return reply{answer: a, how: how, spend: sp, own: own}
}

// work is what the server does when nothing goes wrong.
func (s *Server) work(e Endpoint, r *http.Request) *answer {
	if e == "" {
		return textAnswer(http.StatusNotFound, "oauthtest: there is no such page")
	}
	if allowed := e.methods(); allowed != nil && !slices.Contains(allowed, r.Method) {
		a := textAnswer(http.StatusMethodNotAllowed, "oauthtest: the method is not allowed here")
		a.header.Set("Allow", strings.Join(allowed, ", "))
		return a
	}
	return s.handler(e)(r)
}

// spenderOf returns whose refresh token raw is, or "" if that is not known.
func (s *Server) spenderOf(raw string) string {
	if raw == "" {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.tokens[hashOf(raw)]; st != nil {
		return st.session.User
	}
	return ""
}

func (s *Server) count(e Endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[e]++
	close(s.arrived)
	s.arrived = make(chan struct{})
}

// readForm reads the body and, if it says that it is a form, the form. What
// cannot be read or parsed is as good as absent.
func readForm(r *http.Request) ([]byte, url.Values) {
	if r.Body == nil {
		return nil, url.Values{}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest))
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return body, url.Values{}
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return body, url.Values{}
	}
	return body, form
}

// ServeHTTP implements http.Handler. Faults that break the connection need an
// http.ResponseWriter that can be hijacked, as HTTP/1.1 servers have; with any
// other they panic with http.ErrAbortHandler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// net/http notices that a client has left only once the body is read, which
	// handle does first.
	re := s.handle(r, nil)
	switch re.how {
	case abandoned:
		re.spend.finish(nil, false)
		panic(http.ErrAbortHandler)
	case refusedDial, reset:
		re.spend.finish(re.answer, false)
		resetConn(w)
		return
	}
	// Before writing: with the last byte the client may send the next request.
	re.spend.finish(re.answer, re.own && r.Context().Err() == nil)
	if re.write(w) != nil {
		re.spend.lost()
	}
	if re.length() > len(re.sent()) {
		panic(http.ErrAbortHandler) // which breaks the connection
	}
}

// sent returns the part of the body that goes on the wire.
func (re reply) sent() []byte {
	if re.how == cut {
		return re.body[:len(re.body)/2]
	}
	return re.body
}

// length is the body's length as the client is told.
func (re reply) length() int {
	if re.how == endsEarly {
		return len(re.body) + 1
	}
	return len(re.body)
}

// write sends the header and body, through to the connection.
func (re reply) write(w http.ResponseWriter) error {
	re.give(w.Header())
	if re.how != notBroken {
		w.Header().Set("Content-Length", strconv.Itoa(re.length()))
	}
	w.WriteHeader(re.status)
	if _, err := w.Write(re.sent()); err != nil {
		return err
	}
	return http.NewResponseController(w).Flush()
}

// resetConn closes the connection so that the client's next read or write fails
// with "connection reset by peer".
func resetConn(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// detached returns a context for work that goes on when the client leaves.
func detached(r *http.Request) context.Context { return context.WithoutCancel(r.Context()) }
