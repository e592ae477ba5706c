package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/profile"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/stores"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

func openBound(t *testing.T, dir, client string) *stores.Bound {
	t.Helper()
	file, err := tokenstore.NewFile(dir)
	if err != nil {
		t.Fatal(err)
	}
	return &stores.Bound{Backend: file, Kind: profile.InFiles, Binding: client}
}

func TestF23_ASessionOfAnotherClientIsNotUsed(t *testing.T) {
	dir := t.TempDir()
	mine, theirs := openBound(t, dir, "mine"), openBound(t, dir, "theirs")
	rec := &tokenstore.Record{Tokens: &oauth.TokenPair{AccessToken: "a", RefreshToken: "r"}}
	version, err := mine.Set(t.Context(), "default", rec)
	if err != nil {
		t.Fatal(err)
	}
	if rec.Unknown != nil {
		t.Error("Set has modified the caller's record")
	}
	if _, err := mine.Get(t.Context(), "default"); err != nil {
		t.Errorf("own session: %v", err)
	}
	var p *exit.Problem
	if _, err := theirs.Get(t.Context(), "default"); !errors.As(err, &p) || p.Code != exit.Config {
		t.Errorf("another client's session: error %v; want a problem with exit code %d", err, exit.Config)
	}
	// A login of the other client takes it over.
	rec.Version = version
	if _, err := theirs.Set(t.Context(), "default", rec); err != nil {
		t.Fatal(err)
	}
	if _, err := mine.Get(t.Context(), "default"); !errors.As(err, &p) {
		t.Errorf("after the other's login: error %v; want a problem", err)
	}
}

