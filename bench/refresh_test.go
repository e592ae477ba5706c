package bench_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"cloud.google.com/go/auth"
	"golang.org/x/oauth2"

	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// BenchmarkRefresh renews a session once: what that costs beyond the network and
// the server. All contenders keep what comes back in memory.
func BenchmarkRefresh(b *testing.B) { measure(b, atOnce(refreshes())) }

// BenchmarkRefreshShared does the same with a session that other parts of the
// program may hold too. evertoken takes its lock in a Memory store, reads it there,
// announces the refresh and saves what comes back; x-oauth2 does nothing of the
// kind.
func BenchmarkRefreshShared(b *testing.B) { measure(b, atOnce(sharedRefreshes())) }

// BenchmarkRefreshSaved renews a session once and has the new pair on the disk
// before it goes on. evertoken does what its File store is for: it takes the lock
// that other processes respect, announces the refresh on the disk, and saves. The
// floor writes the same two files, and does nothing else that is needed. Around
// x/oauth2 a careful program saves the token itself, without lock and
// announcement.
func BenchmarkRefreshSaved(b *testing.B) { measure(b, atOnce(savedRefreshes())) }

// A refresher is a contender that renews a session of a given server.
type refresher struct {
	name string
	open func(tb testing.TB, s service, refreshToken string) op
}

// atOnce gives each refresher an endpoint that answers at once.
func atOnce(refreshers []refresher) []contender {
	var list []contender
	for _, r := range refreshers {
		list = append(list, contender{r.name, func(tb testing.TB) op {
			server := &endpoint{shape: opaqueTokens}
			return r.open(tb, server.service(), firstRefreshToken(0))
		}})
	}
	return list
}

func refreshes() []refresher {
	return []refresher{
		{evertoken, func(tb testing.TB, s service, first string) op { return forcing(tb, s, first, nil) }},
		{floor, func(_ testing.TB, s service, first string) op {
			return renewingFloor(s, first, func(string, *floorToken) error { return nil })
		}},
		{xoauth2, unsavedXOAuth2},
		{cloudAuth, renewingCloudAuth},
	}
}

func sharedRefreshes() []refresher {
	return []refresher{
		{evertoken, func(tb testing.TB, s service, first string) op { return forcing(tb, s, first, new(tokenstore.Memory)) }},
		{xoauth2, unsavedXOAuth2},
	}
}

func unsavedXOAuth2(_ testing.TB, s service, first string) op {
	return renewingXOAuth2(s, first, func(*oauth2.Token) error { return nil })
}

func savedRefreshes() []refresher {
	return []refresher{
		{evertoken, func(tb testing.TB, s service, first string) op {
			store, err := tokenstore.NewFile(filepath.Join(tb.TempDir(), "sessions"))
			if err != nil {
				tb.Fatal(err)
			}
			return forcing(tb, s, first, store)
		}},
		{floor, func(tb testing.TB, s service, first string) op {
			path := filepath.Join(tb.TempDir(), "token.json")
			return renewingFloor(s, first, func(spent string, next *floorToken) error {
				token := &oauth2.Token{RefreshToken: spent} // the announcement
				if next != nil {
					token = &oauth2.Token{AccessToken: next.access, RefreshToken: next.refresh, Expiry: time.Unix(0, next.expires)}
				}
				return saveToken(path, token)
			})
		}},
		{xoauth2, func(tb testing.TB, s service, first string) op {
			path := filepath.Join(tb.TempDir(), "token.json")
			return renewingXOAuth2(s, first, func(token *oauth2.Token) error { return saveToken(path, token) })
		}},
	}
}

// forcing renews a session of ours each time it is called.
func forcing(tb testing.TB, s service, refreshToken string, store tokenstore.Store) op {
	first := livingPair()
	first.RefreshToken = refreshToken
	m := start(tb, refresh.Config{OAuthClient: s.evertoken(), Store: store}, first)
	ctx := context.Background()
	return func() (string, error) {
		if err := m.ForceRefresh(ctx); err != nil {
			return "", err
		}
		pair, err := m.TokenContext(ctx)
		if err != nil {
			return "", err
		}
		return pair.AccessToken, nil
	}
}

