package oauthtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"syscall"
)

// Client returns an HTTP client that calls the server directly. It opens no
// socket, so it works in a synctest bubble, and it reaches no other host: those
// fail like unknown names. It follows redirects and keeps no cookies.
//
// Its errors look like those of a network, from "connection refused" to a body
// that ends in io.ErrUnexpectedEOF. A request whose context ends returns at once,
// while the server goes on with it.
func (s *Server) Client() *http.Client { return &http.Client{Transport: direct{s}} }

// direct is the RoundTripper of Client.
type direct struct{ s *Server }

// RoundTrip implements http.RoundTripper.
func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	trace := tracer{httptrace.ContextClientTrace(ctx)}
	trace.getConn(r.URL.Host)
	if err := ctx.Err(); err != nil {
		closer(r)()
		return nil, err
	}
	if r.URL.Scheme+"://"+r.URL.Host != d.s.URL {
		closer(r)()
		return nil, unknownHost(r.URL)
	}

	// Unbuffered: a reply is either taken here or known to be lost there.
	replies := make(chan reply)
	go d.serve(inbound(r), closer(r), trace, replies)
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case re := <-replies:
		return re.response(r)
	}
}

// serve runs the server's side of a request.
func (d direct) serve(r *http.Request, closeBody func(), trace tracer, replies chan<- reply) {
	// Like a real transport: the whole body is under way before the server
	// answers.
	body, err := io.ReadAll(r.Body)
	closeBody()
	re := reply{how: unreadBody, err: err}
	if err == nil {
		r.Body = io.NopCloser(bytes.NewReader(body))
		re = d.s.handle(r, func() { trace.wrote(r.URL.Host) })
	}
	select {
	case replies <- re:
	case <-r.Context().Done():
		re.finish(false)
	}
}

// response turns the reply into what a transport returns.
func (re reply) response(r *http.Request) (*http.Response, error) {
	switch re.how {
	case unreadBody:
		return nil, re.err
	case refusedDial:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: addr(r.URL.Host), Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	case reset:
		re.finish(false)
		return nil, &net.OpError{Op: "read", Net: "tcp", Addr: addr(r.URL.Host), Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	case abandoned:
		re.finish(false)
		return nil, context.Cause(r.Context())
	}
	re.finish(re.own)
	resp := &http.Response{
		Status:     fmt.Sprintf("%d %s", re.Status, http.StatusText(re.Status)),
		StatusCode: re.Status,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        http.Header{},
		Body:          io.NopCloser(re.reader()),
		ContentLength: int64(re.length()),
		Request:       r,
	}
	re.Give(resp.Header)
	if r.Method == http.MethodHead {
		resp.Body = http.NoBody
	}
	return resp, nil
}

// reader returns the body as it arrives.
func (re reply) reader() io.Reader {
	sent := bytes.NewReader(re.sent())
	if re.length() > sent.Len() {
		return io.MultiReader(sent, brokenReader{})
	}
	return sent
}

// inbound returns r as the server sees it. It shares nothing with r that the
// caller may change once RoundTrip has returned, except the body.
func inbound(r *http.Request) *http.Request {
	in := r.Clone(r.Context())
	in.RequestURI, in.RemoteAddr = r.URL.RequestURI(), "127.0.0.1:0"
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	return in
}

// closer returns a function that closes r's body, as RoundTrip must on each path.
func closer(r *http.Request) func() {
	if r.Body == nil {
		return func() {}
	}
	return func() { _ = r.Body.Close() }
}

func unknownHost(u *url.URL) error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: u.Hostname(), IsNotFound: true}}
}

// addr is a network address that is only ever printed.
type addr string

func (addr) Network() string  { return "tcp" }
func (a addr) String() string { return string(a) }

// brokenReader is the end of a body that was cut.
type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// A tracer reports to a httptrace.ClientTrace what a transport would: callers
// tell by it whether a request may have arrived. The trace may be nil.
type tracer struct{ *httptrace.ClientTrace }

func (t tracer) getConn(host string) {
	if t.ClientTrace != nil && t.GetConn != nil {
		t.GetConn(host)
	}
}

func (t tracer) wrote(host string) {
	if t.ClientTrace == nil {
		return
	}
	if t.GotConn != nil {
		conn, _ := net.Pipe() // hooks may ask it for its addresses
		t.GotConn(httptrace.GotConnInfo{Conn: conn})
	}
	if t.WroteHeaderField != nil {
		t.WroteHeaderField("Host", []string{host})
	}
	if t.WroteHeaders != nil {
		t.WroteHeaders()
	}
	if t.WroteRequest != nil {
		t.WroteRequest(httptrace.WroteRequestInfo{})
	}
}
