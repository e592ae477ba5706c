package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// slowly is a network on which each way takes two seconds.
type slowly struct{ http.Handler }

func (s slowly) RoundTrip(r *http.Request) (*http.Response, error) {
	time.Sleep(2 * time.Second)
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, r)
	time.Sleep(2 * time.Second)
	return rec.Result(), nil
}

func TestTheLedgerKnowsWhoSpentSinceWhenAndHowLongItTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(oauthtest.Config{})
		pair, err := a.login(oauthtest.DefaultUser)
		if err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		cfg := a.OAuthConfig()
		cfg.HTTPClient = &http.Client{Transport: signing{slowly{a}, "1/7"}}
		next, err := timed{oauth.NewClient(cfg), &worker{out: &said}}.Refresh(t.Context(), pair)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		what, rest, _ := strings.Cut(strings.TrimSpace(said.String()), " ")
		(&process{name: "1/7"}).hear(a, what, rest)
		if got := a.ledger.learned("1/7", now, now); got != 4*time.Second {
			t.Errorf("the process has learned that a refresh takes %s; want 4s", got)
		}
		want := spend{token: hashOf(pair.RefreshToken), next: hashOf(next.RefreshToken), process: "1/7", sent: now.Add(-4 * time.Second), arrived: now.Add(-2 * time.Second)}
		if got := a.ledger.spends; len(got) != 1 || got[0].token != want.token || got[0].next != want.next || got[0].process != want.process || !got[0].sent.Equal(want.sent) || !got[0].arrived.Equal(want.arrived) {
			t.Errorf("%+v; want %+v", got, want)
		}
		if mistakes := a.Audit(); len(mistakes) > 0 {
			t.Error(mistakes)
		}
	})
}

func TestAPauseAwaitsASpendOfItsProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, begun := newAuthority(oauthtest.Config{}), time.Now()
		waited := func(process string) <-chan time.Duration {
			over := make(chan time.Duration, 1)
			go func() {
				a.awaitSpend(context.Background(), process, time.Minute)
				over <- time.Since(begun)
			}()
			return over
		}
		spender, idler := waited("0/0"), waited("0/1")
		time.Sleep(10 * time.Second)
		(&process{name: "0/0"}).hear(a, saidBegins, "token")
		if got := <-spender; got != 10*time.Second {
			t.Errorf("a process that announces a spend after 10s was awaited for %s", got)
		}
		if got := <-idler; got != time.Minute {
			t.Errorf("one that spends nothing was awaited for %s; want 1m0s", got)
		}
	})
}

// counted is an API that answers nothing but how often it was asked.
type counted struct{ asked int }

func (c *counted) RoundTrip(*http.Request) (*http.Response, error) {
	c.asked++
	time.Sleep(time.Second)
	return nil, http.ErrServerClosed
}

func TestATripIsTheFirstOfACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, api := time.Now(), new(counted)
		trip := &trip{RoundTripper: api}
		for range 2 {
			time.Sleep(time.Second)
			if _, err := trip.RoundTrip(httptest.NewRequest(http.MethodGet, "/", nil)); err != http.ErrServerClosed {
				t.Errorf("error %v; want the API's", err)
			}
		}
		if left, back := trip.left.Sub(begun), trip.back.Sub(begun); api.asked != 2 || left != time.Second || back != 2*time.Second {
			t.Errorf("asked %d times, left after %s, back after %s; want 2, 1s, 2s", api.asked, left, back)
		}
	})
}

func TestALivingTokenHasToBeServed(t *testing.T) {
	for name, tc := range map[string]struct {
		expiry, left, back float64 // less than zero: it was not sent
		want               bool
	}{
		"it lives":                             {10, 0.1, 0.2, true},
		"it is about to die":                   {0.9, 0.1, 0.2, false},
		"it dies on a journey that is long":    {5, 0.1, 6, false},
		"it was sent when it had died":         {5, 6, 7, true},
		"it was not sent at all, and lives":    {5, -1, -1, true},
		"it was not sent, and is about to die": {0.9, -1, -1, false},
	} {
		trip := new(trip)
		if tc.left >= 0 {
			trip.left, trip.back = after(tc.left), after(tc.back)
		}
		if got := trip.living(dawn, after(tc.expiry)); got != tc.want {
			t.Errorf("%s: living %t; want %t", name, got, tc.want)
		}
	}
}
