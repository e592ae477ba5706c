package connect

import (
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
)

// Another process goes on with a login only where the person's browser comes back to, as the
// client that began it, for what that asked for, and for as long as the server's pages are good.
func TestOnlyTheSameLoginIsGoneOnWith(t *testing.T) {
	now := time.Now()
	cfg := oauth.Config{ClientID: "tool", Scopes: []string{"a"}}
	begun := attemptOf(cfg, now)
	begun.Request = &oauth.LoginRequest{State: "s"}
	for name, tt := range map[string]struct {
		change func(begun, by *attempt)
		want   bool
	}{
		"the same":           {func(*attempt, *attempt) {}, true},
		"an hour later":      {func(_, by *attempt) { by.Began = now.Add(time.Hour) }, true},
		"too late":           {func(_, by *attempt) { by.Began = now.Add(time.Hour + time.Second) }, false},
		"a clock set back":   {func(_, by *attempt) { by.Began = now.Add(-time.Minute) }, false},
		"on another machine": {func(begun, _ *attempt) { begun.Host = "elsewhere" }, false},
		"by another client":  {func(begun, _ *attempt) { begun.ClientID = "other" }, false},
		"for other scopes":   {func(_, by *attempt) { by.Wants = attemptOf(oauth.Config{Scopes: []string{"a", "b"}}, now).Wants }, false},
		"that has ended":     {func(begun, _ *attempt) { begun.Ended = endedRefused }, false},
		"without a window":   {func(begun, _ *attempt) { begun.Request = nil }, false},
		"never begun":        {func(begun, _ *attempt) { begun.Began = time.Time{} }, false},
	} {
		left, by := begun, attemptOf(cfg, now)
		tt.change(&left, &by)
		if got := left.resumable(by); (got != nil) != tt.want {
			t.Errorf("%s: %v; want one: %t", name, got, tt.want)
		}
	}
}

// Who was refused with a login that another caller has replaced since tries with the new one.
func TestALateRefusalIsNotAboutTheNewLogin(t *testing.T) {
	s, err := New(Config{URL: "https://api.test/"})
	if err != nil {
		t.Fatal(err)
	}
	s.cur.Store(&login{})
	if err := s.authorize(t.Context(), nil, nil, nil); err != nil || s.flight != nil {
		t.Errorf("%v, flight %v; want none", err, s.flight)
	}
	s.cur.Store(nil)
	s.Close()
	if err := s.authorize(t.Context(), nil, nil, nil); err == nil {
		t.Error("a closed session begins a login")
	}
}
