package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/evertoken/evertoken/internal/sleep"
	"github.com/evertoken/evertoken/internal/trouble"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/tokenstore"
)

// Headers by which workers say who they are and when they began to send a request. What
// a broken network delivers late, or a stopped process sends late, is not younger for that.
const (
	processHeader = "Fleet-Process"
	sentHeader    = "Fleet-Sent"
)

// An authority is an authorization server with strict reuse detection and its API,
// each on an address of its own, and the ledger of what refresh tokens came.
type authority struct {
	*oauthtest.Server
	ca     []byte           // PEM
	tokens trouble.Endpoint // what hosts reach
	cert   tls.Certificate
	auth   string // where it listens
	api    *http.Server

	mu         sync.Mutex   // guards what follows
	http       *http.Server // of auth; replaced by up
	turnedAway int          // requests for tokens that were answered 429 or 503
	ledger     ledger
	awaiting   map[string]chan struct{} // by process: closed when it next announces a spend
}

func newAuthority(cfg oauthtest.Config) *authority {
	a := &authority{Server: oauthtest.New(cfg), ledger: newLedger(cfg.AccessTokenLifetime), awaiting: make(map[string]chan struct{})}
	a.tokens.Path, a.tokens.Server = string(oauthtest.TokenEndpoint), a
	a.api, a.http = a.newHTTP(), a.newHTTP()
	return a
}

func (a *authority) newHTTP() *http.Server {
	return &http.Server{Handler: &a.tokens, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)} // clients that vanish are expected
}

// listen serves both addresses and returns where.
func (a *authority) listen(authIP, apiIP string) (auth, api string, err error) {
	cert, err := newCertificate(authIP, apiIP)
	if err != nil {
		return "", "", err
	}
	a.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	a.cert = cert
	l, err := a.listenTLS(net.JoinHostPort(apiIP, "0"))
	if err != nil {
		return "", "", err
	}
	go func() { _ = a.api.Serve(l) }() // always ends with an error
	a.auth = net.JoinHostPort(authIP, "0")
	if err := a.up(); err != nil {
		return "", "", err
	}
	return a.auth, l.Addr().String(), nil
}

func (a *authority) listenTLS(addr string) (net.Listener, error) {
	return tls.Listen("tcp", addr, &tls.Config{Certificates: []tls.Certificate{a.cert}})
}

// up has the authority listen, where it did before.
func (a *authority) up() error {
	var l net.Listener
	var err error
	for range 50 { // a connection of another process may have the port for a moment
		if l, err = a.listenTLS(a.auth); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		return err
	}
	a.auth = l.Addr().String()
	h := a.newHTTP()
	a.mu.Lock()
	a.http = h
	a.mu.Unlock()
	go func() { _ = h.Serve(l) }() // always ends with an error
	return nil
}

// down ends the authority until up: connections break, and new ones are refused. The API
// stays.
func (a *authority) down() {
	a.mu.Lock()
	h := a.http
	a.mu.Unlock()
	_ = h.Close()
}

func (a *authority) close() {
	a.tokens.Heal()
	a.down()
	_ = a.api.Close()
}

// login starts a session for the user.
func (a *authority) login(user string) (*oauth.TokenPair, error) {
	pair, err := a.Login(user)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ledger.issue(hashOf(pair.RefreshToken), time.Now())
	return pair, nil
}

// authorityName is how all hosts call the authority. They reach it by ways of their own.
const authorityName = "as.test"

// announce takes down that a process is about to spend a token.
func (a *authority) announce(token, process string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ledger.announce(token, process)
	if waiting := a.awaiting[process]; waiting != nil {
		close(waiting)
		delete(a.awaiting, process)
	}
}

// awaitSpend waits until the process announces a spend, or for that long.
func (a *authority) awaitSpend(ctx context.Context, process string, atMost time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	announced := make(chan struct{})
	a.mu.Lock()
	a.awaiting[process] = announced // nothing else waits for it
	a.mu.Unlock()
	select {
	case <-announced:
	case <-ctx.Done():
	}
}

// ServeHTTP enters what comes to the token endpoint into the ledger.
func (a *authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != string(oauthtest.TokenEndpoint) {
		a.Server.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		panic(http.ErrAbortHandler) // half a request
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	form, _ := url.ParseQuery(string(body)) // a body that is not a form has no refresh token
	sp := spend{token: hashOf(form.Get("refresh_token")), process: r.Header.Get(processHeader), arrived: time.Now()}
	if ns, err := strconv.ParseInt(r.Header.Get(sentHeader), 10, 64); err == nil {
		sp.sent = time.Unix(0, ns)
	}
	answer := &answerCopy{ResponseWriter: w}
	a.Server.ServeHTTP(answer, r)
	var fields struct {
		RefreshToken string `json:"refresh_token"`
	}
	if json.Unmarshal(answer.body.Bytes(), &fields) == nil && fields.RefreshToken != "" {
		sp.next = hashOf(fields.RefreshToken)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if answer.status == http.StatusTooManyRequests || answer.status == http.StatusServiceUnavailable {
		a.turnedAway++
		return
	}
	a.ledger.spends = append(a.ledger.spends, sp)
}

// An answerCopy keeps what is answered.
type answerCopy struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (c *answerCopy) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

func (c *answerCopy) Write(b []byte) (int, error) {
	c.body.Write(b)
	return c.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController find the connection.
func (c *answerCopy) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// newCertificate makes a certificate that signs itself.
func newCertificate(ips ...string) (tls.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{authorityName},
	}
	for _, ip := range ips {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(ip))
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// hashOf is by what the ledger knows a refresh token: the beginning of its SHA-256,
// as the server's auditor writes it.
func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:6])
}

// expiryOf returns when an access token of the authority's ends, by its claims.
func expiryOf(accessToken string) time.Time {
	parts := strings.Split(accessToken, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	var claims struct {
		ExpiresMilli int64 `json:"exp_ms"`
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return time.Time{}
	}
	return time.UnixMilli(claims.ExpiresMilli)
}

// users are the names of n sessions.
func users(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("user%06d", i)
	}
	return names
}

// fill logs in to each of the named sessions, one after the other in the given time, and
// saves the pairs in the store.
func (a *authority) fill(ctx context.Context, s tokenstore.Store, names []string, during time.Duration) error {
	begun := time.Now()
	for i, name := range names {
		if err := sleep.For(ctx, time.Until(begun.Add(during*time.Duration(i)/time.Duration(len(names))))); err != nil {
			return err
		}
		pair, err := a.login(name)
		if err != nil {
			return err
		}
		if _, err := s.Set(ctx, name, &tokenstore.Record{Tokens: pair}); err != nil {
			return err
		}
	}
	return nil
}
