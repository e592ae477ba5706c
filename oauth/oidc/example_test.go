package oidc_test

import (
	"context"
	"fmt"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/oauth/oidc"
)

func ExampleVerifier() {
	server := oauthtest.New(oauthtest.Config{})
	ctx := context.Background()
	client, err := oauth.Discover(ctx, server.Issuer(), oauth.Config{
		ClientID:      "evertoken-test",
		Scopes:        []string{"openid", "offline_access"},
		HTTPClient:    server.Client(),
		VerifyIDToken: new(oidc.Verifier).Verify,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	tokens, err := client.Password(ctx, "alice", "wonderland")
	fmt.Println(err, tokens.IDToken != "")
	fmt.Println("asked for keys:", server.Requests(oauthtest.JWKSEndpoint))
	// Output:
	// <nil> true
	// asked for keys: 1
}
