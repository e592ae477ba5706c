package conformance

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

func TestProviderIsDiscovered(t *testing.T) {
	t.Parallel()
	s := newProvider(t, providerOptions{})
	cfg := s.client(nil, nil).Config()
	for name, got := range map[string]string{
		"issuer": cfg.Issuer, "authorization": cfg.AuthURL, "token": cfg.TokenURL, "device": cfg.DeviceAuthURL,
		"revocation": cfg.RevocationURL, "introspection": cfg.Endpoints.Introspection, "userinfo": cfg.Endpoints.Userinfo,
	} {
		if !strings.HasPrefix(got, s.issuer) {
			t.Errorf("the %s endpoint is %q, want one at %s", name, got, s.issuer)
		}
	}
	if !cfg.RequireIss {
		t.Error("the provider announces iss (RFC 9207), but logins would do without")
	}
	_, err := oauth.Discover(t.Context(), s.issuer+"/", oauth.Config{ClientID: publicClient})
	if !errors.Is(err, oauth.ErrMisconfigured) {
		t.Errorf("an issuer with a slash too many: error %v, want one that matches ErrMisconfigured", err)
	}
}

func TestProviderKeepsTheCommandsSession(t *testing.T) {
	t.Parallel()
	page, s, p := newTab(t), newProvider(t, providerOptions{}), newPerson(t)
	s.login(p, page, "--scope", "offline_access", "--auth-param", "prompt=consent")

	seen := map[string]bool{p.token(): true}
	spent := map[string]bool{}
	for range 3 {
		spent[p.saved().Tokens.RefreshToken] = true
		p.run(exitOK, "refresh")
		seen[p.token()] = true
	}
	if len(seen) != 4 || len(spent) != 3 {
		t.Errorf("three refreshes gave %d access tokens and spent %d refresh tokens, want 4 and 3", len(seen), len(spent))
	}
	if st := p.status(exitOK); st["state"] != "valid" || st["server"] != s.issuer {
		t.Errorf("status is %v", st)
	}
	if got := p.run(exitOK, "get", s.userinfo()).stdout.text(); !strings.Contains(got, `"sub":"alice"`) {
		t.Errorf("get printed %q", got)
	}

	last := p.saved().Tokens
	p.run(exitOK, "logout").keepsSecret(last.AccessToken, last.RefreshToken)
	p.status(exitLogin)
	if d := s.did(); d.Refreshes != 3 || len(d.Refused) != 0 || d.RevokedGrants != 1 {
		t.Errorf("the provider says %+v, want 3 refreshes, none refused, 1 grant revoked", d)
	}
	_, err := s.client(nil, nil).Refresh(t.Context(), last)
	if !errors.Is(err, oauth.ErrLoginRequired) {
		t.Errorf("a refresh after the logout: error %v, want one that matches ErrLoginRequired", err)
	}
}

func TestLoginTellsThatThereIsNoRefreshToken(t *testing.T) {
	t.Parallel()
	page, s, p := newTab(t), newProvider(t, providerOptions{}), newPerson(t)
	r := s.login(p, page)
	for _, want := range []string{"no refresh token", "--scope openid --scope offline_access", "--auth-param prompt=consent"} {
		if !strings.Contains(r.stderr.text(), want) {
			t.Errorf("the login did not mention %q:\n%s", want, r.stderr.text())
		}
	}
	p.token() // good until it expires
	if r := p.run(exitLogin, "refresh"); !strings.Contains(r.stderr.text(), "login") {
		t.Errorf("refresh without a refresh token says:\n%s", r.stderr.text())
	}
	p.token()
}

func TestLoginWithoutScopesAsksForWhatTheServerLists(t *testing.T) {
	t.Parallel()
	page, s, p := newTab(t), newProvider(t, providerOptions{}), newPerson(t)
	r := p.start("login", "--issuer", s.issuer, "--client-id", publicClient)
	page.open(p.browser.url(t))
	s.signIn(page)
	s.consent(page)
	page.headed("You are logged in")
	r.expect(exitOK)
	p.run(exitOK, "refresh")
	if got := p.run(exitOK, "whoami").stdout.text(); got != "alice\n" {
		t.Errorf("whoami: got %q, want alice", got)
	}
}

func TestConsentRefusedAtTheProviderEndsTheLogin(t *testing.T) {
	t.Parallel()
	page, s, p := newTab(t), newProvider(t, providerOptions{}), newPerson(t)
	r := s.startLogin(p)
	page.open(p.browser.url(t))
	s.signIn(page)
	page.headed("Authorize")
	page.click("a[href$='/abort']")
	page.headed("Login refused")
	r.expect(exitLogin)
}

