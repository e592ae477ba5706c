package oauth_test

import (
	"bufio"
	"encoding/binary"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/evertoken/evertoken/oauth"
)

// These tests send a refresh token over connections that break in the ways after
// which net/http repeats requests on its own. The server must see the token at
// most once.

func quietLog() *log.Logger { return log.New(io.Discard, "", 0) }

// receive reads one whole request.
func receive(c net.Conn) {
	if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
}

// accepting serves each connection with f, one after another, and returns the
// address.
func accepting(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}

func TestKeptConnectionThatBreaksCarriesTheTokenOnce(t *testing.T) {
	var tokens atomic.Int32
	addr := accepting(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		for first := true; ; first = false {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			body, _ := io.ReadAll(req.Body)
			if strings.Contains(string(body), "r-once") {
				tokens.Add(1)
			}
			if !first {
				return // the kept connection breaks under the second request
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n"+`{"access_token":"a"}`)
		}
	})
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	c := oauth.NewClient(oauth.Config{ClientID: "id", TokenURL: "http://" + addr + "/token", HTTPClient: &http.Client{Transport: transport}})
	// The first is answered, and the second breaks. On a busy machine net/http may keep no
	// connection, and then the second is a first one.
	for range 20 {
		tokens.Store(0)
		_, err := c.RefreshToken(t.Context(), "r-once")
		if err == nil {
			continue
		}
		if fail := failure(t, err); !fail.Unknown() {
			t.Errorf("got %v; want an unknown outcome", err)
		}
		if n := tokens.Load(); n != 1 {
			t.Errorf("the server saw the refresh token %d times; want 1", n)
		}
		return
	}
	t.Error("no connection was kept")
}

func TestWithoutAClientOfTheCallersEveryRequestHasItsOwnConnection(t *testing.T) {
	var connections atomic.Int32
	addr := accepting(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		for first := true; ; first = false {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if first && req.URL.Path == "/token" {
				connections.Add(1)
			}
			_, _ = io.Copy(io.Discard, req.Body)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n"+`{"access_token":"a"}`)
			if req.Close {
				return
			}
		}
	})
	c := oauth.NewClient(oauth.Config{ClientID: "id", TokenURL: "http://" + addr + "/token"})
	for range 3 {
		if _, err := c.RefreshToken(t.Context(), "r"); err != nil {
			t.Fatal(err)
		}
	}
	if n := connections.Load(); n != 3 {
		t.Errorf("3 requests used %d connections; want 3", n)
	}
}

// HTTP/2 frame types and error codes (RFC 9113 sections 6 and 7).
const (
	frameData, frameHeaders, frameReset, frameSettings, frameGoAway = 0, 1, 3, 4, 7
	flagAck, flagEndStream                                          = 1, 1
	codeNone, codeProtocol, codeInternal, codeRefused               = 0, 1, 2, 7
)

func writeFrame(c net.Conn, kind, flags byte, stream uint32, payload []byte) {
	head := make([]byte, 9, 9+len(payload))
	head[0], head[1], head[2] = byte(len(payload)>>16), byte(len(payload)>>8), byte(len(payload))
	head[3], head[4] = kind, flags
	binary.BigEndian.PutUint32(head[5:], stream)
	_, _ = c.Write(append(head, payload...))
}

func uint32s(values ...uint32) []byte {
	var b []byte
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// serveHTTP2 speaks as much HTTP/2 as it takes to receive requests, and ends each
// with fail. It counts request bodies.
func serveHTTP2(bodies *atomic.Int32, fail func(c net.Conn, stream uint32)) func(net.Conn) {
	return func(c net.Conn) {
		preface := make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
		if _, err := io.ReadFull(c, preface); err != nil {
			return
		}
		writeFrame(c, frameSettings, 0, 0, nil)
		for head := make([]byte, 9); ; {
			if _, err := io.ReadFull(c, head); err != nil {
				return
			}
			payload := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
			if _, err := io.ReadFull(c, payload); err != nil {
				return
			}
			kind, flags, stream := head[3], head[4], binary.BigEndian.Uint32(head[5:])
			switch {
			case kind == frameSettings && flags&flagAck == 0:
				writeFrame(c, frameSettings, flagAck, 0, nil)
			case kind == frameData && flags&flagEndStream != 0:
				if bodies.Add(1) > 3 {
					return // enough is seen; do not retry for ever
				}
				fail(c, stream)
			}
		}
	}
}

func TestHTTP2FailuresCarryTheTokenOnce(t *testing.T) {
	for name, fail := range map[string]func(net.Conn, uint32){
		"REFUSED_STREAM":       func(c net.Conn, stream uint32) { writeFrame(c, frameReset, 0, stream, uint32s(codeRefused)) },
		"reset with an error":  func(c net.Conn, stream uint32) { writeFrame(c, frameReset, 0, stream, uint32s(codeInternal)) },
		"reset PROTOCOL_ERROR": func(c net.Conn, stream uint32) { writeFrame(c, frameReset, 0, stream, uint32s(codeProtocol)) },
		"GOAWAY before it":     func(c net.Conn, _ uint32) { writeFrame(c, frameGoAway, 0, 0, uint32s(0, codeNone)); _ = c.Close() },
		"GOAWAY behind it": func(c net.Conn, stream uint32) {
			writeFrame(c, frameGoAway, 0, 0, uint32s(stream, codeNone))
			_ = c.Close()
		},
		"connection closed":       func(c net.Conn, _ uint32) { _ = c.Close() },
		"GOAWAY with an error":    func(c net.Conn, _ uint32) { writeFrame(c, frameGoAway, 0, 0, uint32s(0, codeInternal)); _ = c.Close() },
		"GOAWAY, connection open": func(c net.Conn, _ uint32) { writeFrame(c, frameGoAway, 0, 0, uint32s(0, codeNone)) },
	} {
		t.Run(name, func(t *testing.T) {
			var bodies atomic.Int32
			addr := accepting(t, serveHTTP2(&bodies, fail))
			transport := &http.Transport{Protocols: new(http.Protocols)}
			transport.Protocols.SetUnencryptedHTTP2(true)
			defer transport.CloseIdleConnections()
			c := oauth.NewClient(oauth.Config{ClientID: "id", TokenURL: "http://" + addr + "/token", HTTPClient: &http.Client{Transport: transport}})
			_, err := c.RefreshToken(t.Context(), secret)
			if f := failure(t, err); !f.Unknown() {
				t.Errorf("got %v (sent: %v); want an unknown outcome", err, f.Sent)
			}
			transport.CloseIdleConnections()
			if n := bodies.Load(); n != 1 {
				t.Errorf("the server saw the refresh token %d times; want 1", n)
			}
		})
	}
}
