package main

import (
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

func TestF46_ShortTokensAreNotRenewedOnEveryCall(t *testing.T) {
	now := time.Now()
	enough := func(c *tokenCmd, t *oauth.TokenPair) bool {
		return c.enough(refresh.Judge(refresh.Config{}, &tokenstore.Record{Tokens: t}, now), t)
	}
	short := &oauth.TokenPair{AccessToken: "a", RefreshToken: "r", IssuedAt: now.Add(-5 * time.Second), ExpiresAt: now.Add(15 * time.Second)}
	if !enough(&tokenCmd{}, short) {
		t.Error("a token of 20 s would be renewed after 5 s")
	}
	want := time.Minute
	if enough(&tokenCmd{MinValid: &want}, short) {
		t.Error("an explicit --min-valid is not heeded")
	}
	due := &oauth.TokenPair{AccessToken: "a", RefreshToken: "r", IssuedAt: now.Add(-time.Hour), ExpiresAt: now.Add(4 * time.Minute)}
	if enough(&tokenCmd{}, due) {
		t.Error("a token that is due would not be renewed")
	}
	if !enough(&tokenCmd{}, &oauth.TokenPair{AccessToken: "a", RefreshToken: "r"}) {
		t.Error("a token whose end is not known would be renewed on every call")
	}
	if enough(&tokenCmd{}, &oauth.TokenPair{RefreshToken: "r"}) {
		t.Error("a session without an access token would be served")
	}
}

func TestWhoseTokenIsGoodEnoughDoesNotWaitLong(t *testing.T) {
	c := &tokenCmd{waitFlag: waitFlag{new(time.Hour)}}
	living := &oauth.TokenPair{AccessToken: "a", ExpiresAt: time.Now().Add(time.Minute)}
	if got := c.patienceWith(living).wait; got > time.Second {
		t.Errorf("with a living token: %v", got)
	}
	need := 2 * time.Minute
	c.MinValid = &need
	if got := c.patienceWith(living).wait; got != time.Hour {
		t.Errorf("with one that does not live long enough: %v; want --wait", got)
	}
}

func TestWhatWasNoVerdictIsNotShownAsTheServersEnd(t *testing.T) {
	now := time.Now()
	for code, ended := range map[string]bool{"invalid_grant": true, "invalid_request": false} {
		rec := &tokenstore.Record{
			Tokens: &oauth.TokenPair{AccessToken: "a", RefreshToken: "r"},
			Dead:   &tokenstore.Mark{Token: tokenstore.Fingerprint("r"), At: now, Code: code},
		}
		got := refreshText(refresh.Judge(refresh.Config{}, rec, now), rec, now)
		if strings.Contains(got, "ended by the server") != ended {
			t.Errorf("%s: %q; want an end: %v", code, got, ended)
		}
	}
}
