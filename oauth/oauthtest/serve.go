package oauthtest

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"

	"github.com/evertoken/evertoken/internal/authserver/answer"
	"github.com/evertoken/evertoken/internal/authserver/audit"
	"github.com/evertoken/evertoken/internal/authserver/form"
	"github.com/evertoken/evertoken/internal/authserver/secret"
)

// A reply is what goes back to the client: an answer, whole or broken.
type reply struct {
	*answer.Answer
	how   broken
	spend *audit.Arrival // the refresh token that was sent, for the auditor; or nil
	own   bool           // the answer tells the client where it stands
	err   error          // with unreadBody
}

// handle carries out one request. arrived is called once nothing can keep the
// request away any more; it is nil for requests off a socket, which have arrived.
// The caller reports to the spend what became of the reply.
func (s *Server) handle(r *http.Request, arrived func()) reply {
	e := Endpoint(s.engine.EndpointOf(r.URL.Path))
	body, values := form.Read(r)
	raw := s.engine.SpentToken(string(e), r, body, values)
	f := s.script.take(e, values.Get("grant_type"), s.engine.SpenderOf(raw))
	direct := arrived != nil
	if direct {
		if f != nil && f.Down {
			return reply{how: refusedDial}
		}
		arrived()
	}
	s.count(e)
	s.engine.Audit.CheckQuery(r.URL)

	var sp *audit.Arrival
	if raw != "" {
		sp = s.engine.Audit.Arrive(r.Context(), secret.Hash(raw), direct)
	}
	r.PostForm, r.Body = values, io.NopCloser(bytes.NewReader(body))
	a, how, own := f.apply(r.Context(), func() *answer.Answer { return s.engine.Serve(string(e), r) })
	if a != nil {
		a.Encode()
	}
	return reply{Answer: a, how: how, spend: sp, own: own}
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
		re.spend.Finish(audit.Outcome{}, false)
		panic(http.ErrAbortHandler)
	case refusedDial, reset:
		re.finish(false)
		resetConn(w)
		return
	}
	// Before writing: with the last byte the client may send the next request.
	re.finish(re.own && r.Context().Err() == nil)
	if re.write(w) != nil {
		re.spend.Lost()
	}
	if re.length() > len(re.sent()) {
		panic(http.ErrAbortHandler) // which breaks the connection
	}
}

// finish tells the auditor what became of the reply.
func (re reply) finish(delivered bool) {
	var done audit.Outcome
	if re.Answer != nil {
		done = audit.Outcome{Committed: re.Committed, Rotated: re.Rotated, Refused: re.Refused}
	}
	re.spend.Finish(done, delivered)
}

// sent returns the part of the body that goes on the wire.
func (re reply) sent() []byte {
	if re.how == cut {
		return re.Body[:len(re.Body)/2]
	}
	return re.Body
}

// length is the body's length as the client is told.
func (re reply) length() int {
	if re.how == endsEarly {
		return len(re.Body) + 1
	}
	return len(re.Body)
}

// write sends the header and body, through to the connection.
func (re reply) write(w http.ResponseWriter) error {
	re.Give(w.Header())
	if re.how != notBroken {
		w.Header().Set("Content-Length", strconv.Itoa(re.length()))
	}
	w.WriteHeader(re.Status)
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
