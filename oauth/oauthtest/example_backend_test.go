package oauthtest_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/dialect"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// A team has set up sanic-jwt in its own way; a dialect says so, and the twin of its
// backend tests it.
func ExampleBackend() {
	server := oauthtest.New(oauthtest.Config{Backends: oauthtest.BackendSettings{SanicJWT: oauthtest.SanicJWTSettings{
		URLPrefix: "/api", PathToAuthenticate: "/login", PathToRefresh: "/renew", AccessTokenName: "jwt", AuthorizationHeaderPrefix: "JWT",
	}}})
	d := dialect.SanicJWT()
	d.Login.Path, d.Refresh.Path = "/api/login", "/api/renew"
	d.Answer.AccessToken = "jwt"
	d.Refresh.Fields[0].Name = "JWT"                   // the old access token goes with: Authorization: JWT …
	d.Presentation = oauth.Presentation{Scheme: "JWT"} // and so do APIs want it

	ctx := context.Background()
	client := dialect.NewClient(d, server.DialectConfig(oauthtest.SanicJWTBackend))
	pair, err := client.Login(ctx, "alice", "wonderland")
	if err != nil {
		fmt.Println(err)
		return
	}
	next, err := client.Refresh(ctx, pair)
	fmt.Println("renewed:", err == nil && next.AccessToken != pair.AccessToken)
	fmt.Println("the refresh token stays:", err == nil && next.RefreshToken == pair.RefreshToken)

	server.RevokeAll("alice")
	_, err = client.Refresh(ctx, pair)
	fmt.Println("a login is required:", errors.Is(err, oauth.ErrLoginRequired))
	fmt.Println("mistakes:", len(server.Audit()))
	// Output:
	// renewed: true
	// the refresh token stays: true
	// a login is required: true
	// mistakes: 0
}
