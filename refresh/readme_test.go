package refresh_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// README.md begin
func me(ctx context.Context, issuer, api string, store tokenstore.Store) (*http.Response, error) {
	client, err := oauth.Discover(ctx, issuer, oauth.Config{
		ClientID:   "my-cli", // as registered there
		Scopes:     []string{"openid", "offline_access"},
		AuthParams: url.Values{"prompt": {"consent"}}, // what most servers want for offline_access
	})
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

// README.md end

func Example() {
	server := oauthtest.NewServer(oauthtest.Config{ClientID: "my-cli"})
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

// docs/daemons.md begin
func daemon(ctx context.Context, client *oauth.Client) (*refresh.Manager, error) {
	manager := refresh.NewManager(refresh.Config{OAuthClient: client.ClientCredentialsRefresher()})
	if err := manager.Start(ctx, nil); err != nil { // no tokens: it obtains the first by itself
		return nil, err
	}
	return manager, nil
}

// docs/daemons.md end

// A daemon with an account of its own starts whether or not its server is up, and
// is never asked to log in.
func ExampleManager_Start_daemon() {
	server := oauthtest.NewServer(oauthtest.Config{ClientID: "reports", ClientSecret: "secret"})
	defer server.Close()
	server.Script(oauthtest.Fault{Status: http.StatusServiceUnavailable}) // not up yet

	manager, err := daemon(context.Background(), oauth.NewClient(server.OAuthConfig()))
	if err != nil {
		fmt.Println(err) // a mistake in the configuration
		return
	}
	defer manager.Stop()

	resp, err := manager.Client().Get(server.Resource()) // waits for the first token
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 200 OK
}

func TestF88_TheDaemonOfTheReadmeOutlastsAServerThatIsDownForTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := oauthtest.New(oauthtest.Config{ClientID: "reports", ClientSecret: "secret"})
		server.Script(oauthtest.Fault{Down: true, Times: -1})
		manager, err := daemon(t.Context(), oauth.NewClient(server.OAuthConfig()))
		if err != nil {
			t.Fatal(err)
		}
		defer manager.Stop()
		_, err = manager.TokenContext(t.Context())
		is(t, err, oauth.ErrTransient)
		time.Sleep(10 * minute)
		server.ClearScript()
		for range 24 * 60 { // a day
			if _, err := manager.TokenContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(minute)
		}
		if n := server.Requests(oauthtest.TokenEndpoint); n > 200 {
			t.Errorf("%d requests in a day of 15-minute tokens", n)
		}
	})
}

func TestPagesShowTheProgramsThatRunHere(t *testing.T) {
	source, err := os.ReadFile("readme_test.go")
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, part := range regexp.MustCompile(`(?s)\n// (\S+\.md) begin\n(.*?)\n// \S+\.md end\n`).FindAllSubmatch(source, -1) {
		page, err := os.ReadFile(filepath.Join("..", string(part[1])))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(page, part[2]) {
			name, _, _ := bytes.Cut(part[2], []byte("("))
			t.Errorf("%s does not show %s as it stands in readme_test.go", part[1], name)
		}
		shown++
	}
	if shown != 2 {
		t.Errorf("%d programs were looked for; want 2", shown)
	}
}
