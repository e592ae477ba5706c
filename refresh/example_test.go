package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// loggedIn stands for what a program does once, such as Authenticate in a browser.
func loggedIn(server *oauthtest.Server) *oauth.TokenPair {
	tokens, err := server.Login("alice")
	if err != nil {
		panic(err)
	}
	return tokens
}

func ExampleNewManager() {
	server := oauthtest.NewServer(oauthtest.Config{})
	defer server.Close()
	ctx := context.Background()

	client := oauth.NewClient(oauth.Config{
		ClientID: "evertoken-test",
		TokenURL: server.Endpoint(oauthtest.TokenEndpoint),
	})
	manager := refresh.NewManager(refresh.Config{OAuthClient: client})
	if err := manager.Start(ctx, loggedIn(server)); err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Stop()

	fmt.Println("running:", manager.IsRunning())
	// Output: running: true
}

func ExampleManager_Token() {
	server := oauthtest.NewServer(oauthtest.Config{})
	defer server.Close()
	manager := refresh.NewManager(refresh.Config{OAuthClient: oauth.NewClient(server.OAuthConfig())})
	if err := manager.Start(context.Background(), loggedIn(server)); err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Stop()

	// A Manager is an oauth2.TokenSource, for libraries that want one.
	token, err := manager.Token()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(token.Type(), token.Valid(), time.Until(token.Expiry) > 5*time.Minute) // when to ask again
	// Output: Bearer true true
}

func ExampleManager_Client() {
	server := oauthtest.NewServer(oauthtest.Config{})
	defer server.Close()
	manager := refresh.NewManager(refresh.Config{OAuthClient: oauth.NewClient(server.OAuthConfig())})
	if err := manager.Start(context.Background(), loggedIn(server)); err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Stop()

	api := manager.Client() // keep it for as long as the program runs
	server.ExpireAccess("alice")
	resp, err := api.Get(server.Resource()) // rejected, renewed and sent again
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status, server.Refreshes())
	// Output: 200 OK 1
}

func ExampleManager_Transport() {
	server := oauthtest.NewServer(oauthtest.Config{})
	defer server.Close()
	manager := refresh.NewManager(refresh.Config{
		OAuthClient:    oauth.NewClient(server.OAuthConfig()),
		AllowedOrigins: []string{server.URL}, // the token goes nowhere else
	})
	if err := manager.Start(context.Background(), loggedIn(server)); err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Stop()

	// Put it over the transport that the program has: proxies, tracing, …
	api := &http.Client{Transport: manager.Transport(http.DefaultTransport), Timeout: time.Minute}
	resp, err := api.Get(server.Resource() + "/things")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)

	_, err = api.Get("https://elsewhere.example/") //nolint:bodyclose // it fails
	fmt.Println(errors.Is(err, oauth.ErrMisconfigured))
	// Output:
	// 200 OK
	// true
}

// OnRefreshFail hears once that the session is over. Returning true makes the
// manager log in again by itself.
func ExampleConfig_onRefreshFail() {
	server := oauthtest.NewServer(oauthtest.Config{})
	defer server.Close()
	back := make(chan bool, 1)
	manager := refresh.NewManager(refresh.Config{
		OAuthClient: oauth.NewClient(server.OAuthConfig()),
		OnRefreshFail: func(err error) bool {
			fmt.Println("session ended:", errors.Is(err, oauth.ErrLoginRequired))
			return true
		},
		Reauthenticate: func(ctx context.Context) (*oauth.TokenPair, error) {
			return loggedIn(server), nil // a program would use (*oauth.Client).Authenticate
		},
		OnEvent: func(e refresh.Event) {
			if e.Kind == refresh.EventUpdated {
				back <- true
			}
		},
	})
	if err := manager.Start(context.Background(), loggedIn(server)); err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Stop()

	server.RevokeAll("alice") // an administrator ends the session
	_ = manager.ForceRefresh(context.Background())
	fmt.Println("logged in again:", <-back)
	// Output:
	// session ended: true
	// logged in again: true
}

