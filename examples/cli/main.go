// Command cli is a command-line tool with a login: copy it, and put your server and
// API in the place of the constants.
//
//	cli login       once, in a browser
//	cli get /me     as often as you like, also from many shells at once
//	cli logout
//
// Tokens are renewed when they are due, and saved before they are used. Of processes
// that run at the same time, one renews and the others use what it got. For a tool
// that does more (profiles, the OS keyring, devices without a browser, exit codes
// for scripts) see cmd/evertoken.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// Register the program at your server as a native (public) client that returns to
// http://127.0.0.1 on any port. It needs no secret: one that is shipped with a
// program is not secret. Most servers give a refresh token only for offline_access, and
// that only to a person who agrees to it.
const (
	issuer   = "https://login.example.com"
	clientID = "my-cli"
	api      = "https://api.example.com"
)

func main() {
	// The first Ctrl-C lets a renewal under way come to its end and be saved.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := tool(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "cli:", err)
		os.Exit(1)
	}
}

// tool runs one command line for the server above.
func tool(ctx context.Context, args []string) error {
	// Not in a directory of settings, which people copy: a copy of a session would be
	// a second one with the same refresh token, which may be used once.
	dir, err := tokenstore.DefaultDir()
	if err != nil {
		return err
	}
	store, err := tokenstore.NewFile(filepath.Join(dir, "my-cli")) // or keyring.Open
	if err != nil {
		return err
	}
	// One request for the server's metadata. A program that names the endpoints needs
	// none: oauth.NewClient(oauth.Config{AuthURL: …, TokenURL: …, RevocationURL: …}).
	client, err := oauth.Discover(ctx, issuer, oauth.Config{
		ClientID:   clientID,
		Scopes:     []string{"openid", "offline_access"},
		AuthParams: map[string][]string{"prompt": {"consent"}},
	})
	if err != nil {
		return err
	}
	return run(ctx, args, client, store, api, os.Stdout)
}

// run is tool with its surroundings given, so that a test can give others.
func run(ctx context.Context, args []string, client *oauth.Client, store tokenstore.Store, api string, out io.Writer) error {
	session := refresh.NewManager(refresh.Config{
		OAuthClient:    client,
		Store:          store,
		ShortLived:     true,          // renew what is due before exiting, and nothing that could not be saved
		AllowedOrigins: []string{api}, // whatever URL comes, the token goes nowhere else
	})
	switch {
	case len(args) == 1 && args[0] == "login":
		// The browser opens only without a session that can be renewed.
		if err := session.StartOrLogin(ctx, client.Authenticate); err != nil {
			return err
		}
		session.Stop() // waits until all is saved
		fmt.Fprintln(out, "You are logged in.")
		return nil
	case len(args) == 2 && args[0] == "get":
		return get(ctx, session, api+args[1], out)
	case len(args) == 1 && args[0] == "logout":
		// Ends the session at the server, then deletes it here.
		return session.Logout(ctx)
	}
	return errors.New("usage: cli login | cli get PATH | cli logout")
}

// get prints what the API answers.
func get(ctx context.Context, session *refresh.Manager, url string, out io.Writer) error {
	if err := session.Start(ctx, nil); err != nil { // with the saved tokens
		return advise(err)
	}
	defer session.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := session.Client().Do(req) // carries a token that is good, and once more if the API rejects it
	if err != nil {
		return advise(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the API answered %s", resp.Status)
	}
	_, err = io.Copy(out, resp.Body)
	return err
}

// advise tells the person what to do about an error. Only for ErrLoginRequired is
// that a login; anything else passes, or has to be put right, and the session stays.
func advise(err error) error {
	if errors.Is(err, oauth.ErrLoginRequired) {
		return errors.New(`you are not logged in: run "cli login"`)
	}
	return err
}
