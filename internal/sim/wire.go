package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A wire is one process's way to the server.
type wire struct{ p *life }

var errReset = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}

// RoundTrip implements http.RoundTripper.
func (t wire) RoundTrip(r *http.Request) (*http.Response, error) {
	p, w, ctx := t.p, t.p.w, r.Context()
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		_ = r.Body.Close()
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	token := ""
	if form.Get("grant_type") == "refresh_token" {
		token = form.Get("refresh_token")
	}
	what := "request"
	if token != "" {
		what = "spending " + short(token)
	}

	about := w.about(token)

	if err := p.yield(what); err != nil {
		return nil, err
	}
	trouble := p.host.trouble()
	if trouble.netDown {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ENETUNREACH}
	}
	delay := trouble.netDelay
	if delay == 0 {
		delay = w.plan.NetDelay
	}
	sent, told, ahead := w.now(), w.tells(token), p.host.clock.ahead()
	if p.host.take(&p.host.held) {
		w.note("%v: its connection is held", p)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-p.died:
			return nil, errDied
		}
	}
	if err := p.wait(ctx, about, delay/2); err != nil {
		return nil, err
	}
	if p.host.take(&p.host.requestLost) {
		w.note("%v: its request is lost", p)
		return nil, errReset
	}
	if err := p.yield(what + ", under way"); err != nil {
		return nil, err
	}

	if a, refused := w.refuses(token); refused {
		w.note("%v is answered %d", p, a.status)
		if a.suspect() {
			w.refused(p, token)
		}
		if err := p.wait(ctx, about, delay/2); err != nil {
			return nil, err
		}
		return a.to(r), nil
	}
	spend := w.arrive(p, token, sent, told)
	resp, err := w.serve(r, body)
	if err != nil {
		w.answered(spend, token, false)
		return nil, err
	}
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(answer))
	if token != "" {
		w.understand(p, spend, token, resp.StatusCode, answer)
		w.losesStore(p)
	}

	err = p.yield(what + ", answered")
	if pause := w.pausedFor(); err == nil && pause > 0 {
		if err = p.sleep(ctx, pause); err != nil && !p.dead.Load() && !p.quits() && token != "" && !w.idle(p, token) && !p.host.asleep(sent, ahead) {
			w.violate(3, "%v hangs up on the answer to %s, whose connection lives", p, short(token))
		}
	}
	if err == nil {
		err = p.wait(ctx, about, delay/2)
	}
	if err == nil && p.host.take(&p.host.answerLost) {
		err = errReset
	}
	if token != "" {
		w.answered(spend, token, err == nil)
	}
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// serve hands a request to the server, which does its work whether or not a process still waits.
func (w *world) serve(r *http.Request, body []byte) (*http.Response, error) {
	sent := r.Clone(context.WithoutCancel(r.Context()))
	sent.Body = io.NopCloser(bytes.NewReader(body))
	return w.server.Client().Transport.RoundTrip(sent)
}

// understand notes what the server has answered to a refresh token.
func (w *world) understand(p *life, spend *request, token string, status int, answer []byte) {
	var a struct {
		Access  string      `json:"access_token"`
		Refresh string      `json:"refresh_token"`
		Lives   json.Number `json:"expires_in"`
		Error   string      `json:"error"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		w.violate(0, "the server's answer: %v", err)
		return
	}
	if status != http.StatusOK {
		w.note("the server refuses %s of %v: %d %s", short(token), p, status, a.Error)
		return
	}
	lives, _ := strconv.Atoi(a.Lives.String())
	w.note("the server gives %v %s for %s", p, short(a.Refresh), short(token))
	w.exchanged(spend, token, a.Refresh, a.Access, time.Duration(lives)*time.Second)
}

// A refusal is an answer that is the same for all.
type refusal struct {
	status int
	text   string
	json   bool
	after  time.Duration
}

// suspect reports whether the answer may be about a session, for all that a client knows.
func (a refusal) suspect() bool {
	return a.status/100 == 4 && a.status != http.StatusTooManyRequests
}

// to returns the answer to a request.
func (a refusal) to(r *http.Request) *http.Response {
	h := http.Header{"Content-Type": {"text/plain"}}
	if a.json {
		h.Set("Content-Type", "application/json")
	}
	if a.after > 0 {
		h.Set("Retry-After", strconv.Itoa(int(a.after.Seconds())))
	}
	return &http.Response{
		StatusCode: a.status, Status: fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h, Request: r,
		Body: io.NopCloser(strings.NewReader(a.text)),
	}
}
