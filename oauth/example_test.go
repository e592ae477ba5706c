package oauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// The examples talk to a server of package oauthtest. Against a real one, leave
// HTTPClient, OpenBrowser and Output alone.

func Example() {
	ctx := context.Background()
	server := oauthtest.NewServer(oauthtest.Config{})
	defer server.Close()

	client, err := oauth.Discover(ctx, server.Issuer(), oauth.Config{
		ClientID:    "evertoken-test",
		Scopes:      []string{"openid", "offline_access"},
		OpenBrowser: signIn(server), // instead of a person at a browser
		Output:      io.Discard,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	tokens, err := client.Authenticate(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("logged in:", tokens.Type(), "token for", tokens.Scope)

	tokens, err = client.Refresh(ctx, tokens)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("refreshed; printing shows no secret:", strings.Contains(fmt.Sprint(tokens), "[redacted]"))
	// Output:
	// logged in: Bearer token for openid offline_access
	// refreshed; printing shows no secret: true
}

// signIn is a person at a browser.
func signIn(server *oauthtest.Server) func(context.Context, string) error {
	return func(_ context.Context, address string) error {
		go func() { _, _ = newPerson(server, nil).login(context.Background(), address) }()
		return nil
	}
}

func ExampleDiscover() {
	server := oauthtest.New(oauthtest.Config{})
	client, err := oauth.Discover(context.Background(), server.Issuer(), oauth.Config{
		ClientID:   "evertoken-test",
		HTTPClient: server.Client(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	cfg := client.Config()
	fmt.Println(cfg.TokenURL)
	fmt.Println(cfg.DeviceAuthURL)
	// Output:
	// https://auth.test/token
	// https://auth.test/device_authorization
}

func ExampleDiscover_wrongIssuer() {
	server := oauthtest.New(oauthtest.Config{})
	_, err := oauth.Discover(context.Background(), server.Issuer()+"/", oauth.Config{
		ClientID:   "evertoken-test",
		HTTPClient: server.Client(),
	})
	fmt.Println(errors.Is(err, oauth.ErrMisconfigured))
	fmt.Println(err)
	// Output:
	// true
	// oauth: discover (HTTP 200): misconfigured: the server's metadata is for another issuer: got "https://auth.test", want "https://auth.test/"; use the server's own spelling of its issuer, to the last slash
}

func ExampleNewClient() {
	client := oauth.NewClient(oauth.Config{
		ClientID:   "my-service",
		ClientAuth: oauth.SecretPost("secret"),
		TokenURL:   "https://auth.example.com/oauth/token",
	})
	fmt.Println(client)
	// Output: oauth.Client{oauth.Config{issuer:"" client:"my-service" secret:[redacted] token:"https://auth.example.com/oauth/token"}}
}

func ExampleClient_Authenticate() {
	server := oauthtest.NewServer(oauthtest.Config{})
	defer server.Close()
	cfg := server.OAuthConfig()
	cfg.OpenBrowser = signIn(server) // leave it nil for the system's browser
	cfg.Output = io.Discard          // leave it nil for os.Stderr

	tokens, err := oauth.NewClient(cfg).Authenticate(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("can be renewed:", tokens.RefreshToken != "")
	// Output: can be renewed: true
}

// A web application sends the browser to the server and gets it back at its own
// callback.
func ExampleClient_AuthCodeURL() {
	server := oauthtest.New(oauthtest.Config{})
	cfg := server.OAuthConfig()
	cfg.RedirectURL = "http://127.0.0.1:8080/callback"
	client := oauth.NewClient(cfg)

	login, err := client.AuthCodeURL()
	if err != nil {
		fmt.Println(err)
		return
	}
	// Keep login with the browser's session, and redirect the browser:
	//	http.Redirect(w, r, login.URL, http.StatusSeeOther)
	query := comeBack(server, login.URL)

	// In the callback's handler, query is r.URL.Query():
	tokens, err := client.Exchange(context.Background(), login, query)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("can be renewed:", tokens.RefreshToken != "")

	_, err = client.Exchange(context.Background(), login, url.Values{"code": {"forged"}, "state": {"forged"}})
	fmt.Println(err)
	// Output:
	// can be renewed: true
	// oauth: authorize: login required: the answer belongs to another login (state does not match)
}

// comeBack is a person at a browser who logs in and comes back to the program.
func comeBack(server *oauthtest.Server, address string) url.Values {
	var back *url.URL
	p := newPerson(server, server.Client().Transport)
	p.away = func(u *url.URL) { back = u }
	if _, err := p.login(context.Background(), address); err != nil || back == nil {
		return nil
	}
	return back.Query()
}

// Programs with a display of their own show the code themselves.
func ExampleClient_DeviceAuth() {
	ctx := context.Background()
	server := oauthtest.New(oauthtest.Config{})
	client := oauth.NewClient(server.OAuthConfig())

	code, err := client.DeviceAuth(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("open", code.VerificationURI, "and enter a code of", len(code.UserCode), "characters")

	// The person does so on another device …
	_, _ = newPerson(server, server.Client().Transport).login(ctx, code.VerificationURIComplete)

	code.Interval = time.Millisecond // nobody waits for an example
	tokens, err := client.DeviceToken(ctx, code)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("can be renewed:", tokens.RefreshToken != "")
	// Output:
	// open https://auth.test/device and enter a code of 9 characters
	// can be renewed: true
}

func ExampleClient_DeviceLogin() {
	server := oauthtest.New(oauthtest.Config{})
	server.Script(oauthtest.Fault{
		Endpoint: oauthtest.DeviceAuthorizationEndpoint,
		Edit: func(answer map[string]any) {
			answer["user_code"] = "WDJB-MJHT"
			answer["expires_in"] = 2 // sooner than anybody can enter it
			delete(answer, "verification_uri_complete")
		},
	})
	cfg := server.OAuthConfig()
	cfg.Output = withoutClock{} // leave it nil for os.Stderr

	_, err := oauth.NewClient(cfg).DeviceLogin(context.Background())
	if errors.Is(err, oauth.ErrCodeExpired) {
		fmt.Println("The code has ended. Start again.")
	}
	// Output:
	// To log in, open this address on any device:
	//
	//   https://auth.test/device
	//
	// and enter the code
	//
	//   WDJB-MJHT
	//
	// The code has ended. Start again.
}

func ExampleClient_ClientCredentials() {
	server := oauthtest.New(oauthtest.Config{ClientID: "service", ClientSecret: "secret"})
	client := oauth.NewClient(server.OAuthConfig())

	tokens, err := client.ClientCredentials(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("lives", tokens.ExpiresIn, "seconds, has a refresh token:", tokens.RefreshToken != "")
	// Output: lives 900 seconds, has a refresh token: false
}

func ExampleClient_ClientCredentialsRefresher() {
	server := oauthtest.New(oauthtest.Config{ClientID: "service", ClientSecret: "secret"})
	client := oauth.NewClient(server.OAuthConfig())

	// Give it to a refresh.Manager as OAuthClient.
	refresher := client.ClientCredentialsRefresher()
	tokens, err := refresher.Refresh(context.Background(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("lives", tokens.ExpiresIn, "seconds")
	// Output: lives 900 seconds
}

func ExampleClient_Refresh() {
	server := oauthtest.New(oauthtest.Config{})
	client := oauth.NewClient(server.OAuthConfig())
	tokens, _ := server.Login("alice")

	next, err := client.Refresh(context.Background(), tokens)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("rotated:", next.RefreshToken != tokens.RefreshToken)

	// The server takes a refresh token once.
	_, err = client.Refresh(context.Background(), tokens)
	fmt.Println(err)
	// Output:
	// rotated: true
	// oauth: refresh: invalid_grant (HTTP 400): login required
}

func ExampleClient_Password() {
	server := oauthtest.New(oauthtest.Config{})
	client := oauth.NewClient(server.OAuthConfig())

	_, err := client.Password(context.Background(), "alice", "guess")
	fmt.Println(errors.Is(err, oauth.ErrLoginRequired))
	tokens, err := client.Password(context.Background(), "alice", "wonderland")
	fmt.Println(tokens.RefreshToken != "", err)
	// Output:
	// true
	// true <nil>
}

func ExampleClient_Revoke() {
	server := oauthtest.New(oauthtest.Config{})
	client := oauth.NewClient(server.OAuthConfig())
	tokens, _ := server.Login("alice")

	fmt.Println("sessions:", server.Sessions("alice"))
	if err := client.Revoke(context.Background(), tokens); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("sessions:", server.Sessions("alice"))
	// Output:
	// sessions: 1
	// sessions: 0
}

func ExampleClient_Introspect() {
	server := oauthtest.New(oauthtest.Config{})
	client := oauth.NewClient(server.OAuthConfig())
	tokens, _ := server.Login("alice")

	about, err := client.Introspect(context.Background(), tokens.AccessToken)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(about.Active, about.ClientID)
	// Output: true evertoken-test
}

func ExampleClient_Userinfo() {
	server := oauthtest.New(oauthtest.Config{})
	client := oauth.NewClient(server.OAuthConfig())
	tokens, _ := server.Login("alice")

	person, err := client.Userinfo(context.Background(), tokens)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(person.Subject)
	// Output: alice
}

func ExampleError() {
	server := oauthtest.New(oauthtest.Config{})
	client := oauth.NewClient(server.OAuthConfig())
	tokens, _ := server.Login("alice")
	server.Script(oauthtest.Fault{Status: http.StatusServiceUnavailable, HTML: true})

	_, err := client.Refresh(context.Background(), tokens)
	var fail *oauth.Error
	switch {
	case errors.Is(err, oauth.ErrLoginRequired):
		fmt.Println("ask the person to log in")
	case errors.Is(err, oauth.ErrMisconfigured):
		fmt.Println("tell the operator:", err)
	case errors.As(err, &fail):
		fmt.Println("try again later; the server answered", fail.Status)
	}
	// Output: try again later; the server answered 503
}

// withoutClock prints what a person would see, but for the line that has the
// time of day in it.
type withoutClock struct{}

func (withoutClock) Write(p []byte) (int, error) {
	if !strings.Contains(string(p), "The code ends at") {
		fmt.Print(string(p))
	}
	return len(p), nil
}
