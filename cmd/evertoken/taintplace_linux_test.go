package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/outside/marks"
	"github.com/evertoken/evertoken/internal/taint"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// A taintPlace is a machine in a network where whoever can write something writes marks: the
// authorization server auth.test, the APIs api.test and mcp.test, evil.test, which has no
// business here, and the proxy that leads to them. It sees every request.
type taintPlace struct {
	t    *testing.T
	book *taint.Book
	auth *oauthtest.Server

	program, home, work, browser string
	proxy                        *httptest.Server
	conns                        chan net.Conn
	person                       *httptest.Server
	refuses                      atomic.Bool  // the person does, in marks
	answered                     atomic.Value // a func(): the token endpoint has answered
	hostile                      atomic.Value // a string: who answers with nothing but marks, and how; see serve and answerHostile
	ca                           *x509.Certificate
	caKey                        *ecdsa.PrivateKey
	leaves                       sync.Map // by name
}

const (
	taintPassword     = "the-pass+word/of=alice"
	taintClientSecret = "the-sec+ret/of=client"
)

func newTaintPlace(t *testing.T) *taintPlace {
	t.Helper()
	p := &taintPlace{t: t, book: new(taint.Book), conns: make(chan net.Conn), home: t.TempDir(), work: t.TempDir()}
	p.hostile.Store("")
	p.answered.Store(func() {})
	p.program = program(t)
	p.auth = oauthtest.New(oauthtest.Config{
		Users: map[string]string{"alice": taintPassword}, DeviceInterval: time.Second,
		Clients: []oauthtest.RegisteredClient{{ID: "confidential", Secret: taintClientSecret}},
	})
	p.book.Secret("password", taintPassword, "auth.test")
	p.book.Secret("client secret", taintClientSecret, "auth.test")
	p.makeCA()
	server := &http.Server{Handler: http.HandlerFunc(p.serve), ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = server.Serve(handedOver{p.conns, t.Context().Done()}) }()
	t.Cleanup(func() { _ = server.Close() })
	p.proxy = httptest.NewServer(http.HandlerFunc(p.connect))
	t.Cleanup(p.proxy.Close)
	p.person = httptest.NewServer(http.HandlerFunc(p.act))
	t.Cleanup(p.person.Close)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p.browser = filepath.Join(t.TempDir(), "browser")
	if err := os.Symlink(self, p.browser); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(p.home, "tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.work, "client-secret"), []byte(taintClientSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// environ is the environment of the command.
func (p *taintPlace) environ(seen string, more ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(strings.ToLower(v), "=")
		return strings.HasSuffix(name, "_proxy") || strings.HasSuffix(name, "_ca_bundle") || strings.HasPrefix(name, "ssl_cert_") || name == "ci" || strings.HasPrefix(name, "xdg_") || strings.HasPrefix(name, "evertoken_")
	})
	return append(append(env, "HOME="+p.home, "TMPDIR="+filepath.Join(p.home, "tmp"), "EVERTOKEN_STORE=file", "DBUS_SESSION_BUS_ADDRESS=disabled:", "BROWSER="+p.browser,
		"PERSON="+p.person.URL, "LOGIN_AS=alice", "SEEN="+seen, "HTTPS_PROXY="+p.proxy.URL, "SSL_CERT_FILE="+filepath.Join(p.work, "ca.pem"), "GORACE=atexit_sleep_ms=0"), more...)
}

// connect is the proxy: it sees no more of a request than where it goes.
func (p *taintPlace) connect(w http.ResponseWriter, r *http.Request) {
	p.book.Request("the proxy", requestText(r, nil))
	if r.Method != http.MethodConnect {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		p.t.Error(err)
		return
	}
	if _, err := io.WriteString(conn, "HTTP/1.1 200 "+oneLine("proxy")+"\r\nX-Proxy: "+oneLine("proxy")+"\r\n\r\n"); err != nil {
		return
	}
	host, _, _ := net.SplitHostPort(r.Host)
	select {
	case p.conns <- tls.Server(conn, &tls.Config{NextProtos: []string{"http/1.1"}, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.leaf(host) }}):
	case <-p.t.Context().Done():
		_ = conn.Close()
	}
}

// handedOver is a listener on connections that are there already.
type handedOver struct {
	conns chan net.Conn
	end   <-chan struct{}
}

func (l handedOver) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.end:
		return nil, errors.New("the test has ended")
	}
}
func (handedOver) Close() error   { return nil }
func (handedOver) Addr() net.Addr { return &net.TCPAddr{} }

