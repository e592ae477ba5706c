package oauthtest_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// A server that announces dead refresh tokens in its own way.
func ExampleQuirks() {
	s := oauthtest.New(oauthtest.Config{Quirks: oauthtest.Quirks{
		DeadRefresh: oauthtest.Refusal{Status: 400, Body: `{"error":"unauthorized_client"}`},
	}})
	tokens, err := s.Login("alice")
	if err != nil {
		fmt.Println(err)
		return
	}
	s.RevokeAll("alice")
	_, err = oauth.NewClient(s.OAuthConfig()).Refresh(context.Background(), tokens)
	fmt.Println("login required:", errors.Is(err, oauth.ErrLoginRequired))
	fmt.Println("misconfigured:", errors.Is(err, oauth.ErrMisconfigured))
	// Output:
	// login required: false
	// misconfigured: true
}
