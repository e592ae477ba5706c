package faultproxy_test

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/faultproxy"
)

// An upper answers every line with its upper-case form. It tells what it got over
// each connection that has ended.
type upper struct{ ended chan string }

func (u *upper) serve(c net.Conn) {
	defer c.Close()
	var all, line []byte
	for buf := make([]byte, 1024); ; {
		n, err := c.Read(buf)
		if err != nil {
			u.ended <- string(all)
			return
		}
		all = append(all, buf[:n]...)
		if line = append(line, buf[:n]...); !bytes.HasSuffix(line, []byte("\n")) {
			continue
		}
		if _, err := c.Write(bytes.ToUpper(line)); err != nil {
			u.ended <- string(all)
			return
		}
		line = nil
	}
}

func start(t *testing.T) (*upper, *faultproxy.Proxy) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &upper{make(chan string, 8)}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go u.serve(c)
		}
	}()
	p, err := faultproxy.Listen(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(); l.Close() })
	return u, p
}

func dial(t *testing.T, p *faultproxy.Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	return c
}

// ask sends a request and returns how much of the answer came.
func ask(c net.Conn, request string) (string, error) {
	if _, err := io.WriteString(c, request); err != nil {
		return "", err
	}
	buf := make([]byte, len(request))
	n, err := io.ReadFull(c, buf)
	return string(buf[:n]), err
}

func TestAFaultHappensOnceAndWhereItIsToHappen(t *testing.T) {
	for name, tc := range map[string]struct {
		at             faultproxy.Point
		server, client string
	}{
		"before the request": {faultproxy.BeforeRequest, "", ""},
		"mid request":        {faultproxy.MidRequest, "spe", ""},
		"before the answer":  {faultproxy.BeforeAnswer, "spend\n", ""},
		"mid answer":         {faultproxy.MidAnswer, "spend\n", "SPE"},
	} {
		t.Run(name, func(t *testing.T) {
			u, p := start(t)
			fired := p.Arm(faultproxy.Fault{Match: "end", At: tc.at})
			other := dial(t, p)
			if got, err := ask(other, "x\n"); got != "X\n" || err != nil {
				t.Fatalf("a request that the fault is not for: %q, %v; want it answered", got, err)
			}
			got, err := ask(dial(t, p), "spend\n")
			if got != tc.client || err == nil {
				t.Errorf("client got %q, error %v; want %q and an error", got, err, tc.client)
			}
			<-fired
			if got, err := ask(other, "spend\n"); got != "SPEND\n" || err != nil {
				t.Errorf("the next request on another connection: %q, %v; want it answered", got, err)
			}
			if got := <-u.ended; got != tc.server {
				t.Errorf("server got %q; want %q", got, tc.server)
			}
		})
	}
}

func TestAHeldConnectionGoesOnAfterResume(t *testing.T) {
	_, p := start(t)
	c := dial(t, p)
	fired := p.Arm(faultproxy.Fault{Match: "spend", At: faultproxy.MidAnswer, Hold: true})
	if _, err := io.WriteString(c, "spend\n"); err != nil {
		t.Fatal(err)
	}
	<-fired
	p.Resume()
	buf := make([]byte, 6)
	if _, err := io.ReadFull(c, buf); err != nil || string(buf) != "SPEND\n" {
		t.Errorf("after Resume: %q, %v; want the whole answer", buf, err)
	}
}

func TestDownMeansEveryConnectionFails(t *testing.T) {
	_, p := start(t)
	c := dial(t, p)
	if _, err := ask(c, "a\n"); err != nil {
		t.Fatal(err)
	}
	p.SetDown(true)
	if got, err := ask(c, "b\n"); err == nil {
		t.Errorf("an old connection answered %q; want an error", got)
	}
	if c, err := net.Dial("tcp", p.Addr()); err == nil { // it may be reset before Dial returns
		got, err := ask(c, "c\n")
		c.Close()
		if err == nil {
			t.Errorf("a new connection answered %q; want an error", got)
		}
	}
	p.SetDown(false)
	if got, err := ask(dial(t, p), "d\n"); got != "D\n" || err != nil {
		t.Errorf("after SetDown(false): %q, %v; want an answer", got, err)
	}
	p.Cut()
	if _, err := ask(dial(t, p), "e\n"); err != nil {
		t.Errorf("a connection made after Cut: %v", err)
	}
}