func (p *taintPlace) makeCA() {
	var err error
	if p.caKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		p.t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &p.caKey.PublicKey, p.caKey)
	if err == nil {
		p.ca, err = x509.ParseCertificate(der)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(p.work, "ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// leaf returns a certificate for a host. That of wrong.test is for another, with marks in
// every name.
func (p *taintPlace) leaf(host string) (*tls.Certificate, error) {
	if leaf, found := p.leaves.Load(host); found {
		return leaf.(*tls.Certificate), nil
	}
	text := marks.Text("certificate")
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: strings.ToValidUTF8(text, "")}, NotBefore: p.ca.NotBefore, NotAfter: p.ca.NotAfter, DNSNames: []string{host}}
	if host == "wrong.test" {
		tmpl.DNSNames = []string{strings.Map(func(r rune) rune {
			if r > 0x7f || r == 0 {
				return -1
			}
			return r
		}, text)}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, p.ca, &p.caKey.PublicKey, p.caKey)
	if err != nil {
		return nil, err
	}
	leaf := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: p.caKey}
	p.leaves.Store(host, leaf)
	return leaf, nil
}

// act is the person in the browser: alice agrees, or the page sends her back with an error.
func (p *taintPlace) act(w http.ResponseWriter, r *http.Request) {
	address := r.URL.Query().Get("url")
	if p.refuses.Load() {
		u, _ := url.Parse(address)
		back, text := u.Query().Get("redirect_uri"), marks.Text("redirect")
		resp, err := http.Get(back + "?" + url.Values{"state": {u.Query().Get("state")}, "error": {text}, "error_description": {text}, "error_uri": {text}, "iss": {text}, text: {text}}.Encode())
		p.page(resp, err)
		return
	}
	location, err := p.auth.Allow(r.Context(), address, "alice")
	if err != nil {
		http.Error(w, "refused", http.StatusBadGateway)
		return
	}
	u, _ := url.Parse(location)
	p.book.Secret("code", u.Query().Get("code"), "auth.test")
	resp, err := http.Get(location)
	p.page(resp, err)
}

// page keeps the page that the login shows in the browser, which is not for a terminal.
func (p *taintPlace) page(resp *http.Response, err error) {
	if err != nil {
		return // a login with a short --timeout has ended; one that should not have fails its case
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	p.book.PassedOn("the page in the browser", string(body)+fmt.Sprint(resp.Header))
}

func requestText(r *http.Request, body []byte) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\nHost: %s\n", r.Method, r.RequestURI, r.Host)
	_ = r.Header.Write(&b)
	b.Write(body)
	return b.String()
}

// serve is every server.
func (p *taintPlace) serve(w http.ResponseWriter, r *http.Request) {
	host := r.TLS.ServerName
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	p.book.Request(host, requestText(r, body))
	form, _ := url.ParseQuery(string(body))
	rec := httptest.NewRecorder()
	who, how, _ := strings.Cut(p.hostile.Load().(string), " ")
	hits := map[string]bool{
		"auth": host == "auth.test", "token": host == "auth.test" && r.Method == http.MethodPost && r.URL.Path == "/token",
		"userinfo": r.URL.Path == "/userinfo", "api": host == "api.test" || host == "mcp.test",
	}[who]
	switch {
	case host == "evil.test", host == "wrong.test":
		fmt.Fprint(rec, marks.Text(host))
	case hits:
		p.note(form)
		answerHostile(rec, how)
	case host == "auth.test":
		p.note(form)
		p.auth.ServeHTTP(rec, r)
		p.noteAnswer(rec.Body.Bytes(), form.Get("resource"))
	case host == "mcp.test":
		serveTaintMCP(rec, r, body)
	default:
		rec.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(rec, `{"name":%s}`, rawJSON(marks.Text("api")))
	}
	p.reply(w, r, rec)
	if host == "auth.test" && r.Method == http.MethodPost && r.URL.Path == "/token" {
		p.answered.Load().(func())()
	}
}

// note remembers what a request to the authorization server has that is secret.
func (p *taintPlace) note(form url.Values) {
	for _, name := range []string{"code", "code_verifier", "client_secret", "client_assertion", "device_code"} {
		p.book.Secret(name, form.Get(name), "auth.test")
	}
}

// noteAnswer remembers the secrets that the authorization server gives, and the API that an
// access token is for.
func (p *taintPlace) noteAnswer(body []byte, resource string) {
	var fields map[string]any
	if json.Unmarshal(body, &fields) != nil {
		return
	}
	for _, name := range []string{"access_token", "refresh_token", "id_token", "device_code", "client_secret", "registration_access_token"} {
		value, _ := fields[name].(string)
		p.book.Secret(name, value, "auth.test")
		if api := "api.test"; name == "access_token" && value != "" {
			if resource != "" {
				api = "mcp.test"
			}
			p.book.Secret(name, value, api)
		}
	}
}

// notePair remembers the tokens of a login that no request has made.
func (p *taintPlace) notePair(pair *oauth.TokenPair) {
	p.book.Secret("access_token", pair.AccessToken, "auth.test", "api.test")
	p.book.Secret("refresh_token", pair.RefreshToken, "auth.test")
	p.book.Secret("id_token", pair.IDToken, "auth.test")
}

