package oauth

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evertoken/evertoken/oauth/challenge"
)

// maxSteps ends the logins that an API can lead to by wanting ever more. The Model
// Context Protocol wants no more than a few for one operation; a person who is asked for
// the ninth time has long stopped to read.
const maxSteps = 8

// ErrNoStepUp tells that another login would not make an API take the request: it asked
// already for what the API wants. Show the person what the API wants instead.
var ErrNoStepUp = errors.New("another login does not help")

// StepUp returns a client whose logins ask for what those of c do and for what an API
// wants besides, by the challenge of its refusal: more scope (insufficient_scope, RFC 6750
// section 3.1), or another kind of login (insufficient_user_authentication, RFC 9470).
// Scopes add up, so that the new token can do all that the old one could. What is longer than
// 4 KiB, which no server would read in an address, counts as nothing.
//
// The error matches [ErrNoStepUp] and [ErrMisconfigured] when there is nothing to log in
// for: the challenge wants neither, or nothing that c's logins do not ask for already, or c
// is the eighth client that StepUp has led to. So call it on the client whose login was
// not enough, and an API that refuses whatever it is shown leads to one login. No request
// is sent. Safe for concurrent use; c is not changed.
func (c *Client) StepUp(ch challenge.Challenge) (*Client, error) {
	cfg := c.Config()
	changed := false
	if wanted := fitting(ch.Scopes()); len(wanted) > 0 && !ch.WantsLogin() {
		union := UnionScopes(cfg.Scopes, wanted)
		changed = len(union) > len(UnionScopes(cfg.Scopes))
		cfg.Scopes = union
	}
	if ch.WantsLogin() {
		changed = stepUpLogin(&cfg, ch)
	}
	if !changed || c.steps >= maxSteps {
		fail := misconfigured(opAuthorize, fmt.Errorf("%w: the API refuses what a login for its challenge gave", ErrNoStepUp))
		fail.Hint = "ask the API's maker which permission or which kind of login it wants"
		return nil, fail
	}
	next := NewClient(cfg)
	next.meta, next.steps = c.meta, c.steps+1
	return next, nil
}

// fitting returns words of an API's that have room in the address of a login, or nil.
func fitting(words []string) []string {
	if len(strings.Join(words, " ")) > maxWanted {
		return nil
	}
	return words
}

// stepUpLogin makes the logins of cfg such as ch wants, and reports whether they were not.
func stepUpLogin(cfg *Config, ch challenge.Challenge) bool {
	changed := false
	if acr := fitting(ch.ACRValues()); len(acr) > 0 && !slices.Equal(strings.Fields(cfg.AuthParams.Get("acr_values")), acr) {
		cfg.AuthParams.Set("acr_values", strings.Join(acr, " "))
		changed = true
	}
	if age, told := ch.MaxAge(); told {
		seconds := strconv.FormatInt(int64(age/time.Second), 10)
		changed = changed || cfg.AuthParams.Get("max_age") != seconds
		cfg.AuthParams.Set("max_age", seconds)
	}
	return changed
}
