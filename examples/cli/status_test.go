package main

import (
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

func TestStatusJudgesASavedSessionAsAManagerWould(t *testing.T) {
	now := time.Now().Round(0)
	mark := &tokenstore.Mark{Token: tokenstore.Fingerprint("r"), At: now, Code: "invalid_grant"}
	pair := func(left time.Duration, refreshToken string) *oauth.TokenPair {
		return &oauth.TokenPair{AccessToken: "a", RefreshToken: refreshToken,
			IssuedAt: now.Add(left - time.Hour), ExpiresAt: now.Add(left)}
	}
	refreshEnded := pair(-time.Minute, "r")
	refreshEnded.RefreshExpiresAt = now.Add(-time.Second)
	stillValid := pair(time.Minute, "r")
	stillValid.RefreshExpiresAt = now.Add(-time.Second)

	for name, c := range map[string]struct {
		rec   tokenstore.Record
		state refresh.State
		needs bool
	}{
		"fresh":                  {tokenstore.Record{Tokens: pair(30*time.Minute, "r")}, refresh.StateValid, false},
		"due":                    {tokenstore.Record{Tokens: pair(4*time.Minute, "r")}, refresh.StateValid, true},
		"expired":                {tokenstore.Record{Tokens: pair(-time.Minute, "r")}, refresh.StateValid, true},
		"end not known":          {tokenstore.Record{Tokens: &oauth.TokenPair{AccessToken: "a"}}, refresh.StateValid, false},
		"expired, nothing else":  {tokenstore.Record{Tokens: pair(-time.Minute, "")}, refresh.StateLoginRequired, false},
		"refresh token ended":    {tokenstore.Record{Tokens: refreshEnded}, refresh.StateLoginRequired, true},
		"ended, but still valid": {tokenstore.Record{Tokens: stillValid}, refresh.StateValid, true},
		"dead":                   {tokenstore.Record{Tokens: pair(time.Minute, "r"), Dead: mark}, refresh.StateLoginRequired, false},
		"dead was another":       {tokenstore.Record{Tokens: pair(time.Hour, "r2"), Dead: mark}, refresh.StateValid, false},
		"refused":                {tokenstore.Record{Tokens: pair(time.Minute, "r"), Refused: mark}, refresh.StateRetrying, true},
		"asked to wait":          {tokenstore.Record{Tokens: pair(time.Minute, "r"), NotBefore: now.Add(time.Minute)}, refresh.StateRetrying, true},
		"outcome unknown":        {tokenstore.Record{Tokens: pair(time.Minute, "r"), Pending: mark}, refresh.StateRetrying, true},
	} {
		st := statusOf(&c.rec, now)
		if st.State != c.state || st.NeedsRefresh != c.needs {
			t.Errorf("%s: state %s, needs refresh %v; want %s, %v", name, st.State, st.NeedsRefresh, c.state, c.needs)
		}
		if (st.State == refresh.StateValid) != (st.LastError == "") {
			t.Errorf("%s: state %s with reason %q", name, st.State, st.LastError)
		}
	}
}

func TestF46_ShortTokensAreNotRenewedOnEveryCall(t *testing.T) {
	now := time.Now()
	short := &oauth.TokenPair{AccessToken: "a", IssuedAt: now.Add(-5 * time.Second), ExpiresAt: now.Add(15 * time.Second)}
	cmd := tokenCmd{}
	if !cmd.enough(short) {
		t.Error("a token of 20 s would be renewed after 5 s")
	}
	want := time.Minute
	cmd.MinValid = &want
	if cmd.enough(short) {
		t.Error("an explicit --min-valid is not heeded")
	}
	long := &oauth.TokenPair{AccessToken: "a", IssuedAt: now.Add(-time.Hour), ExpiresAt: now.Add(59 * time.Second)}
	if (&tokenCmd{}).enough(long) {
		t.Error("a token with less than a minute left would not be renewed")
	}
	if !(&tokenCmd{}).enough(&oauth.TokenPair{AccessToken: "a"}) {
		t.Error("a token whose end is not known would be renewed on every call")
	}
}
