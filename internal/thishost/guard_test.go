package thishost_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"

	"github.com/evertoken/evertoken/internal/thishost"
)

// A connection is one end of a pipe that says where it leads.
type connection struct {
	net.Conn
	remote net.Addr
}

func (c connection) RemoteAddr() net.Addr { return c.remote }

func TestRequestToLocalhostStaysOnThisMachine(t *testing.T) {
	tcp := func(address string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(address), Port: 80} }
	for name, tt := range map[string]struct {
		url    string
		remote net.Addr
		stays  bool
	}{
		"loopback":          {"http://localhost/", tcp("127.0.0.1"), true},
		"loopback, IPv6":    {"http://localhost:8080/", tcp("::1"), true},
		"a Unix socket":     {"http://localhost/", &net.UnixAddr{Net: "unix", Name: "/run/x"}, true},
		"a tunnel":          {"http://localhost/", tcp("0.0.0.0"), true},
		"no address":        {"http://localhost/", nil, true},
		"another machine":   {"http://localhost/", tcp("192.0.2.1"), false},
		"another, IPv6":     {"http://localhost:8080/", tcp("2001:db8::1"), false},
		"another, by TLS":   {"https://localhost/", tcp("192.0.2.1"), true},
		"another, by proxy": {"http://127.0.0.1/", tcp("192.0.2.1"), true}, // which the program has named
	} {
		ours, theirs := net.Pipe()
		read := make(chan []byte)
		go func() {
			got := make([]byte, 4<<10)
			n, _ := theirs.Read(got)
			_, _ = io.WriteString(theirs, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
			_ = theirs.Close()
			read <- got[:n]
		}()
		dial := func(context.Context, string, string) (net.Conn, error) { return connection{ours, tt.remote}, nil }
		u, err := url.Parse(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		req := (&http.Request{Method: http.MethodGet, URL: u, Header: http.Header{"Authorization": {"Bearer secret"}}}).WithContext(t.Context())
		guard := thishost.Guarding(u)
		if guard != nil {
			req = guard.Of(req)
		}
		if u.Scheme == "https" { // only that it is not guarded
			_, _ = ours.Close(), <-read
			if guard != nil {
				t.Errorf("%s: a request by TLS is guarded", name)
			}
			continue
		}
		resp, err := (&http.Transport{DialContext: dial}).RoundTrip(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		_ = ours.Close()
		if got := <-read; (err == nil) != tt.stays || guard.Strayed() == tt.stays || bytes.Contains(got, []byte("secret")) != tt.stays {
			t.Errorf("%s: %v, strayed %v, sent %q", name, err, guard.Strayed(), got)
		}
	}
}