// A Store keeps the session for the next run, and for other processes.
func ExampleConfig_store() {
	server := oauthtest.NewServer(oauthtest.Config{})
	defer server.Close()
	dir, err := os.MkdirTemp("", "evertoken")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	store, err := tokenstore.NewFile(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	cfg := refresh.Config{OAuthClient: oauth.NewClient(server.OAuthConfig()), Store: store, Session: "alice@work"}

	firstRun := refresh.NewManager(cfg)
	if err := firstRun.Start(ctx, loggedIn(server)); err != nil {
		fmt.Println(err)
		return
	}
	_ = firstRun.ForceRefresh(ctx)
	firstRun.Stop()

	nextRun := refresh.NewManager(cfg)
	if err := nextRun.Start(ctx, nil); err != nil { // nil: go on with what is saved
		fmt.Println(err)
		return
	}
	defer nextRun.Stop()
	fmt.Println(nextRun.GetTokens().AccessToken == firstRun.GetTokens().AccessToken)
	// Output: true
}

func ExampleManager_ForceRefresh() {
	server := oauthtest.NewServer(oauthtest.Config{})
	defer server.Close()
	manager := refresh.NewManager(refresh.Config{OAuthClient: oauth.NewClient(server.OAuthConfig())})
	ctx := context.Background()
	if err := manager.Start(ctx, loggedIn(server)); err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Stop()

	// After the person has been given more rights, say.
	switch err := manager.ForceRefresh(ctx); {
	case err == nil:
		fmt.Println("renewed")
	case errors.Is(err, oauth.ErrLoginRequired):
		fmt.Println("the session is over: log in again")
	default:
		fmt.Println("later:", err) // the manager keeps trying
	}
	// Output: renewed
}

func ExampleManager_GetRefreshStatus() {
	server := oauthtest.NewServer(oauthtest.Config{AccessTokenLifetime: time.Hour})
	defer server.Close()
	manager := refresh.NewManager(refresh.Config{OAuthClient: oauth.NewClient(server.OAuthConfig())})
	if err := manager.Start(context.Background(), loggedIn(server)); err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Stop()

	status := manager.GetRefreshStatus()
	fmt.Println("state:", status.State)
	fmt.Println("needs a refresh:", status.NeedsRefresh)
	fmt.Println("expires in", status.TimeUntilExpiry.Round(time.Minute))
	// Output:
	// state: valid
	// needs a refresh: false
	// expires in 1h0m0s
}

// A Manager is a credentials.PerRPCCredentials of google.golang.org/grpc:
//
//	conn, err := grpc.NewClient(target, grpc.WithPerRPCCredentials(manager), …)
func ExampleManager_GetRequestMetadata() {
	server := oauthtest.NewServer(oauthtest.Config{})
	defer server.Close()
	manager := refresh.NewManager(refresh.Config{OAuthClient: oauth.NewClient(server.OAuthConfig())})
	tokens := loggedIn(server)
	if err := manager.Start(context.Background(), tokens); err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Stop()

	metadata, err := manager.GetRequestMetadata(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(metadata["authorization"] == "Bearer "+tokens.AccessToken, manager.RequireTransportSecurity())
	// Output: true true
}

// A new login takes the place of the session, also of one that had ended.
func ExampleManager_UpdateTokens() {
	server := oauthtest.NewServer(oauthtest.Config{})
	defer server.Close()
	manager := refresh.NewManager(refresh.Config{OAuthClient: oauth.NewClient(server.OAuthConfig())})
	ctx := context.Background()
	if err := manager.Start(ctx, loggedIn(server)); err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Stop()
	server.RevokeAll("alice")
	_ = manager.ForceRefresh(ctx)
	fmt.Println(manager.GetRefreshStatus().State)

	if err := manager.UpdateTokens(loggedIn(server)); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(manager.GetRefreshStatus().State)
	// Output:
	// login_required
	// valid
}

// Each API has an access token of its own, out of one login (RFC 8707).
func ExampleManager_Resource() {
	server := oauthtest.NewServer(oauthtest.Config{})
	defer server.Close()
	manager := refresh.NewManager(refresh.Config{OAuthClient: oauth.NewClient(server.OAuthConfig())})
	if err := manager.Start(context.Background(), loggedIn(server)); err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Stop()

	mail, err := manager.Resource("https://mail.example.com").Token()
	if err != nil {
		fmt.Println(err)
		return
	}
	files, err := manager.Resource("https://files.example.com").Token()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(mail.AccessToken != files.AccessToken, len(server.Audit()))
	// Output: true 0
}

// Whatever can trade a refresh token for a new pair can be kept alive: here, an
// API that speaks JSON of its own making.
func ExampleRefresherFunc() {
	renew := func(ctx context.Context, t *oauth.TokenPair) (*oauth.TokenPair, error) {
		sent := time.Now()
		answer := struct {
			Access  string
			Seconds int64
		}{"access-2", 3600} // what posting t.RefreshToken has returned
		next := &oauth.TokenPair{AccessToken: answer.Access, ExpiresIn: answer.Seconds, IssuedAt: sent}
		return next.Keeping(t), nil // the refresh token stays, as the answer has none
	}
	manager := refresh.NewManager(refresh.Config{OAuthClient: refresh.RefresherFunc(renew)})
	ctx := context.Background()
	if err := manager.Start(ctx, &oauth.TokenPair{AccessToken: "access-1", RefreshToken: "refresh"}); err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Stop()
	if err := manager.ForceRefresh(ctx); err != nil {
		fmt.Println(err)
		return
	}
	tokens := manager.GetTokens()
	fmt.Println(tokens.AccessToken, tokens.RefreshToken, time.Until(tokens.ExpiresAt).Round(time.Minute))
	// Output: access-2 refresh 1h0m0s
}

// TokenStore is all that a single process needs to keep its session.
func ExampleTokenStoreFunc() {
	server := oauthtest.NewServer(oauthtest.Config{})
	defer server.Close()
	ctx := context.Background()
	manager := refresh.NewManager(refresh.Config{
		OAuthClient: oauth.NewClient(server.OAuthConfig()),
		TokenStore: func(ctx context.Context, tokens *oauth.TokenPair) error {
			_, err := fmt.Println("saved before anybody sees it:", tokens.AccessToken != "")
			return err // a program would write to its database here
		},
	})
	if err := manager.Start(ctx, loggedIn(server)); err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Stop()
	_ = manager.ForceRefresh(ctx)

	resp, err := manager.Client().Get(server.Resource())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	fmt.Println(resp.Status)
	// Output:
	// saved before anybody sees it: true
	// 200 OK
}
