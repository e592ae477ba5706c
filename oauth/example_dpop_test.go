package oauth_test

import (
	"context"
	"fmt"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// With DPoP, tokens are worth nothing to whoever steals them without the key,
// which the pair keeps. A refresh.Manager's Transport proves it at APIs.
func ExampleConfig_dPoP() {
	server := oauthtest.New(oauthtest.Config{RequireDPoP: true})
	cfg := server.OAuthConfig()
	cfg.DPoP = true
	client := oauth.NewClient(cfg)

	tokens, err := client.Password(context.Background(), "alice", "wonderland")
	if err != nil {
		fmt.Println(err)
		return
	}
	next, err := client.Refresh(context.Background(), tokens)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(next.Type(), next.DPoPKey)
	fmt.Println("same key:", next.DPoPKey == tokens.DPoPKey)
	// Output:
	// DPoP oauth.DPoPKey{[redacted]}
	// same key: true
}
