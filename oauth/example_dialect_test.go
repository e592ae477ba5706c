package oauth_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// A backend in the style of the framework Kratos needs no table of one's own.
func ExampleNewDialectClient() {
	ctx := context.Background()
	server := oauthtest.New(oauthtest.Config{JWTRefreshTokens: true})
	client := oauth.NewDialectClient(oauth.KratosDialect(), server.DialectConfig(oauthtest.KratosBackend))

	tokens, err := client.Login(ctx, "alice", "wonderland")
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := client.Refresh(ctx, tokens); err != nil {
		fmt.Println(err)
		return
	}
	_, err = client.Refresh(ctx, tokens) // which has just been replaced
	fmt.Println(err)
	fmt.Println(errors.Is(err, oauth.ErrTokenReused), errors.Is(err, oauth.ErrLoginRequired))
	// Output:
	// oauth: refresh: TOKEN_REUSED (HTTP 401): login required: refresh token was already used
	// true true
}

// Where a backend differs, edit the dialect that is nearest.
func ExampleDialect() {
	d := oauth.GinJWTDialect()
	d.Refresh.Path = "/session/renew"
	d.Refresh.Encoding = oauth.EncodeForm
	d.Answer.AccessToken = "jwt"
	d.Answer.ErrorCode = []string{"error_code"}
	d.Refresh.Errors = []oauth.DialectError{
		{Status: 401, Code: "E_REPLAY", Means: oauth.ErrTokenReused},
		{Status: 401, Code: "E_GONE", Means: oauth.ErrTokenExpired},
	}
	client := oauth.NewDialectClient(d, oauth.DialectConfig{BaseURL: "https://api.example.com"})
	fmt.Println(client)
	// Output: oauth.DialectClient{dialect:"gin-jwt" base:"https://api.example.com"}
}