// serveTaintMCP is an MCP server whose every text has marks.
func serveTaintMCP(w http.ResponseWriter, r *http.Request, body []byte) {
	var m struct{ ID json.RawMessage }
	switch {
	case strings.HasPrefix(r.URL.Path, "/.well-known/oauth-protected-resource"):
		fmt.Fprintf(w, `{"resource":"https://mcp.test/mcp","authorization_servers":["https://auth.test"],"resource_name":%s}`, rawJSON(marks.Text("resource")))
	case r.Header.Get("Authorization") == "":
		w.Header().Set("WWW-Authenticate", `Bearer resource_metadata="https://mcp.test/.well-known/oauth-protected-resource/mcp"`)
		w.WriteHeader(http.StatusUnauthorized)
	case json.Unmarshal(body, &m) != nil, len(m.ID) == 0:
		w.WriteHeader(http.StatusMethodNotAllowed)
	default:
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-11-25","x":%s}}`, m.ID, rawJSON(marks.Text("mcp")))
	}
}

// taintMembers are members of answers that are texts, or are not needed.
var taintMembers = []string{
	"error_description", "error_uri", "message", "detail", "title", "type", "hint", "op_policy_uri", "service_documentation", "token_type_hint",
	"given_name", "name", "preferred_username", "email", "client_name", "scope",
}

// answerHostile answers with nothing but marks, under a status: with a word that ends a session
// besides, or with as much as it can send.
func answerHostile(w http.ResponseWriter, status string) {
	var code int
	if _, err := fmt.Sscan(status, &code); err != nil {
		panic(err)
	}
	fields := map[string]json.RawMessage{}
	for _, name := range append([]string{
		"error", "code", "access_token", "refresh_token", "id_token", "token_type", "expires_in", "sub", "device_code", "user_code", "verification_uri", "issuer", "token_endpoint", "interval",
		"authorization_endpoint", "resource", "client_id", "client_secret", "jsonrpc", "data",
	}, taintMembers...) {
		fields[name] = rawJSON(marks.Text(name))
	}
	if strings.HasSuffix(status, "word") {
		fields["error"] = json.RawMessage(`"invalid_grant"`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Location", "https://evil.test/"+oneLine("location"))
	w.Header().Set("WWW-Authenticate", `Bearer error="`+oneLine("challenge")+`", scope="`+oneLine("scope")+`", resource_metadata="https://evil.test/`+oneLine("metadata")+`"`)
	if strings.HasSuffix(status, "bomb") {
		w.Header()["Www-Authenticate"] = []string{strings.Repeat(`Bearer a="`+oneLine("bomb")+`", `, 4<<10)}
		fields["data"] = json.RawMessage(strings.Repeat("[", 4<<20))
	}
	w.WriteHeader(code)
	writeRaw(w, fields)
}

// reply sends an answer as no library would: with marks in its status line, in headers and in
// members that nothing needs.
func (p *taintPlace) reply(w http.ResponseWriter, r *http.Request, rec *httptest.ResponseRecorder) {
	body := rec.Body.Bytes()
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) == nil && r.TLS.ServerName == "auth.test" {
		for _, name := range taintMembers {
			// The scope of tokens, and what userinfo says of alice, are texts too.
			if _, there := fields[name]; !there || name == "scope" || name == "preferred_username" || name == "name" || name == "error_description" {
				fields[name] = rawJSON(marks.Text(name))
			}
		}
		var b bytes.Buffer
		writeRaw(&b, fields)
		body = b.Bytes()
	}
	conn, out, err := w.(http.Hijacker).Hijack()
	if err != nil {
		p.t.Error(err)
		return
	}
	defer conn.Close()
	head := bufio.NewWriter(out)
	fmt.Fprintf(head, "HTTP/1.1 %d %s\r\n", rec.Code, oneLine("status"))
	for name, values := range rec.Header() {
		if name == "Content-Length" {
			continue
		}
		for _, value := range values {
			fmt.Fprintf(head, "%s: %s\r\n", name, value)
		}
	}
	if how := p.hostile.Load().(string); strings.HasSuffix(how, "raw") {
		fmt.Fprintf(head, "%s: %s\r\n", marks.Text("name"), marks.Text("raw")) // which is an error in itself
	}
	fmt.Fprintf(head, "X-Marks: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", oneLine("header"), len(body))
	_, _ = head.Write(body)
	_ = head.Flush() // whoever has gone away needs no answer
	_ = out.Flush()
}

// writeRaw writes an object without escaping what JSON lets stand.
func writeRaw(w io.Writer, fields map[string]json.RawMessage) {
	for i, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range fields {
			if !yield(name) {
				return
			}
		}
	}) {
		fmt.Fprintf(w, "%c%q:%s", "{,"[min(i, 1)], name, fields[name])
	}
	fmt.Fprint(w, "}")
}

// rawJSON is a string in JSON as a server writes it that escapes no more than it has to.
func rawJSON(s string) json.RawMessage {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' {
			fmt.Fprintf(&b, `\u%04x`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return json.RawMessage(`"` + b.String() + `"`)
}

// oneLine are the marks that net/http lets stand in a line of a header.
func oneLine(where string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, marks.Text(where))
}
