package oauth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// An attempt is one Authenticate under way.
type attempt struct {
	t        *testing.T
	server   *oauthtest.Server
	out      *screen
	url      string // where the browser was sent
	callback string // where it comes back to
	state    string

	cancel context.CancelCauseFunc
	pair   *oauth.TokenPair
	err    error
	done   chan struct{}
}

// authenticate starts a login and returns when its browser opens.
func authenticate(t *testing.T, s *oauthtest.Server, change ...func(*oauth.Config)) *attempt {
	t.Helper()
	a := &attempt{t: t, server: s, out: new(screen), done: make(chan struct{})}
	opened := make(chan string, 1)
	cfg := s.OAuthConfig()
	cfg.Output = a.out
	cfg.OpenBrowser = func(_ context.Context, address string) error {
		opened <- address
		return nil
	}
	for _, f := range change {
		f(&cfg)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	a.cancel = cancel
	go func() {
		defer close(a.done)
		a.pair, a.err = oauth.NewClient(cfg).Authenticate(ctx)
	}()
	t.Cleanup(func() {
		cancel(nil)
		<-a.done
	})
	select {
	case a.url = <-opened:
	case <-a.done:
		t.Fatalf("ended before the browser was opened: %v", a.err)
	}
	u, err := url.Parse(a.url)
	if err != nil {
		t.Fatal(err)
	}
	a.callback, a.state = u.Query().Get("redirect_uri"), u.Query().Get("state")
	return a
}

func server(t *testing.T, cfg oauthtest.Config) *oauthtest.Server {
	t.Helper()
	s := oauthtest.NewServer(cfg)
	t.Cleanup(s.Close)
	return s
}

// logIn has a person log in, and returns the last page.
func (a *attempt) logIn(p *person) page {
	a.t.Helper()
	shown, err := p.login(a.t.Context(), a.url)
	if err != nil {
		a.t.Fatalf("the last page did not arrive: %v", err)
	}
	return shown
}

// visit opens the callback with a query.
func (a *attempt) visit(query string) page {
	a.t.Helper()
	return a.do(http.MethodGet, a.callback+"?"+query)
}

func (a *attempt) do(method, address string, headers ...string) page {
	a.t.Helper()
	r, err := http.NewRequestWithContext(a.t.Context(), method, address, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	shown, err := (&person{browser: &http.Client{}}).do(r)
	if err != nil {
		a.t.Fatal(err)
	}
	return shown
}

// end waits for the login and checks that the port is free.
func (a *attempt) end() (*oauth.TokenPair, error) {
	a.t.Helper()
	<-a.done
	u, err := url.Parse(a.callback)
	if err != nil {
		a.t.Fatal(err)
	}
	host := u.Host
	if u.Hostname() == "localhost" {
		host = net.JoinHostPort("127.0.0.1", u.Port())
	}
	wantNoLogin(a.t, host)
	if a.err != nil {
		failure(a.t, a.err)
	}
	return a.pair, a.err
}

// wantNoLogin requires that no login waits at an address. Another program may have been given
// its port since; what is ours has the headers of our pages.
func wantNoLogin(t *testing.T, host string) {
	t.Helper()
	l, err := net.Listen("tcp", host)
	if err == nil {
		_ = l.Close()
		return
	}
	resp, askErr := (&http.Client{Timeout: time.Minute}).Get("http://" + host + "/")
	var netErr net.Error
	switch {
	case askErr == nil:
		defer resp.Body.Close()
		if resp.Header.Get("Referrer-Policy") == "no-referrer" {
			t.Errorf("the login's port answers after its end: HTTP %d", resp.StatusCode)
		}
	case errors.As(askErr, &netErr) && netErr.Timeout():
		t.Errorf("the port is not free after the login: %v", err)
	}
}

func TestAuthenticateLogsAPersonIn(t *testing.T) {
	s := server(t, oauthtest.Config{})
	a := authenticate(t, s, func(cfg *oauth.Config) { cfg.RequireIss = true })
	if !strings.HasPrefix(a.callback, "http://127.0.0.1:") || !strings.HasSuffix(a.callback, "/callback") {
		t.Errorf("returns to %s; want http://127.0.0.1:port/callback", a.callback)
	}
	shown := a.logIn(newPerson(s, nil))
	pair, err := a.end()
	if err != nil {
		t.Fatal(err)
	}
	if shown.status != 200 || !strings.Contains(shown.body, "<h1>You are logged in</h1>") {
		t.Errorf("the last page is HTTP %d: %s", shown.status, shown.body)
	}
	if pair.RefreshToken == "" || pair.ExpiresAt.IsZero() {
		t.Errorf("got %v", plain(pair))
	}
	if text := a.out.String(); !strings.Contains(text, "\n  "+a.url+"\n") {
		t.Errorf("the URL is not on the screen:\n%s", text)
	}
	if text := a.out.String(); strings.Contains(text, pair.AccessToken) || strings.Contains(text, pair.RefreshToken) {
		t.Error("a token is on the screen")
	}
	wantNoMistakes(t, s)
}

func TestRefusedLoginIsShownAndReturned(t *testing.T) {
	s := server(t, oauthtest.Config{})
	a := authenticate(t, s)
	p := newPerson(s, nil)
	p.denies = true
	shown := a.logIn(p)
	if _, err := a.end(); !errors.Is(err, oauth.ErrAccessDenied) {
		t.Errorf("got %v; want ErrAccessDenied", err)
	}
	if shown.status != http.StatusForbidden || !strings.Contains(shown.body, "<h1>Login refused</h1>") {
		t.Errorf("the last page is HTTP %d: %s", shown.status, shown.body)
	}
}

func TestLastPageTellsTheTruthAboutTheExchange(t *testing.T) {
	s := server(t, oauthtest.Config{})
	a := authenticate(t, s)
	s.Script(oauthtest.Fault{Status: 400, Body: `{"error":"invalid_grant","error_description":"` + secret + `"}`})
	shown := a.logIn(newPerson(s, nil))
	if _, err := a.end(); !errors.Is(err, oauth.ErrLoginRequired) {
		t.Errorf("got %v; want ErrLoginRequired", err)
	}
	if shown.status < 400 || !strings.Contains(shown.body, "<h1>Login failed</h1>") || !strings.Contains(shown.body, "invalid_grant") || leaks(shown.body) {
		t.Errorf("the last page is HTTP %d: %s", shown.status, shown.body)
	}
}

func TestStrangersDoNotEndTheLogin(t *testing.T) {
	s := server(t, oauthtest.Config{})
	a := authenticate(t, s)
	origin := strings.TrimSuffix(a.callback, "/callback")
	good := "?code=" + secret + "&state=" + a.state
	for name, tt := range map[string]struct {
		shown page
		want  int
	}{
		"wrong state":          {a.visit("code=" + secret + "&state=" + secret), 400},
		"no state":             {a.visit("code=" + secret), 400},
		"nothing":              {a.visit(""), 400},
		"error, wrong state":   {a.visit("error=access_denied&state=x"), 400},
		"an image elsewhere":   {a.do(http.MethodGet, a.callback+"?error=access_denied", "Sec-Fetch-Dest", "image"), 400},
		"a frame elsewhere":    {a.do(http.MethodGet, a.callback+good, "Sec-Fetch-Dest", "iframe"), 400},
		"another path":         {a.do(http.MethodGet, origin+"/"+good), 404},
		"a path below":         {a.do(http.MethodGet, a.callback+"/x"+good), 404},
		"a path like it":       {a.do(http.MethodGet, origin+"/Callback"+good), 404},
		"favicon":              {a.do(http.MethodGet, origin+"/favicon.ico"), 404},
		"POST":                 {a.do(http.MethodPost, a.callback+good), 405},
		"HEAD, as scanners do": {a.do(http.MethodHead, a.callback+good), 405},
	} {
		if tt.shown.status != tt.want {
			t.Errorf("%s: HTTP %d; want %d", name, tt.shown.status, tt.want)
		}
		if leaks(tt.shown.body) {
			t.Errorf("%s: the page repeats the query", name)
		}
	}
	if n := s.Requests(oauthtest.TokenEndpoint); n != 0 {
		t.Errorf("%d codes were redeemed", n)
	}
	a.logIn(newPerson(s, nil))
	if _, err := a.end(); err != nil {
		t.Errorf("the login itself: %v", err)
	}
}

// Any web page, and any user of the machine, can send one.
func TestF98_ErrorWithoutStateIsToldAndDoesNotEndTheLogin(t *testing.T) {
	s := server(t, oauthtest.Config{})
	a := authenticate(t, s)
	for _, query := range []string{"error=access_denied", "error=%1b%5b31m", "error=server_error&error_description=" + secret} {
		if shown := a.visit(query); shown.status != http.StatusBadRequest || !strings.Contains(shown.body, "The program goes on waiting") || leaks(shown.body) {
			t.Errorf("%s: the page is HTTP %d: %s", query, shown.status, shown.body)
		}
	}
	a.logIn(newPerson(s, nil))
	if _, err := a.end(); err != nil {
		t.Errorf("the login itself: %v", err)
	}
	if text := a.out.String(); strings.Count(text, "Still waiting") != 1 || !strings.Contains(text, "the error access_denied") || leaks(text) {
		t.Errorf("the screen shows\n%s", text)
	}
}

// The first of these is told, and whoever sent it has not chosen the words.
func TestF98_ErrorWithoutStateIsToldInNoWordsOfTheSenders(t *testing.T) {
	for _, said := range []string{"Call 0900 123456 to go on", "\x1b[31m", "access_denied\nDone.", "\u202edeined", secret + strings.Repeat("x", 200)} {
		s := server(t, oauthtest.Config{})
		a := authenticate(t, s)
		a.visit(url.Values{"error": {said}}.Encode())
		a.logIn(newPerson(s, nil))
		if _, err := a.end(); err != nil {
			t.Errorf("the login itself: %v", err)
		}
		if text := a.out.String(); strings.Count(text, "Still waiting") != 1 || !strings.Contains(text, "came back with an error,") || strings.Contains(text, said) {
			t.Errorf("%q: the screen shows\n%s", said, text)
		}
	}
}

// The code would stay in the browser's history.
func TestBrowserEndsAtAnAddressWithoutTheCode(t *testing.T) {
	for _, path := range []string{"/callback", "/", "", "/a/b/"} {
		s := server(t, oauthtest.Config{})
		a := authenticate(t, s, func(cfg *oauth.Config) { cfg.RedirectURL = "http://127.0.0.1" + path })
		p := newPerson(s, nil)
		var visited []*url.URL
		follow := p.browser.CheckRedirect
		p.browser.CheckRedirect = func(r *http.Request, via []*http.Request) error {
			visited = append(visited, r.URL)
			return follow(r, via)
		}
		shown := a.logIn(p)
		if _, err := a.end(); err != nil {
			t.Fatal(err)
		}
		last := visited[len(visited)-1]
		if last.RawQuery != "" || !strings.HasPrefix(last.Path, strings.TrimSuffix(path, "/")+"/done/") || !strings.Contains(shown.body, "You are logged in") {
			t.Errorf("the browser ends at %s: %s", last, shown.body)
		}
	}
}

// A web site whose name leads to this machine must not talk to the login.
func TestF98_LoginIsReachedByLoopbackNamesAlone(t *testing.T) {
	s := server(t, oauthtest.Config{})
	a := authenticate(t, s)
	u, err := url.Parse(a.callback)
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]int{
		"evil.example.com": 421, "evil.example.com:" + u.Port(): 421, "127.0.0.1.example.com:" + u.Port(): 421, "192.0.2.1:" + u.Port(): 421, "localhost.": 421,
		"127.0.0.1:" + u.Port(): 400, "localhost:" + u.Port(): 400, "[::1]:" + u.Port(): 400, "localhost": 400, "[::1]": 400,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.callback+"?code="+secret+"&state=x", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		shown, err := (&person{browser: &http.Client{}}).do(r)
		if err != nil || shown.status != want || leaks(shown.body) {
			t.Errorf("Host %s: HTTP %d, %v; want %d", host, shown.status, err, want)
		}
	}
	a.logIn(newPerson(s, nil))
	if _, err := a.end(); err != nil {
		t.Errorf("the login itself: %v", err)
	}
}

func TestEveryAnswerOfTheLoginIsKeptToItself(t *testing.T) {
	s := server(t, oauthtest.Config{})
	a := authenticate(t, s)
	origin := strings.TrimSuffix(a.callback, "/callback")
	var answers []page
	for _, address := range []string{a.callback, a.callback + "?error=x", a.callback + "?code=c&state=x", a.callback + "/done", origin + "/", origin + "/favicon.ico"} {
		answers = append(answers, a.do(http.MethodGet, address), a.do(http.MethodPost, address))
	}
	p := newPerson(s, nil)
	answers = append(answers, a.logIn(p))
	for i, answer := range answers {
		for header, want := range map[string]string{"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"} {
			if got := answer.header.Get(header); got != want {
				t.Errorf("answer %d, HTTP %d: %s: %q; want %q", i, answer.status, header, got, want)
			}
		}
		// What default-src does not cover has to be said (CSP 3 section 6.1.1), and nothing may
		// be let in again but the page's own style and an empty icon.
		csp := strings.Split(answer.header.Get("Content-Security-Policy"), "; ")
		slices.Sort(csp)
		if want := []string{"base-uri 'none'", "default-src 'none'", "form-action 'none'", "frame-ancestors 'none'", "img-src data:", "style-src 'unsafe-inline'"}; !slices.Equal(csp, want) {
			t.Errorf("answer %d, HTTP %d: Content-Security-Policy: %q; want %q", i, answer.status, csp, want)
		}
	}
	if _, err := a.end(); err != nil {
		t.Errorf("the login itself: %v", err)
	}
}

func TestAnswerOfAnotherIssuerEndsTheLogin(t *testing.T) {
	s := server(t, oauthtest.Config{})
	a := authenticate(t, s)
	shown := a.visit(url.Values{"code": {secret}, "state": {a.state}, "iss": {"https://evil.test"}}.Encode())
	if _, err := a.end(); !errors.Is(err, oauth.ErrMisconfigured) {
		t.Errorf("got %v; want ErrMisconfigured", err)
	}
	if !strings.Contains(shown.body, "Login failed") || strings.Contains(shown.body, "evil") {
		t.Errorf("the page: %s", shown.body)
	}
	if n := s.Requests(oauthtest.TokenEndpoint); n != 0 {
		t.Errorf("%d codes were redeemed", n)
	}
}

func TestPageIsPlainSafeAndReadable(t *testing.T) {
	s := server(t, oauthtest.Config{})
	a := authenticate(t, s)
	shown := a.visit(url.Values{"error": {"<script>alert(1)</script>"}, "error_description": {`"><img src=x>`}, "state": {a.state}}.Encode())
	_, _ = a.end()
	for _, want := range []string{`<html lang="en">`, "<title>Login failed</title>", "<main", "<h1>", `name="color-scheme" content="light dark"`, `name="viewport"`, "prefers-color-scheme: dark"} {
		if !strings.Contains(shown.body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	for _, wrong := range []string{"<script", "alert(1)", "<img", "http://", "https://", "src=", "@import", "url("} {
		if strings.Contains(shown.body, wrong) {
			t.Errorf("the page has %s", wrong)
		}
	}
	for header, want := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
	} {
		if got := shown.header.Get(header); got != want {
			t.Errorf("%s: %s; want %s", header, got, want)
		}
	}
	if csp := shown.header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; ") || strings.Contains(csp, "script") {
		t.Errorf("Content-Security-Policy: %s", csp)
	}
}

func TestSecondTabSeesTheSameEndAndCostsNoCode(t *testing.T) {
	s := server(t, oauthtest.Config{})
	a := authenticate(t, s)
	s.Script(oauthtest.Fault{Status: 500})
	query := "code=c&iss=" + url.QueryEscape(s.Issuer()) + "&state=" + a.state
	pages := make(chan string, 2)
	for range 2 {
		go func() {
			shown, err := (&person{browser: &http.Client{}}).get(t.Context(), a.callback+"?"+query)
			if err != nil { // the second may come too late
				shown.body = "Login failed"
			}
			pages <- shown.body
		}()
	}
	_, err := a.end()
	if !errors.Is(err, oauth.ErrTransient) {
		t.Errorf("got %v", err)
	}
	for range 2 {
		if shown := <-pages; !strings.Contains(shown, "Login failed") {
			t.Errorf("a tab shows %s", shown)
		}
	}
	if n := s.Requests(oauthtest.TokenEndpoint); n != 1 {
		t.Errorf("the code was sent %d times; want 1", n)
	}
}

func TestLoginEndsWithItsContext(t *testing.T) {
	s := server(t, oauthtest.Config{})
	a := authenticate(t, s)
	why := errors.New("the person gave up")
	a.cancel(why)
	pair, err := a.end()
	if pair != nil || !errors.Is(err, why) || !errors.Is(err, oauth.ErrTransient) {
		t.Errorf("got %v, %v; want the cause", pair, err)
	}
}

func TestAuthenticateReportsMistakesBeforeItListens(t *testing.T) {
	for name, change := range map[string]func(*oauth.Config){
		"no authorization endpoint": func(c *oauth.Config) { c.AuthURL = "" },
		"no token endpoint":         func(c *oauth.Config) { c.TokenURL = "" },
		"plain http":                func(c *oauth.Config) { c.TokenURL = "http://auth.test/token" },
		"no client":                 func(c *oauth.Config) { c.ClientID = "" },
	} {
		out := new(bytes.Buffer)
		cfg := oauth.Config{ClientID: "id", AuthURL: "https://auth.test/auth", TokenURL: "https://auth.test/token", Output: out}
		change(&cfg)
		if _, err := oauth.NewClient(cfg).Authenticate(t.Context()); !errors.Is(err, oauth.ErrMisconfigured) || out.Len() != 0 {
			t.Errorf("%s: got %v, output %q; want ErrMisconfigured in silence", name, err, out)
		}
	}
}

func TestLoginWithoutRefreshTokenSaysSo(t *testing.T) {
	for scope, want := range map[string]string{
		"openid":                "see in the server's documentation",
		"openid offline_access": "prompt=consent",
	} {
		s := server(t, oauthtest.Config{})
		a := authenticate(t, s, func(cfg *oauth.Config) { cfg.Scopes = strings.Fields(scope) })
		s.Script(oauthtest.Fault{Edit: func(fields map[string]any) { delete(fields, "refresh_token") }})
		a.logIn(newPerson(s, nil))
		if pair, err := a.end(); err != nil || pair.RefreshToken != "" {
			t.Fatalf("got %v, %v", pair, err)
		}
		if text := a.out.String(); !strings.Contains(text, "no refresh token: the session ends at ") || !strings.Contains(text, want) {
			t.Errorf("scope %q: the screen shows\n%s", scope, text)
		}
	}
}

func TestResourceOfTheContextIsAskedForAtLogin(t *testing.T) {
	s := server(t, oauthtest.Config{})
	opened := make(chan string, 1)
	cfg := s.OAuthConfig()
	cfg.Output = io.Discard
	cfg.OpenBrowser = func(_ context.Context, address string) error { opened <- address; return nil }
	ctx, cancel := context.WithCancel(oauth.WithResource(t.Context(), "https://one.test"))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = oauth.NewClient(cfg).Authenticate(ctx)
	}()
	u, _ := url.Parse(<-opened)
	cancel()
	<-done
	if got := fmt.Sprint(u.Query()["resource"]); got != "[https://one.test]" {
		t.Errorf("the login asks for %s", got)
	}
}
