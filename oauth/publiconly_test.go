package oauth_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/evertoken/evertoken/oauth"
)

func TestPublicOnlyRefusesWhatNoPublicServerHas(t *testing.T) {
	for address, public := range map[string]bool{
		"127.0.0.1:80": false, "[::1]:443": false, "10.1.2.3:443": false, "172.16.0.1:443": false, "192.168.0.1:443": false, "169.254.169.254:80": false, "100.64.0.1:443": false,
		"224.0.0.1:443": false, "0.0.0.0:443": false, "[::]:443": false, "203.0.113.1:443": false, "[2001:db8::1]:443": false, "[fc00::1]:443": false, "[fe80::1%eth0]:443": false,
		"[ff02::1]:443": false, "[::ffff:10.0.0.1]:443": false, "[64:ff9b::10.0.0.1]:443": false, "[64:ff9b:1::1]:443": false, "[2002:7f00:1::]:443": false,
		"1.1.1.1:443": true, "[2606:4700::1]:443": true, "[64:ff9b::1.1.1.1]:443": true,
		"": false, "localhost:80": false, "1.1.1.1": false, "/run/x.sock": false,
	} {
		for _, network := range []string{"tcp4", "tcp6", "udp4", "udp6"} {
			if err := oauth.PublicOnly(network, address, nil); (err == nil) != public || err != nil && !errors.Is(err, oauth.ErrMisconfigured) {
				t.Errorf("%s %s: %v; want public: %v", network, address, err, public)
			}
		}
	}
	for _, network := range []string{"unix", "unixgram", "ip4:icmp", ""} {
		if err := oauth.PublicOnly(network, "1.1.1.1:443", nil); !errors.Is(err, oauth.ErrMisconfigured) {
			t.Errorf("%s: %v; want it to be refused", network, err)
		}
	}
}

// A rebinder is a name server that answers each question for an IPv4 address with the next
// one of a list.
type rebinder struct {
	mu      sync.Mutex
	answers []string
}

func (r *rebinder) next() netip.Addr {
	r.mu.Lock()
	defer r.mu.Unlock()
	answer := r.answers[0]
	if len(r.answers) > 1 {
		r.answers = r.answers[1:]
	}
	return netip.MustParseAddr(answer)
}

// resolver asks the rebinder alone, over a connection in memory.
func (r *rebinder) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go r.serve(server)
		return client, nil
	}}
}

// serve answers questions as over TCP (RFC 1035 section 4.2.2) until the other side hangs up.
func (r *rebinder) serve(conn net.Conn) {
	defer conn.Close()
	for {
		var length [2]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		question := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(conn, question); err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(question) != nil || len(m.Questions) != 1 {
			return
		}
		m.Response, m.Additionals = true, nil
		if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}, Body: &dnsmessage.AResource{A: r.next().As4()},
			}}
		}
		answer, err := m.Pack()
		if err != nil {
			return
		}
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
			return
		}
	}
}

// A program that looks a name up and then connects by it can be shown a public address first.
func TestF95_NameThatLeadsHereTheSecondTimeIsRefused(t *testing.T) {
	var heard atomic.Int32
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { heard.Add(1) }))
	defer inside.Close()
	_, port, err := net.SplitHostPort(inside.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	resolver := (&rebinder{answers: []string{"1.1.1.1", "127.0.0.1"}}).resolver()
	seen, err := resolver.LookupNetIP(t.Context(), "ip4", "rebound.example.com")
	if err != nil || len(seen) != 1 || seen[0].Unmap() != netip.MustParseAddr("1.1.1.1") {
		t.Fatalf("looked up beforehand: %v, %v", seen, err)
	}
	transport := oauth.PublicTransport()
	transport.DialContext = (&net.Dialer{Control: oauth.PublicOnly, Resolver: resolver}).DialContext
	client := oauth.NewClient(oauth.Config{ClientID: "id", TokenURL: "https://rebound.example.com:" + port + "/token", HTTPClient: &http.Client{Transport: transport}})
	_, err = client.RefreshToken(t.Context(), secret)
	fail := failure(t, err)
	if !errors.Is(err, oauth.ErrMisconfigured) || errors.Is(err, oauth.ErrTransient) || fail.Sent || !strings.Contains(err.Error(), "127.0.0.1:"+port) || !strings.Contains(err.Error(), "loopback") {
		t.Errorf("error %v; want one that names the address", err)
	}
	if n := heard.Load(); n != 0 {
		t.Errorf("%d requests came", n)
	}
	// The same way without the hook leads inside: that is what it is for.
	plain := &http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{Resolver: resolver}).DialContext}}
	resp, err := plain.Get("http://rebound.example.com:" + port)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if n := heard.Load(); n != 1 {
		t.Errorf("%d requests came without the hook; want the test to be able to fail", n)
	}
}

func TestPublicTransportReachesNothingInside(t *testing.T) {
	inside := httptest.NewServer(http.NotFoundHandler())
	defer inside.Close()
	t.Setenv("HTTP_PROXY", inside.URL)
	t.Setenv("HTTPS_PROXY", inside.URL)
	transport := oauth.PublicTransport()
	defer transport.CloseIdleConnections()
	for _, url := range []string{inside.URL, strings.Replace(inside.URL, "127.0.0.1", "localhost", 1), strings.Replace(inside.URL, "127.0.0.1", "[::ffff:127.0.0.1]", 1)} {
		resp, err := (&http.Client{Transport: transport}).Get(url)
		if err == nil {
			_ = resp.Body.Close()
		}
		if !errors.Is(err, oauth.ErrMisconfigured) {
			t.Errorf("%s: %v", url, err)
		}
	}
	if transport.Proxy != nil {
		t.Error("a proxy would connect to whatever it likes")
	}
}
