package dialect_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/dialect"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// A backend in the style of the framework Kratos needs no table of one's own.
func ExampleNewClient() {
	ctx := context.Background()
	server := oauthtest.New(oauthtest.Config{JWTRefreshTokens: true})
	client := dialect.NewClient(dialect.Kratos(), server.DialectConfig(oauthtest.KratosBackend))

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
	d := dialect.GinJWT()
	d.Refresh.Path = "/session/renew"
	d.Refresh.Encoding = dialect.EncodeForm
	d.Answer.AccessToken = "jwt"
	d.Answer.ErrorCodes = []string{"error_code"}
	d.Refresh.Errors = []dialect.Error{
		{Status: 401, Code: "E_REPLAY", Means: oauth.ErrTokenReused},
		{Status: 401, Code: "E_GONE", Means: oauth.ErrTokenExpired},
	}
	client := dialect.NewClient(d, dialect.Config{BaseURL: "https://api.example.com"})
	fmt.Println(client)
	// Output: dialect.Client{dialect:"gin-jwt" base:"https://api.example.com"}
}
