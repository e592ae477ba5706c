package refresh_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// README begin
func me(ctx context.Context, issuer, api string, store tokenstore.Store) (*http.Response, error) {
	client, err := oauth.Discover(ctx, issuer, oauth.Config{ClientID: "evertoken-test"})
	if err != nil {
		return nil, err
	}
	manager := refresh.NewManager(refresh.Config{OAuthClient: client, Store: store})
	if err := manager.StartOrLogin(ctx, client.Authenticate); err != nil { // a browser, once
		return nil, err
	}
	defer manager.Stop()
	return manager.Client().Get(api) // every request carries a fresh token
}

// README end

func Example() {
	server := oauthtest.NewServer(oauthtest.Config{})
	defer server.Close()
	dir, _ := os.MkdirTemp("", "session")
	defer os.RemoveAll(dir)
	tokens, _ := server.Login("alice") // as if she had logged in yesterday
	store, _ := tokenstore.NewFile(dir)
	_ = tokenstore.Func(store, "default")(context.Background(), tokens)

	resp, err := me(context.Background(), server.Issuer(), server.Resource(), store)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 200 OK
}

func TestReadmeShowsTheProgramThatRunsHere(t *testing.T) {
	source, err := os.ReadFile("readme_test.go")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, program, _ := strings.Cut(string(source), "// README begin\n")
	program, _, _ = strings.Cut(program, "\n// README end")
	if !strings.Contains(string(readme), program) {
		t.Error("README.md does not show the function me as it stands in readme_test.go")
	}
}
