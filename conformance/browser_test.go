package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// newServer starts the project's own authorization server. A test that makes the
// client do anything a client should not do fails.
func newServer(t *testing.T, cfg oauthtest.Config) *oauthtest.Server {
	t.Helper()
	s := oauthtest.NewServer(cfg)
	t.Cleanup(func() {
		s.Close()
		for _, mistake := range s.Audit() {
			t.Errorf("the auditor found: %v", mistake)
		}
	})
	return s
}

// signIn fills in the login page of oauthtest.
func (p *tab) signIn(password string) {
	p.t.Helper()
	p.headed("Sign in")
	p.fill("#username", oauthtest.DefaultUser)
	p.fill("#password", password)
	p.click("#login")
}

// login makes a person log in to oauthtest with the command and a browser.
func (p *person) login(s *oauthtest.Server, page *tab) *run {
	p.t.Helper()
	r := p.start("login", "--issuer", s.Issuer(), "--client-id", oauthtest.DefaultClientID)
	page.open(p.browser.url(p.t))
	page.signIn(oauthtest.DefaultPassword)
	page.click("#allow")
	page.headed("You are logged in")
	r.expect(exitOK)
	return r
}

func TestCommandLivesFromLoginToLogout(t *testing.T) {
	t.Parallel()
	page, server, p := newTab(t), newServer(t, oauthtest.Config{}), newPerson(t)
	p.run(exitLogin, "token")

	login := p.login(server, page)
	page.quiet()
	first := p.token()
	login.keepsSecret(first, p.saved().Tokens.RefreshToken)
	if again := p.token(); again != first {
		t.Error("the token was renewed although most of its life is left")
	}

	before := p.saved().Tokens.RefreshToken
	p.run(exitOK, "refresh").keepsSecret(first, before)
	second := p.token()
	if second == first || p.saved().Tokens.RefreshToken == before {
		t.Error("refresh did not replace both tokens")
	}
	if n := server.Refreshes(); n != 1 {
		t.Errorf("the server saw %d refreshes, want 1", n)
	}

	st := p.status(exitOK)
	if st["state"] != "valid" || st["server"] != server.Issuer() || st["renewable"] != true {
		t.Errorf("status is %v", st)
	}
	p.run(exitOK, "get", server.Resource()).keepsSecret(second)
	if server.Served() != 1 || server.Rejected() != 0 {
		t.Errorf("the API served %d requests and rejected %d, want 1 and 0", server.Served(), server.Rejected())
	}

	p.run(exitOK, "logout")
	if n := server.Sessions(oauthtest.DefaultUser); n != 0 {
		t.Errorf("%d sessions live on at the server after the logout", n)
	}
	p.status(exitLogin)
	if r := p.run(exitLogin, "token"); r.stdout.text() != "" {
		t.Error("without a session, token printed something to stdout")
	}
}

func TestF61_SecondLoginEndsTheFirstSessionAfterItIsSaved(t *testing.T) {
	t.Parallel()
	page, server, p := newTab(t), newServer(t, oauthtest.Config{}), newPerson(t)
	p.login(server, page)

	r := p.start("login") // the profile remembers the server, the browser the person
	page.open(p.browser.url(t))
	page.click("#allow")
	page.headed("You are logged in")
	r.expect(exitOK)

	p.run(exitOK, "refresh")
	if n := server.Sessions(oauthtest.DefaultUser); n != 1 {
		t.Errorf("the server has %d sessions after the second login, want the second one alone", n)
	}
}

func TestRefusedConsentEndsTheLoginOnBothSides(t *testing.T) {
	t.Parallel()
	page, server, p := newTab(t), newServer(t, oauthtest.Config{}), newPerson(t)
	r := p.start("login", "--issuer", server.Issuer(), "--client-id", oauthtest.DefaultClientID)
	page.open(p.browser.url(t))
	page.signIn(oauthtest.DefaultPassword)
	page.click("#deny")
	page.headed("Login refused")
	page.usable("refused")
	r.expect(exitLogin)
	page.quiet()
	p.run(exitLogin, "token")
}