// renewingFloor saves twice: the refresh token that it is about to spend, with no
// answer yet, and the answer.
func renewingFloor(s service, last string, save func(spent string, next *floorToken) error) op {
	client, ctx := &floorClient{s}, context.Background()
	return func() (string, error) {
		if err := save(last, nil); err != nil {
			return "", err
		}
		next, err := client.refresh(ctx, last)
		if err != nil {
			return "", err
		}
		spent := last
		last = next.refresh
		return next.access, save(spent, next)
	}
}

// renewingXOAuth2 renews in x/oauth2's way: a source that has only the refresh
// token must renew.
func renewingXOAuth2(s service, last string, save func(*oauth2.Token) error) op {
	ctx, cfg := s.xoauth2()
	return func() (string, error) {
		token, err := cfg.TokenSource(ctx, &oauth2.Token{RefreshToken: last}).Token()
		if err != nil {
			return "", err
		}
		last = token.RefreshToken
		return token.AccessToken, save(token)
	}
}

// renewingCloudAuth does the same with cloud-auth.
func renewingCloudAuth(_ testing.TB, s service, last string) op {
	ctx := context.Background()
	return func() (string, error) {
		provider, err := s.cloudAuth(last)
		if err != nil {
			return "", err
		}
		token, err := provider.Token(ctx)
		if err != nil {
			return "", err
		}
		last = token.MetadataString("refresh_token")
		return token.Value, nil
	}
}

// cloudAuth returns a provider that begins with a refresh.
func (s service) cloudAuth(refreshToken string) (auth.TokenProvider, error) {
	return auth.New3LOTokenProvider(&auth.Options3LO{
		ClientID: clientID, ClientSecret: clientSecret, AuthStyle: auth.StyleInParams,
		AuthURL: s.tokenURL, TokenURL: s.tokenURL, // AuthURL is required, and not used
		RefreshToken: refreshToken, Client: s.client,
	})
}

func loginRefreshToken(tb testing.TB, s *oauthtest.Server) string {
	tb.Helper()
	pair, err := s.Login("alice")
	if err != nil {
		tb.Fatal(err)
	}
	return pair.RefreshToken
}

func TestEveryRefreshIsOneRequestForANewToken(t *testing.T) {
	for name, refreshers := range map[string][]refresher{
		"Refresh": refreshes(), "RefreshShared": sharedRefreshes(), "RefreshSaved": savedRefreshes(),
	} {
		for _, r := range refreshers {
			t.Run(name+"/"+r.name, func(t *testing.T) {
				server := newServer()
				work, seen := r.open(t, serviceOf(server), loginRefreshToken(t, server)), make(map[string]bool)
				const times = 5
				for range times {
					seen[mustWork(t, work)] = true
				}
				if len(seen) != times || server.Refreshes() != times || server.Requests(oauthtest.TokenEndpoint) != times {
					t.Errorf("%d refreshes: %d different tokens, %d refreshes and %d requests at the server",
						times, len(seen), server.Refreshes(), server.Requests(oauthtest.TokenEndpoint))
				}
				for _, mistake := range server.Audit() {
					t.Errorf("the server saw a mistake: %v", mistake)
				}
			})
		}
	}
}

func TestARefreshedSessionIsOnTheDiskWhenItsTokenIsHandedOut(t *testing.T) {
	server := newServer()
	store, err := tokenstore.NewFile(filepath.Join(t.TempDir(), "sessions"))
	if err != nil {
		t.Fatal(err)
	}
	got := mustWork(t, forcing(t, serviceOf(server), loginRefreshToken(t, server), store))
	rec, err := store.Get(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	if rec.Tokens.AccessToken != got {
		t.Error("evertoken: the token on the disk is not the one handed out")
	}

	path := filepath.Join(t.TempDir(), "token.json")
	save := func(token *oauth2.Token) error { return saveToken(path, token) }
	got = mustWork(t, renewingXOAuth2(serviceOf(server), loginRefreshToken(t, server), save))
	saved, err := loadToken(path)
	if err != nil {
		t.Fatal(err)
	}
	if saved.AccessToken != got {
		t.Error("x-oauth2: the token on the disk is not the one handed out")
	}
}