func TestF40_GrantEndedByReuseIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	page, s, p := newTab(t), newProvider(t, providerOptions{AlwaysRefreshToken: true}), newPerson(t)
	s.login(p, page)
	stolen := p.saved().Tokens
	p.run(exitOK, "refresh")

	// Somebody has a copy of the first refresh token and spends it again.
	_, err := s.client(nil, nil).Refresh(t.Context(), stolen)
	if !errors.Is(err, oauth.ErrLoginRequired) {
		t.Fatalf("reuse: error %v, want one that matches ErrLoginRequired", err)
	}

	ours := p.saved().Tokens.RefreshToken
	p.expire() // soon after a renewal a refusal would be heard twice
	p.run(exitLogin, "refresh").keepsSecret(ours)
	p.run(exitLogin, "refresh")
	if rec := p.savedDead(); rec.Tokens.RefreshToken != ours || !rec.Dead.On(ours) {
		t.Errorf("the pair is not kept in quarantine: %v", rec)
	}
	if d := s.did(); len(d.Refused) != 2 {
		t.Errorf("the provider refused %v, want the thief and one attempt of ours: a dead token is not sent twice", d.Refused)
	}
	s.loginAgain(p, page)
	p.run(exitOK, "refresh")
}

func TestF11_SixCommandsShareOneRefresh(t *testing.T) {
	t.Parallel()
	page, p := newTab(t), newPerson(t)
	s := newProvider(t, providerOptions{AlwaysRefreshToken: true, AccessTokenLifetime: 60})
	s.login(p, page)
	p.expire()

	var runs []*run
	for range 6 {
		runs = append(runs, p.start("token"))
	}
	tokens := map[string]bool{}
	for _, r := range runs {
		r.expect(exitOK)
		tokens[r.stdout.text()] = true
	}
	if len(tokens) != 1 {
		t.Errorf("six commands printed %d different tokens", len(tokens))
	}
	if d := s.did(); d.Refreshes != 1 || len(d.Refused) != 0 {
		t.Errorf("the provider says %+v, want 1 refresh and none refused", d)
	}
	p.run(exitOK, "refresh") // the session lives
}

func TestF11_RefreshCommandsAtOnceWaitForEachOther(t *testing.T) {
	t.Parallel()
	page, s, p := newTab(t), newProvider(t, providerOptions{AlwaysRefreshToken: true}), newPerson(t)
	s.login(p, page)
	var runs []*run
	for range 4 {
		runs = append(runs, p.start("refresh"))
	}
	for _, r := range runs {
		r.expect(exitOK)
	}
	if d := s.did(); d.Refreshes == 0 || len(d.Refused) != 0 {
		t.Errorf("the provider says %+v, want refreshes and none refused", d)
	}
}

// The provider has one grant for a person, a client and a browser. A second login
// goes on with it, and revoking a token of the first one ends it.
func TestF61_SecondLoginThatTheServerEndsWithTheFirstIsMadeOnceMore(t *testing.T) {
	t.Parallel()
	page, s, p := newTab(t), newProvider(t, providerOptions{AlwaysRefreshToken: true}), newPerson(t)
	s.login(p, page)
	r := p.start("login")
	for range 2 {
		page.open(p.browser.url(t))
		s.consent(page)
		page.headed("You are logged in")
	}
	r.expect(exitOK)
	r.told("together with the old one")
	p.run(exitOK, "refresh")
	p.run(exitOK, "get", s.userinfo())

	s.loginAgain(p, page) // now the profile knows
	p.run(exitOK, "refresh")
	p.run(exitOK, "get", s.userinfo())
	if d := s.did(); d.RevokedGrants != 1 || len(d.Refused) != 0 {
		t.Errorf("the provider says %+v, want 1 grant revoked and no refresh refused", d)
	}
}

// With --keep-old it never comes to that.
func TestSecondLoginThatKeepsTheOldGrantLives(t *testing.T) {
	t.Parallel()
	page, s, p := newTab(t), newProvider(t, providerOptions{AlwaysRefreshToken: true}), newPerson(t)
	s.login(p, page)
	s.loginAgain(p, page, "--keep-old")
	p.run(exitOK, "refresh")
	p.run(exitOK, "get", s.userinfo())
}

func TestProviderLogsInADevice(t *testing.T) {
	t.Parallel()
	page, s, p := newTab(t), newProvider(t, providerOptions{AlwaysRefreshToken: true}), newPerson(t)
	r := s.startLogin(p, "--device")
	code := r.told(`enter the code\s+(\S+)`)
	page.open(r.told(`open this address on any device:\s+(http\S+)`))
	page.fill("[name=user_code]", code)
	page.click("button[type=submit]")
	page.headed("Confirm Device")
	page.click("button[autofocus]")
	s.signIn(page)
	s.consent(page)
	page.headed("Sign-in Success")
	r.expect(exitOK)
	p.run(exitOK, "refresh")
	p.run(exitOK, "get", s.userinfo())
	if d := s.did(); len(d.Refused) != 0 {
		t.Errorf("the provider refused %v", d.Refused)
	}
}

