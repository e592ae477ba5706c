package login

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
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
	listeners, err := listenAll(t.Context(), new(net.ListenConfig).Listen, []string{nobodys, "127.0.0.1"}, "", false)
	if err != nil || len(listeners) != 1 || listeners[0].Addr().(*net.TCPAddr).IP.String() != "127.0.0.1" {
		t.Fatalf("got %v, %v; want one listener on 127.0.0.1", listeners, err)
	}
	closeAll(listeners)

	listeners, err = listenAll(t.Context(), new(net.ListenConfig).Listen, []string{"127.0.0.1", "::1"}, "", false)
	if err != nil || len(listeners) != 1 {
		t.Errorf("got %v, %v; want no listener beyond the first that works", listeners, err)
	}
	closeAll(listeners)

	_, err = listenAll(t.Context(), new(net.ListenConfig).Listen, []string{nobodys}, "", false)
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

// A name of localhost that is spelled otherwise means both families too.
func TestLocalhostInAnySpellingIsHeldOnBothAddressFamilies(t *testing.T) {
	for _, address := range []string{"http://localhost:8/callback", "http://LocalHost:8/callback"} {
		hosts, _, err := loopbackTarget(address)
		if err != nil || !slices.Equal(hosts, []string{"127.0.0.1", "::1"}) {
			t.Errorf("%s: %q, %v", address, hosts, err)
		}
		u, err := url.Parse(address)
		if err != nil || !isLocalhost(u) {
			t.Errorf("%s is not taken for localhost", address)
		}
	}
}

// An addressed is a listener that has its address alone.
type addressed struct {
	pipeListener
	port int
}

func (l *addressed) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: l.port} }

// A login never waits at one family of localhost while another program can have the other.
func TestPortOfLocalhostThatAnotherProgramHasHalfOfIsNotUsed(t *testing.T) {
	wrong := func(number syscall.Errno) error {
		return &net.OpError{Op: "listen", Net: "tcp6", Err: os.NewSyscallError("bind", number)}
	}
	inUse, denied, absent := syscall.EADDRINUSE, syscall.EACCES, syscall.EADDRNOTAVAIL
	if runtime.GOOS == "windows" {
		inUse, denied, absent = 10048, 10013, 10049
	}
	for name, tt := range map[string]struct {
		port   string
		second []error // of the second family, in turn; nil: it is free
		first  int     // ports that are tried
		want   int     // listeners; 0: an error
	}{
		"free":                              {"", []error{nil}, 1, 2},
		"a family that is not there":        {"", []error{wrong(absent)}, 1, 1},
		"given, a family that is not there": {"8080", []error{wrong(absent)}, 1, 1},
		"given, and half taken":             {"8080", []error{wrong(inUse)}, 1, 0},
		"given, and held exclusively":       {"8080", []error{wrong(denied)}, 1, 0},
		"chosen, and held exclusively":      {"", []error{wrong(denied)}, 1, 0},
		"chosen, and half taken":            {"", []error{wrong(inUse), wrong(inUse), nil}, 3, 2},
		"every one half taken":              {"", []error{wrong(inUse)}, maxPorts, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var opened []*addressed
			n := 0
			listen := func(_ context.Context, _, address string) (net.Listener, error) {
				if strings.HasPrefix(address, "[::1]") {
					if err := tt.second[min(n, len(tt.second))-1]; err != nil {
						return nil, err
					}
				} else {
					n++
				}
				l := &addressed{pipeListener{closed: make(chan struct{})}, 5000 + n}
				opened = append(opened, l)
				return l, nil
			}
			got, err := listenAll(t.Context(), listen, []string{"127.0.0.1", "::1"}, tt.port, true)
			if n != tt.first || len(got) != tt.want || (err == nil) != (tt.want > 0) {
				t.Fatalf("%d listeners, %v, after %d ports; want %d after %d", len(got), err, n, tt.want, tt.first)
			}
			for i, l := range opened {
				select {
				case <-l.closed:
				default:
					if i < len(opened)-tt.want {
						t.Errorf("listener %d of %d is left open", i, len(opened))
					}
				}
			}
		})
	}
}

