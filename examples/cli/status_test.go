package main

import (
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
	c := &tokenCmd{waitFlag: waitFlag{time.Hour}}
	living := &oauth.TokenPair{AccessToken: "a", ExpiresAt: time.Now().Add(time.Minute)}
	if got := c.patience(living); got > time.Second {
		t.Errorf("with a living token: %v", got)
	}
	need := 2 * time.Minute
	c.MinValid = &need
	if got := c.patience(living); got != time.Hour {
		t.Errorf("with one that does not live long enough: %v; want --wait", got)
	}
}
