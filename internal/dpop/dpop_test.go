package dpop_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/dpop"
)

var now = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

func header(nonce string, date time.Time) http.Header {
	h := http.Header{}
	if nonce != "" {
		h.Set("DPoP-Nonce", nonce)
	}
	if !date.IsZero() {
		h.Set("Date", date.Format(http.TimeFormat))
	}
	return h
}

func TestTheNewestNonceOfEachServerCounts(t *testing.T) {
	m := new(dpop.Memory)
	m.Learn("as", header("n1", time.Time{}), now)
	m.Learn("rs", header("r1", time.Time{}), now)
	m.Learn("as", header("n2", time.Time{}), now)
	for _, bad := range []string{"", "two words", `qu"ote`, `back\slash`, "nön", strings.Repeat("n", 2049)} {
		m.Learn("as", header(bad, time.Time{}), now)
	}
	if as, rs, other := m.Recall("as").Nonce, m.Recall("rs").Nonce, m.Recall("else").Nonce; as != "n2" || rs != "r1" || other != "" {
		t.Errorf("nonces %q, %q, %q; want n2, r1 and none", as, rs, other)
	}
}

func TestSkewIsLearnedFromDate(t *testing.T) {
	m := new(dpop.Memory)
	for _, step := range []struct {
		date    time.Time
		want    time.Duration
		clocked bool
	}{
		{time.Time{}, 0, false},
		{now.Add(-90 * time.Second), 90 * time.Second, true},
		{time.Time{}, 90 * time.Second, true}, // not told again
		{now.Add(-time.Second), 0, true},
		{now.Add(time.Hour), -time.Hour, true},
	} {
		if got := m.Learn("as", header("", step.date), now); got.Skew != step.want || got.Clocked != step.clocked {
			t.Errorf("Date %v: skew %v (known %v); want %v (%v)", step.date, got.Skew, got.Clocked, step.want, step.clocked)
		}
	}
}

func TestEndpointsOfOneOriginShareItsClockAndNoNonce(t *testing.T) {
	m := new(dpop.Memory)
	m.Learn("https://as.test/par", header("n", now.Add(-time.Hour)), now)
	for server, told := range map[string]bool{
		"https://as.test/token": true, "https://as.test?tenant=1": true, "https://as.test": true,
		"https://as.test:8443/par": false, "http://as.test/par": false, "https://other.test/par": false,
	} {
		want := dpop.Hints{}
		if told {
			want = dpop.Hints{Skew: time.Hour, Clocked: true}
		}
		if got := m.Recall(server); got != want {
			t.Errorf("%s: %+v; want %+v", server, got, want)
		}
	}
}

func TestKnownServersDoNotPushOutOthers(t *testing.T) {
	m := new(dpop.Memory)
	for range 2 {
		for i := range 256 {
			m.Learn(fmt.Sprint(i), header("n", time.Time{}), now)
		}
	}
	for i := range 256 {
		if m.Recall(fmt.Sprint(i)).Nonce == "" {
			t.Fatalf("server %d of 256 was forgotten", i)
		}
	}
}

func TestServersAreForgottenBeforeTheyAreTooMany(t *testing.T) {
	m := new(dpop.Memory)
	for i := range 10_000 {
		m.Learn(fmt.Sprint(i), header("n", time.Time{}), now)
	}
	known := 0
	for i := range 10_000 {
		if m.Recall(fmt.Sprint(i)).Nonce != "" {
			known++
		}
	}
	if known == 0 || known > 256 {
		t.Errorf("%d servers are remembered; want 1 to 256", known)
	}
	if m.Recall("9999").Nonce == "" {
		t.Error("the newest server was forgotten")
	}
}

func TestOnceMoreOnlyWithNews(t *testing.T) {
	old, fresh := dpop.Hints{Nonce: "a"}, dpop.Hints{Nonce: "b", Skew: time.Minute, Clocked: true}
	for _, tt := range []struct {
		code      string
		sent, now dpop.Hints
		want      bool
	}{
		{"use_dpop_nonce", old, fresh, true},
		{"use_dpop_nonce", dpop.Hints{}, old, true},
		{"use_dpop_nonce", old, old, false}, // none given, or the one that was sent
		{"invalid_dpop_proof", old, fresh, true},
		{"invalid_dpop_proof", fresh, fresh, false},
		{"invalid_dpop_proof", old, dpop.Hints{Nonce: "b"}, false},
		{"invalid_grant", old, fresh, false},
		{"invalid_token", old, fresh, false},
		{"", old, fresh, false},
	} {
		if got := dpop.Again(tt.code, tt.sent, tt.now); got != tt.want {
			t.Errorf("%s from %+v to %+v: %v; want %v", tt.code, tt.sent, tt.now, got, tt.want)
		}
	}
}