// So it is with the system's sockets.
func TestLoginAtLocalhostFailsWhereAnotherProgramHasOneFamily(t *testing.T) {
	for _, family := range []string{"127.0.0.1", "[::1]"} {
		l, err := net.Listen("tcp", family+":0")
		if err != nil {
			t.Skipf("no such loopback: %v", err)
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		for _, host := range []string{"localhost", "LOCALHOST"} {
			lb, fail := Listen(t.Context(), "http://"+host+":"+port+"/callback")
			if fail == nil {
				lb.Close()
				t.Errorf("a login waits at %s beside another program's %s", host, family)
			} else if fail.Kind != wire.ErrTransient || fail.Field != "RedirectURL" {
				t.Errorf("%s beside %s: %+v", host, family, fail)
			}
		}
		_ = l.Close()
	}
}

func TestCloseDoesNotWaitForUnusedConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lb, dial := pipedLoopback(t)
		lb.serve(&Login{answeredBy: anything, over: make(chan struct{})})
		browser := dial() // opened in advance, as browsers do
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
		lb, dial := pipedLoopback(t)
		run := &Login{answeredBy: anything, over: make(chan struct{})}
		lb.serve(run)

		got := make(chan string)
		go func() {
			transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
				return dial(), nil
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

// pipedLoopback returns a Loopback that is reached by the connections that dial opens.
func pipedLoopback(t *testing.T) (lb *Loopback, dial func() net.Conn) {
	t.Helper()
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	lb = &Loopback{path: callbackPath, listeners: []net.Listener{l}, fresh: make(map[net.Conn]struct{})}
	return lb, func() net.Conn {
		browser, accepted := net.Pipe()
		l.conns <- accepted
		if err := browser.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		return browser
	}
}

// ask sends a request's head, and returns the answer with its body read.
func ask(t *testing.T, conn net.Conn, requestLine string, header ...string) *http.Response {
	t.Helper()
	head := strings.Join(append([]string{requestLine + " HTTP/1.1", "Host: 127.0.0.1"}, header...), "\r\n")
	if _, err := io.WriteString(conn, head+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(requestLine, " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s: %v", requestLine, err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s: %v", requestLine, err)
	}
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp
}

func TestConnectionsOfStrangersEndWithTheirAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lb, dial := pipedLoopback(t)
		run := lb.Begin(Person{}, "", anything)
		for _, requestLine := range []string{"GET /favicon.ico", "GET /callback", "POST /callback", "HEAD /", "OPTIONS *"} {
			stranger := dial()
			ask(t, stranger, requestLine)
			if _, err := stranger.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("%s: after the answer: %v; want the connection's end", requestLine, err)
			}
		}
		run.Finish(nil)
		lb.Close()
	})
}

func TestConnectionsThatSendNothingAreNotHeldInAnyNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lb, dial := pipedLoopback(t)
		lb.serve(&Login{answeredBy: anything, over: make(chan struct{})})
		defer lb.Close()
		const many = 1000
		var ended atomic.Int32
		for range many {
			stranger := dial()
			go func() {
				_, _ = stranger.Read(make([]byte, 1))
				ended.Add(1)
			}()
		}
		synctest.Wait()
		if held := many - ended.Load(); held != maxFresh {
			t.Errorf("%d connections are held; want %d", held, maxFresh)
		}
		if resp := ask(t, dial(), "GET /favicon.ico"); resp.StatusCode != http.StatusNotFound {
			t.Errorf("a browser gets HTTP %d; want 404", resp.StatusCode)
		}
	})
}

func TestCloseDoesNotWaitForABodyThatDoesNotCome(t *testing.T) {
	for _, requestLine := range []string{"GET /x", "GET /callback", "POST /callback", "HEAD /callback", "OPTIONS *"} {
		for _, promise := range []string{"Content-Length: 10", "Content-Length: 1000000", "Transfer-Encoding: chunked", "Content-Length: 10\r\nExpect: 100-continue"} {
			synctest.Test(t, func(t *testing.T) {
				lb, dial := pipedLoopback(t)
				run := lb.Begin(Person{}, "", anything)
				stranger := dial()
				ask(t, stranger, requestLine, promise)

				run.Finish(nil)
				start := time.Now()
				lb.Close()
				if took := time.Since(start); took > time.Second {
					t.Errorf("%s, %q: closing took %v", requestLine, promise, took)
				}
				if _, err := stranger.Read(make([]byte, 1)); err != io.EOF {
					t.Errorf("%s, %q: after the login: %v; want the connection's end", requestLine, promise, err)
				}
			})
		}
	}
}

func TestLastPageIsForTheBrowserOfItsLogin(t *testing.T) {
	var lasts []string
	for range 2 {
		synctest.Test(t, func(t *testing.T) {
			lb, dial := pipedLoopback(t)
			run := lb.Begin(Person{}, "", anything)
			go func() { <-run.answers }()
			sent := ask(t, dial(), "GET /callback?code=the-code&state=the-state")
			last := sent.Header.Get("Location")
			lasts = append(lasts, last)
			if strings.Contains(last, "the-") {
				t.Errorf("the browser ends at %s", last)
			}

			run.Finish(nil)
			for _, requestLine := range []string{"GET /callback/done", "GET /callback/done/", "GET " + lasts[0] + "x"} {
				if resp := ask(t, dial(), requestLine); resp.StatusCode != http.StatusNotFound {
					t.Errorf("%s of a stranger: HTTP %d; want 404", requestLine, resp.StatusCode)
				}
			}
			if resp := ask(t, dial(), "GET "+last, "Sec-Fetch-Dest: image"); resp.StatusCode != http.StatusNotFound {
				t.Errorf("an image of a web site: HTTP %d; want 404", resp.StatusCode)
			}
			select {
			case <-lb.shown:
				t.Error("the login takes the last page for shown")
			default:
			}
			if resp := ask(t, dial(), "GET "+last, "Sec-Fetch-Dest: document"); resp.StatusCode != http.StatusOK {
				t.Errorf("the browser: HTTP %d; want 200", resp.StatusCode)
			}
			lb.Close()
		})
	}
	if lasts[0] == lasts[1] {
		t.Errorf("two logins end at %s", lasts[0])
	}
}

// anything is an answer to the login.
func anything(url.Values) bool { return true }
