package oauthtest_test

import (
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/evertoken/evertoken/oauth/oauthtest"
)

func TestBodiesAreCutInAMember(t *testing.T) {
	const body = `{"a":"1\"2", "b":[1,{"c":2}],"c":3}`
	for _, tc := range []struct {
		member string
		body   string
		want   string
	}{
		{"a", body, `{"a":"1\`},
		{"b", body, `{"a":"1\"2", "b":[1,{"`},
		{"c", body, `{"a":"1\"2", "b":[1,{"c":2}],"c":`},
		{"d", body, body},
		{"a", `["a"]`, `["a"]`},
	} {
		if got := string(oauthtest.CutIn([]byte(tc.body), tc.member)); got != tc.want {
			t.Errorf("%s is cut to %s; want %s", tc.body, got, tc.want)
		}
	}
}

func TestScriptedAnswersEndEarlyToo(t *testing.T) {
	transports(t, oauthtest.Config{}, func(t *testing.T, s *oauthtest.Server, c *http.Client) {
		_, token := login(t, s)
		s.Script(oauthtest.Fault{EndsEarly: true, Status: 400, Body: "12345678"})
		if r := refreshBy(t, s, c, token); r.status != 400 || r.body != "12345678" || !errors.Is(r.err, io.ErrUnexpectedEOF) {
			t.Errorf("HTTP %d %q, error %v; want the whole body and unexpected EOF", r.status, r.body, r.err)
		}
		wantSpent(t, s, c, token, false)
	})
}

func TestHeaderIsAddedToTheServersOwnAnswer(t *testing.T) {
	transports(t, oauthtest.Config{}, func(t *testing.T, s *oauthtest.Server, c *http.Client) {
		_, token := login(t, s)
		s.Script(oauthtest.Fault{Header: http.Header{"Content-Type": nil, "x-trace": {"1"}}})
		r := refreshBy(t, s, c, token).wantOK(t)
		if len(r.header.Values("Content-Type")) > 0 || r.header.Get("X-Trace") != "1" || r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("header %v; want the server's without Content-Type and with X-Trace", r.header)
		}
		if n := s.Refreshes(); n != 1 {
			t.Errorf("%d refreshes; want the server to do its work", n)
		}
	})
}