func TestLoginThatTheServerDoesNotAnswerCanBeStopped(t *testing.T) {
	t.Parallel()
	page, server, p := newTab(t), newServer(t, oauthtest.Config{}), newPerson(t)
	r := p.start("login", "--issuer", server.Issuer(), "--client-id", "nobody")
	page.open(p.browser.url(t))
	page.headed("Unknown client")
	page.usable("unknown-client")
	page.quiet()
	r.told(`(?s)the browser shows an error.*Ctrl-C`)
	r.interrupt()
	r.expect(exitInterrupted)
}

func TestTroubleAfterConsentIsShownInTheBrowserToo(t *testing.T) {
	t.Parallel()
	page, server, p := newTab(t), newServer(t, oauthtest.Config{}), newPerson(t)
	server.Script(oauthtest.Fault{Status: http.StatusInternalServerError, HTML: true})
	r := p.start("login", "--issuer", server.Issuer(), "--client-id", oauthtest.DefaultClientID)
	page.open(p.browser.url(t))
	page.signIn(oauthtest.DefaultPassword)
	page.click("#allow")
	page.headed("Login failed")
	page.usable("failed")
	r.expect(exitTemporary)
	page.quiet()
}

func TestWrongPasswordCanBeCorrected(t *testing.T) {
	t.Parallel()
	page, server, p := newTab(t), newServer(t, oauthtest.Config{}), newPerson(t)
	r := p.start("login", "--issuer", server.Issuer(), "--client-id", oauthtest.DefaultClientID)
	page.open(p.browser.url(t))
	page.headed("Sign in")
	page.usable("login")
	page.signIn("looking-glass")
	page.do("waiting for the problem to be told", visible("#problem"), loaded)
	page.usable("login-problem")
	page.signIn(oauthtest.DefaultPassword)
	page.headed("Allow access?")
	page.usable("consent")
	page.click("#allow")
	page.headed("You are logged in")
	page.usable("done")
	r.expect(exitOK)
	page.quiet()
}

func TestLoginNeedsNoMouse(t *testing.T) {
	t.Parallel()
	page, server, p := newTab(t), newServer(t, oauthtest.Config{}), newPerson(t)
	r := p.start("login", "--issuer", server.Issuer(), "--client-id", oauthtest.DefaultClientID)
	page.open(p.browser.url(t))
	page.headed("Sign in")
	page.focused("#username")
	page.press(oauthtest.DefaultUser + kb.Tab + oauthtest.DefaultPassword + kb.Enter)
	page.headed("Allow access?")
	page.press(kb.Tab + kb.Enter) // Allow comes first
	page.headed("You are logged in")
	r.expect(exitOK)
}

func TestDeviceLoginIsAllowedInTheBrowser(t *testing.T) {
	t.Parallel()
	page, p := newTab(t), newPerson(t)
	server := newServer(t, oauthtest.Config{DeviceInterval: time.Second})
	r := p.start("login", "--device", "--issuer", server.Issuer(), "--client-id", oauthtest.DefaultClientID)
	address := r.told(`open this address on any device:\s+(http\S+)`)
	code := r.told(`enter the code\s+(\S+)`)

	page.open(address)
	page.signIn(oauthtest.DefaultPassword)
	page.headed("Connect a device")
	page.usable("device")
	page.fill("#user_code", "WRNG-CODE")
	page.click("#continue")
	page.do("waiting for the problem to be told", visible("#problem"), loaded)
	page.usable("device-problem")
	page.fill("#user_code", strings.ToLower(strings.ReplaceAll(code, "-", " ")))
	page.click("#continue")
	page.do("waiting for the consent page", visible("#allow"), loaded)
	page.usable("device-consent")
	page.click("#allow")
	page.headed("Device connected")
	page.usable("device-done")

	r.expect(exitOK)
	page.quiet()
	p.run(exitOK, "get", server.Resource())
}

