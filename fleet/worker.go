package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/evertoken/evertoken/internal/sleep"
	"github.com/evertoken/evertoken/internal/workers"
	"github.com/evertoken/evertoken/internal/wrongclock"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A workerConfig tells a worker what to be.
type workerConfig struct {
	Kind   kind
	Engine string // host:port
	// Authority is by what way this host reaches the token endpoint, which has one name for all.
	Authority     string
	TokenURL, API string
	CA            []byte
	Host          int
	Name          string // which of all
	Skew          time.Duration
	Check         time.Duration
	Lease         time.Duration
	Timeout       time.Duration
	MaxWait       time.Duration
	Calls         time.Duration
}

// What a worker prints: one line for each, with the fields of the struct after it.
const (
	saidReady  = "ready"  // all sessions are open
	saidSaved  = "saved"  // a pair is in the engine: hash, when
	saidBegins = "begins" // a spend is announced in the engine: hash
	saidTook   = "took"   // a refresh was answered: when, how long it took
	saidFailed = "failed" // a call with a living token was not served: why
	saidEnded  = "ended"  // a session is over, says the pool: what, session
	saidWaited = "waited" // a call was not served, or not at once: a wait as JSON
	saidDone   = "done"   // counts as JSON, and then nothing more
	saidError  = "error"  // the worker cannot go on: why
)

// counts is what a worker has counted: calls that began with a token that lived, and
// with one that did not.
type counts struct{ Living, LivingServed, Dead, DeadServed int }

// work is the main function of a worker. It ends with its standard input: with a line
// it closes its pool and reports, without one it just ends.
func work(stdin io.Reader, stdout io.Writer) int {
	w := &worker{out: stdout}
	if err := workers.Config(&w.cfg); err != nil {
		w.say(saidError, err)
		return exitUsage
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := w.open(ctx); err != nil {
		w.say(saidError, err)
		return exitBroken
	}
	defer w.closeStore()
	w.say(saidReady)
	ended := make(chan bool)
	go func() { ended <- bufio.NewScanner(stdin).Scan() }()
	if !w.callUntil(ended) {
		return exitBroken
	}
	ctx, cancel = context.WithTimeout(ctx, patience)
	defer cancel()
	if err := w.pool.Close(ctx); err != nil {
		w.say(saidError, err)
	}
	report, err := json.Marshal(w.counts)
	if err != nil {
		w.say(saidError, err)
	}
	w.say(saidDone, string(report))
	return exitHolds
}

// A worker is a replica of a service: a pool of all sessions, whose tokens it uses.
type worker struct {
	cfg        workerConfig
	pool       *refresh.Pool
	names      []string
	api        *http.Transport
	closeStore func() error

	mu     sync.Mutex // guards what follows
	out    io.Writer
	counts counts
}

func (w *worker) say(what string, fields ...any) {
	line := strings.ReplaceAll(fmt.Sprintln(append([]any{what}, fields...)...), "\n", " ")
	w.mu.Lock()
	defer w.mu.Unlock()
	_, _ = io.WriteString(w.out, line+"\n") // a reader that has gone need not know
}

// toAuthority returns a transport that reaches the token endpoint.
func (w *worker) toAuthority() *http.Transport {
	way := w.api.Clone()
	way.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, w.cfg.Authority)
	}
	return way
}

func (w *worker) open(ctx context.Context) error {
	s, closeStore, err := openStore(w.cfg.Kind, w.cfg.Engine, w.cfg.Lease)
	if err != nil {
		return err
	}
	w.closeStore = closeStore
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(w.cfg.CA)
	w.api = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: refresh.DefaultWorkers}
	clk := wrongclock.By(w.cfg.Skew)
	cfg := refresh.Config{
		OAuthClient: timed{oauth.NewClient(oauth.Config{
			ClientID: oauthtest.DefaultClientID, TokenURL: w.cfg.TokenURL, Now: clk.Now,
			HTTPClient: &http.Client{Transport: signing{w.toAuthority(), w.cfg.Name}},
		}), w},
		Store: telling{s, w}, Clock: clk,
		CheckInterval: w.cfg.Check, RefreshTimeout: w.cfg.Timeout, MaxWait: w.cfg.MaxWait,
		OnEvent: func(e refresh.Event) {
			switch e.Kind {
			case refresh.EventLoginRequired, refresh.EventSuspected, refresh.EventLoggedOut, refresh.EventOtherAccount, refresh.EventMisconfigured:
				w.say(saidEnded, e.Kind, e.Session, e.Err)
			}
		},
	}
	w.pool = refresh.NewPool(refresh.PoolConfig{Config: cfg})
	if err := w.pool.Start(ctx); err != nil {
		return err
	}
	// A machine that is busy makes the engine seem away.
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if _, err = w.pool.Restore(ctx); err == nil {
			w.names, err = s.Names(ctx)
		}
		if err == nil || sleep.For(ctx, time.Second) != nil {
			return err
		}
	}
}

