package register_test

import (
	"context"
	"fmt"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/oauth/register"
)

func ExampleClient() {
	ctx := context.Background()
	server := oauthtest.New(oauthtest.Config{})

	registration, err := register.Client(ctx, server.Issuer(), register.Metadata{
		ClientName: "My web application",
		// http only for the example; a real one is https
		RedirectURIs: []string{"http://127.0.0.1:8080/callback"},
		AuthMethod:   "client_secret_basic",
	}, oauth.Config{HTTPClient: server.Client()})
	if err != nil {
		fmt.Println(err)
		return
	}
	registration.ClientID = "c-1" // the server's choice
	fmt.Println(registration)
	fmt.Println("returns to", registration.Config(oauth.Config{}).RedirectURL)
	// Output:
	// register.Registration{client:"c-1" secret:[redacted] auth:client_secret_basic access:[redacted]}
	// returns to http://127.0.0.1:8080/callback
}
