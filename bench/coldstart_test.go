package bench_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/oauth2"

	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// BenchmarkColdStart is what a short-lived program does with a saved session whose
// token lives: open it, get the token, and end in order. For x/oauth2, which
// saves nothing, it reads a token that the program has saved as JSON.
func BenchmarkColdStart(b *testing.B) { measure(b, coldStarts()) }

func coldStarts() []contender {
	return []contender{
		{evertoken, func(tb testing.TB) op {
			dir := filepath.Join(tb.TempDir(), "sessions")
			saveSession(tb, dir)
			return func() (string, error) { return startFrom(dir) }
		}},
		{xoauth2, func(tb testing.TB) op {
			path := filepath.Join(tb.TempDir(), "token.json")
			if err := saveToken(path, livingPair().OAuth2()); err != nil {
				tb.Fatal(err)
			}
			ctx, cfg := new(endpoint).service().xoauth2()
			return func() (string, error) {
				token, err := loadToken(path)
				if err != nil {
					return "", err
				}
				return tokenOf(cfg.TokenSource(ctx, token))()
			}
		}},
	}
}

// saveSession leaves a session behind as an earlier run of the program would.
func saveSession(tb testing.TB, dir string) {
	tb.Helper()
	store, err := tokenstore.NewFile(dir)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := store.Set(context.Background(), "default", &tokenstore.Record{Tokens: livingPair()}); err != nil {
		tb.Fatal(err)
	}
}

func startFrom(dir string) (string, error) {
	store, err := tokenstore.NewFile(dir)
	if err != nil {
		return "", err
	}
	m := refresh.NewManager(refresh.Config{OAuthClient: neverRefresh, Store: store})
	if err := m.Start(context.Background(), nil); err != nil {
		return "", err
	}
	defer m.Stop()
	pair, err := m.TokenContext(context.Background())
	if err != nil {
		return "", err
	}
	return pair.AccessToken, nil
}

// saveToken saves a token the way a careful program does around x/oauth2: the
// file is replaced whole, and is on the disk before the program goes on.
func saveToken(path string, token *oauth2.Token) error {
	data, err := json.Marshal(token)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "token-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename durable. Windows has no such call for directories.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func loadToken(path string) (*oauth2.Token, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	token := new(oauth2.Token)
	return token, json.Unmarshal(data, token)
}

func TestColdStartsServeTheSavedToken(t *testing.T) {
	for _, c := range coldStarts() {
		t.Run(c.name, func(t *testing.T) {
			work := c.open(t)
			for range 2 {
				if got := mustWork(t, work); got != livingPair().AccessToken {
					t.Errorf("got another token than the saved one (%d bytes)", len(got))
				}
			}
		})
	}
}