func TestF23_ARunningManagerNeverSendsAnotherClientsRefreshToken(t *testing.T) {
	server := oauthtest.New(oauthtest.Config{})
	pair, err := server.Login(oauthtest.DefaultUser)
	if err != nil {
		t.Fatal(err)
	}
	store := openBound(t, t.TempDir(), "mine")
	m := refresh.NewManager(refresh.Config{OAuthClient: oauth.NewClient(server.OAuthConfig()), Store: store})
	if err := m.Start(t.Context(), pair); err != nil {
		t.Fatal(err)
	}
	defer m.Stop()

	other := openBound(t, store.Dir(), "theirs")
	rec, err := other.Backend.Get(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	rec.Tokens = &oauth.TokenPair{AccessToken: "theirs", RefreshToken: "theirs"}
	if _, err := other.Set(t.Context(), "default", rec); err != nil {
		t.Fatal(err)
	}
	if err := m.ForceRefresh(t.Context()); err == nil {
		t.Error("ForceRefresh worked on a session that belongs to another client")
	}
	if n := server.Requests(oauthtest.TokenEndpoint); n != 0 {
		t.Errorf("%d requests reached the server; want none", n)
	}
	if got := m.GetTokens().AccessToken; got == "theirs" {
		t.Error("the manager has adopted another client's tokens")
	}
}

func TestF25_ARecordThatDoesNotSayItsClientIsTakenAsOurs(t *testing.T) {
	store := openBound(t, t.TempDir(), "mine")
	if _, err := store.Backend.Set(t.Context(), "default", &tokenstore.Record{Tokens: &oauth.TokenPair{AccessToken: "a"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Get(t.Context(), "default"); err != nil {
		t.Errorf("Get: %v", err)
	}
}

func TestProfileRoundTripsWithoutTheSecret(t *testing.T) {
	a := testApp(t)
	secret := a.Dir + "/secret"
	if err := os.WriteFile(secret, []byte("hush-hush\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := oauth.Config{Issuer: "https://i", ClientID: "id", ClientAuth: oauth.SecretPost("hush-hush"),
		AuthURL: "https://i/a", TokenURL: "https://i/t", DeviceAuthURL: "https://i/d", RevocationURL: "https://i/r",
		RedirectURL: "http://127.0.0.1:1/cb", Scopes: []string{"a", "b"}, RequireIss: true}
	saved := profile.Of(cfg, secret)
	saved.Store = profile.InKeyring
	if err := a.saveProfile(saved); err != nil {
		t.Fatal(err)
	}
	path, err := a.profilePath()
	if err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err != nil || strings.Contains(string(data), "hush-hush") {
		t.Errorf("the profile's file holds the secret, or cannot be read: %v", err)
	}
	p, err := a.loadProfile()
	if err != nil {
		t.Fatal(err)
	}
	if p.Kind() != profile.InKeyring {
		t.Errorf("the profile's store is the %s; want the %s, as saved", p.Kind(), profile.InKeyring)
	}
	got, err := p.Config()
	if err != nil {
		t.Fatal(err)
	}
	want, _ := json.Marshal(profile.Of(cfg, secret))
	have, _ := json.Marshal(profile.Of(got, secret))
	if read := reflect.DeepEqual(got.ClientAuth, cfg.ClientAuth); string(want) != string(have) || !read {
		t.Errorf("loaded %s (secret read: %v); want %s", have, read, want)
	}
}

func TestServeIsAServerToLogInTo(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, in := io.Pipe()
	code := make(chan int, 1)
	go func() {
		defer in.Close()
		code <- run(ctx, []string{"serve"}, strings.NewReader(""), in, io.Discard, func(string) string { return "" })
	}()
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	issuer := line[strings.Index(line, "http://"):]
	resp, err := http.Get(strings.TrimSpace(issuer) + string(oauthtest.OpenIDEndpoint))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("metadata: %s", resp.Status)
	}
	stop()
	rest, err := io.ReadAll(lines)
	if err != nil {
		t.Fatal(err)
	}
	if got := <-code; got != exit.OK || !strings.Contains(string(rest), "0 misused tokens") {
		t.Errorf("exit code %d, output %q; want 0 and an audit", got, rest)
	}
}

func TestServeFailsWhenARefreshTokenWasMisused(t *testing.T) {
	server := oauthtest.New(oauthtest.Config{})
	pair, err := server.Login(oauthtest.DefaultUser)
	if err != nil {
		t.Fatal(err)
	}
	client := oauth.NewClient(server.OAuthConfig())
	for range 2 {
		_, _ = client.Refresh(t.Context(), pair)
	}
	var failed exit.Silent
	if err := testApp(t).printAudit(server); !errors.As(err, &failed) || int(failed) != exit.Failed {
		t.Errorf("error %v; want exit code %d", err, exit.Failed)
	}
}

func TestWhatCannotBeSavedIsSaidAndIsAFailure(t *testing.T) {
	server := oauthtest.NewServer(oauthtest.Config{})
	defer server.Close()
	a := testApp(t)
	a.closeLimit = 50 * time.Millisecond
	p := profile.Of(server.OAuthConfig(), "")
	if err := a.saveProfile(p); err != nil {
		t.Fatal(err)
	}
	store, err := a.openStore(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := server.Login(oauthtest.DefaultUser)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.saveLogin(t.Context(), store, nil, p, pair); err != nil {
		t.Fatal(err)
	}
	// While the server answers, something takes the place of the session's file.
	file := filepath.Join(a.Dir, a.Profile+".json")
	server.Script(oauthtest.Fault{Edit: func(map[string]any) {
		if err := errors.Join(os.Remove(file), os.Mkdir(file, 0o700)); err != nil {
			t.Error(err)
		}
	}})
	var out, errs strings.Builder
	a.stdout, a.stderr = &out, &errs
	if code := a.report((refreshCmd{}).Run(t.Context(), a)); code != exit.Config {
		t.Errorf("exit code %d; want %d", code, exit.Config)
	}
	if !strings.Contains(errs.String(), "not saved") || !strings.Contains(errs.String(), "make room or fix") {
		t.Errorf("message %q; want one that says what is unsaved and what to do", errs.String())
	}
}