func TestSavedSessionOutlivesTheManager(t *testing.T) {
	t.Parallel()
	page, s, h := newTab(t), newProvider(t, providerOptions{}), newHandover(t)
	c := s.client(h, nil)
	store, err := tokenstore.NewFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	pair := s.tokens(c, h, page)

	first := refresh.NewManager(refresh.Config{OAuthClient: c, Store: store})
	if err := first.Start(t.Context(), pair); err != nil {
		t.Fatal(err)
	}
	if err := first.ForceRefresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	first.Stop()

	// A new process with nothing but the store.
	second := refresh.NewManager(refresh.Config{OAuthClient: s.client(nil, nil), Store: store})
	if err := second.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	defer second.Stop()
	if got, want := second.GetTokens().AccessToken, first.GetTokens().AccessToken; got != want {
		t.Error("the second manager did not begin where the first one ended")
	}
	if err := second.ForceRefresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	resp, err := second.Client().Get(s.userinfo())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the API answered %s", resp.Status)
	}
	if d := s.did(); d.Refreshes != 2 || len(d.Refused) != 0 {
		t.Errorf("the provider says %+v, want 2 refreshes and none refused", d)
	}
}

func TestF46_ManagerOutlivesThreeSecondTokens(t *testing.T) {
	t.Parallel()
	const want, life = 3, 3 * time.Second
	page, h := newTab(t), newHandover(t)
	s := newProvider(t, providerOptions{AccessTokenLifetime: int(life.Seconds())})
	c := s.client(h, nil)
	renewed := make(chan struct{}, 64)
	m := refresh.NewManager(refresh.Config{
		OAuthClient: c, Store: new(tokenstore.Memory),
		OnRefreshFail: func(err error) bool {
			t.Errorf("OnRefreshFail: %v", err)
			return false
		},
		OnEvent: func(e refresh.Event) {
			if e.Kind == refresh.EventRefreshed {
				renewed <- struct{}{}
			}
		},
	})
	pair := s.tokens(c, h, page)
	if err := m.Start(t.Context(), pair); err != nil {
		t.Fatal(err)
	}
	defer m.Stop()

	ctx, cancel := context.WithTimeout(t.Context(), stepLimit)
	defer cancel()
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() { callUntil(ctx, t, m.Client(), s.userinfo()) })
	}
	for n := range want {
		select {
		case <-renewed:
		case <-ctx.Done():
			t.Fatalf("%d refreshes within %v, want %d", n, stepLimit, want)
		}
	}
	took := time.Since(pair.IssuedAt)
	cancel()
	workers.Wait()
	if took < want*life/2 {
		t.Errorf("%d refreshes took %v: more than one in half a life", want, took)
	}
	if d := s.did(); len(d.Refused) != 0 {
		t.Errorf("the provider refused %v", d.Refused)
	}
}

// callUntil calls an API that checks tokens, again and again, until ctx ends.
func callUntil(ctx context.Context, t *testing.T, c *http.Client, url string) {
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Error(err)
			return
		}
		resp, err := c.Do(req)
		if err != nil {
			if ctx.Err() == nil {
				t.Error(err)
			}
			return
		}
		if resp.StatusCode != http.StatusOK {
			t.Errorf("the API answered %s", resp.Status)
		}
		_ = resp.Body.Close()
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond): // the API is not what is tested
		}
	}
}

func TestProviderKnowsAServiceByItsStrangeSecret(t *testing.T) {
	t.Parallel()
	const secret = `p:w%2F+ /&="~'\` // the characters that encodings quarrel about
	s := newProvider(t, providerOptions{Secret: secret})
	for _, auth := range []oauth.ClientAuth{oauth.Secret(secret), oauth.SecretBasic(secret)} {
		c := s.client(nil, func(cfg *oauth.Config) {
			cfg.ClientID, cfg.ClientAuth, cfg.Scopes = serviceClient, auth, nil
		})
		pair, err := c.ClientCredentials(t.Context())
		if err != nil {
			t.Fatalf("%v: %v", auth, err)
		}
		if pair.AccessToken == "" || pair.RefreshToken != "" || pair.ExpiresAt.IsZero() {
			t.Errorf("%v: got %v", auth, pair)
		}
	}
	c := s.client(nil, func(cfg *oauth.Config) { cfg.ClientID, cfg.ClientSecret = serviceClient, "wrong" })
	if _, err := c.ClientCredentials(t.Context()); !errors.Is(err, oauth.ErrMisconfigured) {
		t.Errorf("a wrong secret: error %v, want one that matches ErrMisconfigured", err)
	}
}

func TestProviderRevokesAndForgets(t *testing.T) {
	t.Parallel()
	page, s, h := newTab(t), newProvider(t, providerOptions{}), newHandover(t)
	c := s.client(h, nil)
	pair := s.tokens(c, h, page)
	if _, err := c.Userinfo(t.Context(), pair); err != nil {
		t.Errorf("userinfo: %v", err)
	}
	for _, when := range []string{"the first time", "once more"} {
		if err := c.Revoke(t.Context(), pair); err != nil {
			t.Errorf("revoking %s: %v", when, err)
		}
	}
	if _, err := c.Userinfo(t.Context(), pair); err == nil {
		t.Error("the access token survived the revocation of its refresh token")
	}
	if _, err := c.Refresh(t.Context(), pair); !errors.Is(err, oauth.ErrLoginRequired) {
		t.Errorf("a refresh after revocation: error %v, want one that matches ErrLoginRequired", err)
	}
}
