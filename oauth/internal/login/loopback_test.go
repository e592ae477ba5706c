package login

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// A pipeListener accepts in-memory connections, which work in a bubble.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

func TestNextLoopbackIsTriedWhereTheFirstIsMissing(t *testing.T) {
	const nobodys = "192.0.2.1" // RFC 5737: on no machine
	listeners, err := listenAll(t.Context(), []string{nobodys, "127.0.0.1"}, "", false)
	if err != nil || len(listeners) != 1 || listeners[0].Addr().(*net.TCPAddr).IP.String() != "127.0.0.1" {
		t.Fatalf("got %v, %v; want one listener on 127.0.0.1", listeners, err)
	}
	closeAll(listeners)

	listeners, err = listenAll(t.Context(), []string{"127.0.0.1", "::1"}, "", false)
	if err != nil || len(listeners) != 1 {
		t.Errorf("got %v, %v; want no listener beyond the first that works", listeners, err)
	}
	closeAll(listeners)

	_, err = listenAll(t.Context(), []string{nobodys}, "", false)
	for redirectURL, field := range map[string]string{"": "", "http://192.0.2.1:8080": "RedirectURL"} {
		fail := listenError(redirectURL, "", err)
		if err == nil || fail.Kind != wire.ErrMisconfigured || fail.Hint == "" || fail.Field != field {
			t.Errorf("without any loopback, for %q: got %+v, want ErrMisconfigured, a hint and the field %q", redirectURL, fail, field)
		}
	}
}

func TestLocalhostIsHeldOnBothAddressFamilies(t *testing.T) {
	if l, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skipf("no IPv6 loopback: %v", err)
	} else {
		_ = l.Close()
	}
	lb, fail := Listen(t.Context(), "http://localhost/callback")
	if fail != nil {
		t.Fatal(fail)
	}
	defer lb.Close()
	if len(lb.listeners) != 2 {
		t.Fatalf("%d listeners; want 2", len(lb.listeners))
	}
	first, second := lb.listeners[0].Addr().(*net.TCPAddr), lb.listeners[1].Addr().(*net.TCPAddr)
	if first.Port != second.Port || first.IP.Equal(second.IP) {
		t.Errorf("listens on %v and %v; want one port of both families", first, second)
	}
}

func TestCloseDoesNotWaitForUnusedConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
		lb := &Loopback{path: callbackPath, listeners: []net.Listener{l}, fresh: make(map[net.Conn]struct{})}
		lb.serve(&Login{answeredBy: anything, over: make(chan struct{})})
		browser, accepted := net.Pipe() // opened in advance, as browsers do
		l.conns <- accepted
		synctest.Wait()

		start := time.Now()
		lb.Close()
		if took := time.Since(start); took > time.Second {
			t.Errorf("closing took %v because of a connection that nobody used", took)
		}
		if _, err := browser.Read(make([]byte, 1)); err == nil {
			t.Error("the unused connection is still open")
		}
	})
}

func TestCloseDeliversThePageUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
		lb := &Loopback{path: callbackPath, listeners: []net.Listener{l}, fresh: make(map[net.Conn]struct{})}
		run := &Login{answeredBy: anything, over: make(chan struct{})}
		lb.serve(run)

		got := make(chan string)
		go func() {
			transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
				browser, accepted := net.Pipe()
				l.conns <- accepted
				return browser, nil
			}}
			resp, err := (&http.Client{Transport: transport}).Get("http://127.0.0.1/callback?error=access_denied&state=the-state")
			if err != nil {
				got <- err.Error()
				return
			}
			defer resp.Body.Close()
			time.Sleep(time.Second) // a browser that takes its time
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				body = []byte(err.Error())
			}
			got <- string(body)
		}()
		synctest.Wait()
		run.Finish(nil)
		go lb.Close()
		if page := <-got; len(page) < 500 || page[len(page)-len("</html>\n"):] != "</html>\n" {
			t.Errorf("the page arrived as %q", page)
		}
		time.Sleep(time.Minute)
	})
}

// anything is an answer to the login.
func anything(url.Values) bool { return true }
