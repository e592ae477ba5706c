package bench_test

import (
	"sync"
	"testing"

	"golang.org/x/oauth2"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// holders is how many programs hold the same saved session in the tests below.
const holders = 8

func TestHoldersOfOneSavedSessionRefreshItOnce(t *testing.T) {
	server := newServer()
	store := new(tokenstore.Memory)
	client := serviceOf(server).evertoken()
	saved := &oauth.TokenPair{RefreshToken: loginRefreshToken(t, server)}
	if _, err := store.Set(t.Context(), "default", &tokenstore.Record{Tokens: saved}); err != nil {
		t.Fatal(err)
	}
	var sources []op
	for range holders {
		sources = append(sources, tokenOf(start(t, refresh.Config{OAuthClient: client, Store: store}, nil)))
	}
	if failed := askEach(sources); failed != 0 {
		t.Errorf("%d of %d holders got no token", failed, holders)
	}
	if server.Refreshes() != 1 || server.Requests(oauthtest.TokenEndpoint) != 1 || server.Sessions("alice") != 1 {
		t.Errorf("%d refreshes with %d requests, and %d sessions left; want 1 each",
			server.Refreshes(), server.Requests(oauthtest.TokenEndpoint), server.Sessions("alice"))
	}
}

// What the same programs come to with x/oauth2, which has nothing to coordinate
// them with. This is why no benchmark compares it.
func TestHoldersOfOneSavedSessionLoseItWithXOAuth2(t *testing.T) {
	server := newServer()
	ctx, cfg := serviceOf(server).xoauth2()
	refreshToken := loginRefreshToken(t, server)
	var sources []op
	for range holders {
		sources = append(sources, tokenOf(cfg.TokenSource(ctx, &oauth2.Token{RefreshToken: refreshToken})))
	}
	if failed := askEach(sources); failed != holders-1 {
		t.Errorf("%d of %d holders got no token; want all but one", failed, holders)
	}
	if got := server.Sessions("alice"); got != 0 {
		t.Errorf("%d sessions left; want the server to have ended it", got)
	}
}

// askEach asks all sources at once and returns how many failed.
func askEach(sources []op) (failed int) {
	var wg sync.WaitGroup
	errs := make([]error, len(sources))
	for i, work := range sources {
		wg.Go(func() { _, errs[i] = work() })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			failed++
		}
	}
	return failed
}