func TestDeviceLoginIsRefusedInTheBrowser(t *testing.T) {
	t.Parallel()
	page, p := newTab(t), newPerson(t)
	server := newServer(t, oauthtest.Config{DeviceInterval: time.Second})
	r := p.start("login", "--device", "--issuer", server.Issuer(), "--client-id", oauthtest.DefaultClientID)
	page.open(r.told(`has the code in it already:\s+(http\S+)`))
	page.signIn(oauthtest.DefaultPassword)
	page.click("#deny")
	page.headed("Access denied")
	page.usable("device-denied")
	r.expect(exitLogin)
	page.quiet()
}

// A loginCall is a call of Authenticate under way.
type loginCall struct {
	t    *testing.T
	done chan struct{}
	pair *oauth.TokenPair // valid once done is closed
	err  error
}

// authenticate starts a login by the library. The browser is the handover's.
func authenticate(t *testing.T, c *oauth.Client) *loginCall {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	l := &loginCall{t: t, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		l.pair, l.err = c.Authenticate(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-l.done
	})
	return l
}

// tokens waits for the login to succeed.
func (l *loginCall) tokens() *oauth.TokenPair {
	l.t.Helper()
	<-l.done
	if l.err != nil {
		l.t.Fatal(l.err)
	}
	return l.pair
}

func TestAnswersOfOtherPagesDoNotEndALogin(t *testing.T) {
	t.Parallel()
	server, h := newServer(t, oauthtest.Config{}), newHandover(t)
	cfg := server.OAuthConfig()
	cfg.OpenBrowser, cfg.Output = h.open, io.Discard
	login := authenticate(t, oauth.NewClient(cfg))
	address := h.url(t)
	callback := redirectOf(t, address)

	// Another page in the same browser tries to end the login: errors need no
	// state, since some servers leave it out.
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, `<title>evil</title><h1>Evil</h1><img src="%[1]s"><iframe src="%[1]s"></iframe>
			<iframe name="f"></iframe><form id="form" method="post" target="f" action="%[1]s"></form>
			<script>form.submit(); fetch("%[1]s", {mode: "no-cors"}).finally(() => { document.title = "tried" })</script>`,
			callback+"?error=access_denied")
	}))
	defer evil.Close()
	attacker := newTab(t)
	attacker.open(evil.URL)
	attacker.do("waiting for the attempts", until(`document.title === "tried"`))

	// And a person comes back with the answer to an earlier login.
	stranger := newTab(t)
	stranger.open(callback + "?code=stolen&state=another")
	stranger.headed("Not this login")
	stranger.usable("foreign")

	page := newTab(t)
	page.open(address)
	page.signIn(oauthtest.DefaultPassword)
	page.click("#allow")
	page.headed("You are logged in")
	if pair := login.tokens(); pair.RefreshToken == "" {
		t.Error("the login gave no refresh token")
	}
	page.quiet()
}

func TestPortIsFreeOnceTheLoginEnds(t *testing.T) {
	t.Parallel()
	page, server, h := newTab(t), newServer(t, oauthtest.Config{}), newHandover(t)
	cfg := server.OAuthConfig()
	cfg.OpenBrowser, cfg.Output = h.open, io.Discard
	for range 2 { // the second login takes the port of the first
		login := authenticate(t, oauth.NewClient(cfg))
		address := h.url(t)
		page.open(address)
		if cfg.RedirectURL == "" {
			page.signIn(oauthtest.DefaultPassword)
			cfg.RedirectURL = redirectOf(t, address)
		}
		page.click("#allow")
		page.headed("You are logged in")
		login.tokens()
	}
	// The browser has kept nothing open that would serve the code once more.
	_, err := http.Get(cfg.RedirectURL)
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after the login, its port answers (error %v)", err)
	}
	page.quiet()
}

// redirectOf returns where a login returns to.
func redirectOf(t *testing.T, authURL string) string {
	t.Helper()
	u, err := url.Parse(authURL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("redirect_uri")
}