// callUntil calls the API for one session after the other until the channel says how
// it ends, and returns that when all calls are over.
func (w *worker) callUntil(ended <-chan bool) bool {
	var running sync.WaitGroup
	defer running.Wait()
	ticker := time.NewTicker(w.cfg.Calls)
	defer ticker.Stop()
	for {
		select {
		case orderly := <-ended:
			return orderly
		case <-ticker.C:
			name := w.names[rand.IntN(len(w.names))]
			running.Go(func() { w.call(name) })
		}
	}
}

// atOnce is how long a call may take that does not wait for anything.
const atOnce = 100 * time.Millisecond

// margin is how much longer than it is called for a token has to live to count as
// living: on a busy machine a call takes a moment to arrive.
const margin = time.Second

// call makes one request with the session's token, and counts what became of it.
func (w *worker) call(name string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	m, err := w.pool.Session(ctx, name)
	if err != nil {
		w.say(saidError, err)
		return
	}
	begun, trip := time.Now(), &trip{RoundTripper: w.api}
	expiry := expiryOf(m.GetTokens().AccessToken)
	err = fetch(ctx, &http.Client{Transport: m.Transport(trip)}, w.cfg.API)
	living := trip.living(begun, expiry)
	if err != nil && living {
		w.say(saidFailed, err)
	}
	if now := time.Now(); now.Sub(begun) > atOnce || err != nil {
		if told, err := json.Marshal(wait{name, begun, now, err == nil}); err == nil {
			w.say(saidWaited, string(told))
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	all, served := &w.counts.Dead, &w.counts.DeadServed
	if living {
		all, served = &w.counts.Living, &w.counts.LivingServed
	}
	*all++
	if err == nil {
		*served++
	}
}

// A trip is the first journey of a call's request to the API and back.
type trip struct {
	http.RoundTripper
	left, back time.Time // zero: it was not sent
}

func (t *trip) RoundTrip(r *http.Request) (*http.Response, error) {
	if !t.left.IsZero() {
		return t.RoundTripper.RoundTrip(r)
	}
	t.left = time.Now()
	defer func() { t.back = time.Now() }()
	return t.RoundTripper.RoundTrip(r)
}

// living reports whether the token that the call began with had to be served: it had
// more than the margin to live, by the server's clock, and did not die on a journey
// that was begun in time and took too long.
func (t *trip) living(begun, expiry time.Time) bool {
	onTheWay := t.left.Before(expiry) && t.back.After(expiry)
	return expiry.Sub(begun) > margin && !onTheWay
}

// fetch makes one request. It returns nil if the API served it.
func fetch(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusOK {
		return errors.New("the API answered " + resp.Status)
	}
	return err
}

// signing says on each token request who sends it, and since when: a process may be
// stopped between its last look at the lock and the departure of the request.
type signing struct {
	http.RoundTripper
	name string
}

func (s signing) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set(processHeader, s.name)
	r.Header.Set(sentHeader, strconv.FormatInt(r.Context().Value(begunKey{}).(time.Time).UnixNano(), 10))
	return s.RoundTripper.RoundTrip(r)
}

// timed tells how long each refresh took that was answered: that is what the pool
// learns how slow the server is from.
type timed struct {
	*oauth.Client
	w *worker
}

// begunKey is of the context value that says when a refresh began.
type begunKey struct{}

func (t timed) Refresh(ctx context.Context, pair *oauth.TokenPair) (*oauth.TokenPair, error) {
	begun := time.Now()
	next, err := t.Client.Refresh(context.WithValue(ctx, begunKey{}, begun), pair)
	now := time.Now()
	var fail *oauth.Error
	if err == nil || errors.As(err, &fail) && fail.Status != 0 { // also an answer that broke off
		t.w.say(saidTook, now.UnixNano(), now.Sub(begun))
	}
	return next, err
}

// telling tells of every pair that the engine has acknowledged.
type telling struct {
	store
	w *worker
}

func (t telling) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	version, err := t.store.Set(ctx, name, rec)
	if err == nil && rec.Tokens != nil {
		t.w.say(saidSaved, hashOf(rec.Tokens.RefreshToken), time.Now().UnixNano())
		if rec.Pending.On(rec.Tokens.RefreshToken) {
			t.w.say(saidBegins, hashOf(rec.Tokens.RefreshToken))
		}
	}
	return version, err
}
