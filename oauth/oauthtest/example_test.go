package oauthtest_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// A server, a login, and a look at what the client did.
func Example() {
	ctx := context.Background()
	s := oauthtest.New(oauthtest.Config{})
	client := oauth.NewClient(s.OAuthConfig())

	tokens, err := s.Login("alice") // no browser needed
	if err != nil {
		fmt.Println(err)
		return
	}
	renewed, err := client.Refresh(ctx, tokens)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("rotated:", renewed.RefreshToken != tokens.RefreshToken)

	_, err = client.Refresh(ctx, tokens) // the old refresh token again
	fmt.Println("refused:", err != nil)
	fmt.Println("mistakes:", len(s.Audit()), s.Audit()[0].Kind)
	// Output:
	// rotated: true
	// refused: true
	// mistakes: 1 spent twice
}

// An answer that gets lost after the server has rotated the refresh token.
func ExampleServer_Script() {
	s := oauthtest.New(oauthtest.Config{})
	s.Script(oauthtest.Fault{Reset: true, AfterCommit: true})

	tokens, err := s.Login("alice")
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = oauth.NewClient(s.OAuthConfig()).Refresh(context.Background(), tokens)
	fmt.Println("failed:", err != nil, "refreshes:", s.Refreshes())
	// Output: failed: true refreshes: 1
}

// Client calls the protected resource without a socket.
func ExampleServer_Client() {
	s := oauthtest.New(oauthtest.Config{})
	resp, err := s.Client().Get(s.Resource())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.StatusCode == http.StatusUnauthorized, resp.Header.Get("WWW-Authenticate"))
	// Output: true Bearer realm="oauthtest", resource_metadata="https://auth.test/.well-known/oauth-protected-resource/resource"
}
