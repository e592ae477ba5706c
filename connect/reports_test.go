package connect_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/connect"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/tokenstore"
)

// The tests here play what users of other programs have reported: docs/mcp.md has a line for
// each. In all of them a process is a Session, and processes share a Store.

// launch starts a process, has it call once, and ends it.
func (p *person) launch(t *testing.T, when string, change ...func(*connect.Config)) {
	t.Helper()
	s := p.process(t, change...)
	mustCall(t, when, s)
	s.Close()
}

// wantRefreshes compares how often the server has renewed the session.
func (p *person) wantRefreshes(t *testing.T, when string, want int) {
	t.Helper()
	if got := p.server.Refreshes(); got != want {
		t.Errorf("%s: %d refreshes; want %d", when, got, want)
	}
}

// inFiles makes a process keep its sessions in a directory by a Store of its own, as real
// processes do.
func inFiles(t *testing.T, where ...*string) func(*connect.Config) {
	dir := t.TempDir()
	for _, w := range where {
		*w = dir
	}
	return func(cfg *connect.Config) {
		store, err := tokenstore.NewFile(dir)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Refresh.Store = tokenstore.NewSealed(store, tokenstore.Keys(theKey))
	}
}

// A tap is a transport that shows what passes.
type tap struct {
	http.RoundTripper
	mu    sync.Mutex // guards forms and codes
	forms []url.Values
	codes []int
}

// RoundTrip implements http.RoundTripper.
func (w *tap) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		req = req.Clone(req.Context())
		req.Body = io.NopCloser(bytes.NewReader(body))
		if form, err := url.ParseQuery(string(body)); err == nil && form.Has("grant_type") {
			w.mu.Lock()
			w.forms = append(w.forms, form)
			w.mu.Unlock()
		}
	}
	resp, err := w.RoundTripper.RoundTrip(req)
	if err == nil {
		w.mu.Lock()
		w.codes = append(w.codes, resp.StatusCode)
		w.mu.Unlock()
	}
	return resp, err
}

// Each process had a refresh lock of its own; three that started within eight seconds spent
// the same refresh token.
func TestReport_claude_code_85236(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		p.launch(t, "login")
		time.Sleep(15*time.Minute + 889*time.Second)
		var calls sync.WaitGroup
		for _, after := range []time.Duration{0, 3 * time.Second, 8 * time.Second} {
			calls.Go(func() {
				time.Sleep(after)
				mustCall(t, "started within eight seconds", p.process(t))
			})
		}
		calls.Wait()
		p.want(t, "three sessions", 1, 1)
		p.wantRefreshes(t, "three sessions", 1)
	})
}

// Access tokens of five minutes, single-use refresh tokens, several sessions open all day:
// six logins a day, each with a client of its own.
func TestReport_claude_code_91641(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{AccessTokenLifetime: 5 * time.Minute})
		sessions := p.together(t, "morning", 3)
		for hour := range 8 {
			time.Sleep(time.Hour)
			var calls sync.WaitGroup
			for i, s := range sessions {
				calls.Go(func() {
					time.Sleep(time.Duration(hour*i) * time.Second)
					mustCall(t, "during the day", s)
				})
			}
			calls.Wait()
		}
		p.want(t, "after a working day", 1, 1)
	})
}

// Every launch registered another client, with the port of that launch in its redirect URI,
// and logged in anew, though tokens were good for weeks.
func TestReport_claude_code_58607(t *testing.T) {
	d := newDesk(t, oauthtest.Config{AccessTokenLifetime: 30 * 24 * time.Hour})
	files := inFiles(t)
	var calls sync.WaitGroup
	first := d.process(t, d.byBrowser, files)
	calls.Go(func() { mustCall(t, "first launch", first) })
	d.allow(t, <-d.window)
	calls.Wait()
	first.Close()
	for range 5 {
		d.launch(t, "another launch", d.byBrowser, files)
	}
	d.want(t, "six launches", 1, 1)
	d.wantRefreshes(t, "six launches", 0)
}

// The refresh token was stored and never used: after twelve hours a new session had no tools.
func TestReport_claude_code_76939(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{AccessTokenLifetime: 12 * time.Hour})
		p.launch(t, "login")
		for day := range 3 {
			time.Sleep(13 * time.Hour)
			p.launch(t, "a new session")
			p.wantRefreshes(t, "a new session", day+1)
		}
		p.want(t, "three days", 1, 1)
	})
}

// At its start the program sent the expired token, and did not renew it after the 401.
func TestReport_openai_codex_27165(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{AccessTokenLifetime: time.Hour})
		p.launch(t, "login")
		time.Sleep(2 * time.Hour)
		seen := &tap{RoundTripper: p.server.Client().Transport}
		p.launch(t, "start with an expired token", func(cfg *connect.Config) { cfg.Transport = seen })
		if !slices.Equal(seen.codes, []int{http.StatusOK}) {
			t.Errorf("the API answered %v; want 200 to the only request", seen.codes)
		}
		p.want(t, "afterwards", 1, 1)
	})
}

// The report itself is not to be found; its neighbours (openai/codex#45944, #46028) tell of
// long-lived clients that sent a refresh token which another one had spent 59 minutes before.
func TestReport_openai_codex_43216(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{AccessTokenLifetime: time.Hour, Grace: 30 * time.Second})
		idle := p.together(t, "login", 2)
		for hour := range 3 {
			time.Sleep(time.Hour)
			p.launch(t, "another client")
			time.Sleep(59 * time.Minute)
			for _, s := range idle {
				mustCall(t, "the long-lived client", s)
			}
			if n := p.server.Sessions(oauthtest.DefaultUser); n != 1 {
				t.Fatalf("hour %d: %d sessions at the server; want 1", hour, n)
			}
		}
		p.want(t, "afterwards", 1, 1)
	})
}

// A laptop slept for two days; five instances woke with one dead token, and those that lost
// the race sent the person to the browser.
func TestReport_mcp_remote_351(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		p.launch(t, "login")
		time.Sleep(48 * time.Hour)
		p.together(t, "wake", 5)
		p.want(t, "wake", 1, 1)
		p.wantRefreshes(t, "wake", 1)
	})
}

// A proxy that ran for long met the end of its access token, and asked for a login in a place
// without a browser. It is to renew ahead, so that no call is refused.
func TestReport_mcp_remote_185(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{AccessTokenLifetime: time.Hour, RefreshTokenLifetime: 48 * time.Hour})
		seen := &tap{RoundTripper: p.server.Client().Transport}
		s := p.process(t, func(cfg *connect.Config) { cfg.Transport = seen })
		mustCall(t, "login", s)
		refused := len(seen.codes) - 1 // before there was a token
		for range 30 {
			time.Sleep(5*time.Hour + 37*time.Minute)
			mustCall(t, "during the week", s)
		}
		if n := len(seen.codes) - refused; n != 31 || slices.Contains(seen.codes[refused:], http.StatusUnauthorized) {
			t.Errorf("the API answered %v after the login; want 200 to each of 31 calls", seen.codes[refused:])
		}
		p.want(t, "a week", 1, 1)
	})
}

// A gateway, a desktop program and a job each ten minutes shared a directory without a lock
// for all of them: three token requests within a second.
func TestReport_hermes_agent_71335(t *testing.T) {
	d := newDesk(t, oauthtest.Config{})
	files := inFiles(t)
	browser := d.process(t, d.byBrowser, files)
	var calls sync.WaitGroup
	calls.Go(func() { mustCall(t, "login", browser) })
	d.allow(t, <-d.window)
	calls.Wait()
	browser.Close()
	for round := range 3 {
		d.server.ExpireAccess(oauthtest.DefaultUser)
		for range 6 {
			s := d.process(t, d.byBrowser, files)
			calls.Go(func() { mustCall(t, "with a dead token", s) })
		}
		calls.Wait()
		d.wantRefreshes(t, "six processes", round+1)
	}
	d.want(t, "afterwards", 1, 1)
}

// rotateElsewhere renews the session as a program that knows nothing of locks does, and saves
// what it got as late as that.
func (p *person) rotateElsewhere(t *testing.T, late time.Duration) *oauth.TokenPair {
	t.Helper()
	name := connect.SessionName(p.server.Resource(), p.server.Issuer(), "")
	rec, err := p.store.Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	cfg := p.server.OAuthConfig()
	cfg.ClientID, cfg.Resources = p.registration(t).ClientID, []string{p.server.Resource()}
	pair, err := oauth.NewClient(cfg).Refresh(t.Context(), rec.Tokens)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(late)
	for {
		rec, err := p.store.Get(t.Context(), name)
		if err != nil {
			t.Fatalf("the session was deleted: %v", err)
		}
		rec.Tokens = pair
		if _, err = p.store.Set(t.Context(), name, rec); err == nil {
			return pair
		}
		if !errors.Is(err, tokenstore.ErrConflict) {
			t.Fatal(err)
		}
	}
}

// loses plays a race that a process of ours loses against a program without locks: it is
// told invalid_grant, and what the other saves meanwhile is the session.
func loses(t *testing.T, late time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{NoReuseDetection: true})
		p.launch(t, "login")
		time.Sleep(20 * time.Minute)
		p.server.Script(oauthtest.Fault{Grant: "refresh_token"}, oauthtest.Fault{Grant: "refresh_token", Delay: late + 143*time.Millisecond})
		var calls sync.WaitGroup
		var pair *oauth.TokenPair
		calls.Go(func() { pair = p.rotateElsewhere(t, late) })
		synctest.Wait()
		s := p.process(t)
		mustCall(t, "who lost the race", s)
		calls.Wait()
		if got, err := s.Token(t.Context()); err != nil || pair == nil || got.RefreshToken != pair.RefreshToken {
			t.Errorf("%v: the process has not adopted what the other program saved", err)
		}
		if n := p.windows.Load(); n != 1 {
			t.Errorf("%d windows; want 1", n)
		}
	})
}

// A process whose refresh token another one had rotated cleared the session.
func TestReport_hermes_agent_94846(t *testing.T) { loses(t, 5*time.Second) }

// The loser's 400 wiped the file that the winner had just written: eight times a day.
func TestReport_hermes_agent_105314(t *testing.T) {
	loses(t, 100*time.Millisecond)
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{AccessTokenLifetime: 15 * time.Minute})
		sessions := p.together(t, "gateway and desktop", 2)
		for range 24 * 4 {
			time.Sleep(15 * time.Minute)
			var calls sync.WaitGroup
			for _, s := range sessions {
				calls.Go(func() { mustCall(t, "at the end of a token", s) })
			}
			calls.Wait()
		}
		p.want(t, "a day", 1, 1)
	})
}

// Refreshes that a new process sent lacked the resource, or had the query of the URL in it.
func TestReport_hermes_agent_110720(t *testing.T) {
	for name, query := range map[string]string{"as published": "", "a URL with a query": "?codemode=false"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPerson(oauthtest.Config{})
				sent := &tap{RoundTripper: p.server.Client().Transport}
				over := func(cfg *connect.Config) {
					cfg.URL += query
					cfg.OAuth.HTTPClient = &http.Client{Transport: sent}
				}
				for range 3 {
					p.launch(t, "a launch", over)
					time.Sleep(20 * time.Minute)
				}
				if len(sent.forms) != 3 {
					t.Errorf("%d token requests; want a login and two refreshes", len(sent.forms))
				}
				for _, form := range sent.forms {
					if got := form["resource"]; len(got) != 1 || got[0] != p.server.Resource() {
						t.Errorf("a %s request is for %q; want %q", form.Get("grant_type"), got, p.server.Resource())
					}
				}
				p.want(t, "afterwards", 1, 1)
			})
		})
	}
	for name, body := range map[string]string{"no code": `{}`, "invalid_request": `{"error":"invalid_request"}`, "429": ""} {
		t.Run("early refresh is refused, "+name, func(t *testing.T) { refusedEarly(t, body) })
	}
}

// refusedEarly plays a server that refuses to renew a token that lives: the token is served,
// and when it has ended, the session is renewed.
func refusedEarly(t *testing.T, body string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{AccessTokenLifetime: time.Hour})
		s := p.process(t)
		mustCall(t, "login", s)
		fault := oauthtest.Fault{Grant: "refresh_token", Status: 400, Body: body}
		if body == "" {
			fault.Status = 429
		}
		p.server.Script(fault)
		for range 11 {
			time.Sleep(10 * time.Minute)
			mustCall(t, "before and after the end", s)
		}
		p.want(t, "afterwards", 1, 1)
	})
}

// Replicas renewed the sessions of a gateway at once, and asked users to reconnect.
func TestReport_gram_4612(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{AccessTokenLifetime: 10 * time.Minute})
		replicas := p.together(t, "connect", 2)
		for round := range 4 {
			p.server.ExpireAccess(oauthtest.DefaultUser)
			var calls sync.WaitGroup
			for _, s := range replicas {
				for range 10 {
					calls.Go(func() { mustCall(t, "requests at once", s) })
				}
			}
			calls.Wait()
			p.wantRefreshes(t, "twenty requests at two replicas", round+1)
			time.Sleep(2 * time.Minute)
		}
		p.want(t, "afterwards", 1, 1)
	})
}

// The refresh token survived a restart, and the client that it was given to did not.
func TestReport_toolhive_3418(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		p.server.Script(oauthtest.Fault{Endpoint: oauthtest.MetadataEndpoint, Times: -1, Edit: func(f map[string]any) {
			f["token_endpoint_auth_methods_supported"] = []string{"client_secret_basic"}
		}})
		files := inFiles(t)
		for restart := range 4 {
			p.launch(t, "a restart", files)
			p.wantRefreshes(t, "a restart", restart)
			time.Sleep(24 * time.Hour)
		}
		p.want(t, "afterwards", 1, 1)
	})
}

// What renewed the tokens was bound to the context of the login: an hour later it failed with
// "context canceled", and a new client and a new login took its place.
func TestReport_toolhive_3538(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{AccessTokenLifetime: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		s, err := connect.Open(ctx, p.config())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		source := s.TokenSource()
		cancel()
		for range 5 {
			time.Sleep(90 * time.Minute)
			mustCall(t, "after the login's context has ended", s)
			if token, err := source.Token(); err != nil || !token.Valid() {
				t.Errorf("the token source: %v", err)
			}
		}
		p.want(t, "afterwards", 1, 1)
	})
}

// Several calls of one program met the end of the token at once, and each renewed it.
func TestReport_opencode_34074(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		s := p.process(t)
		mustCall(t, "login", s)
		p.server.ExpireAccess(oauthtest.DefaultUser)
		var calls sync.WaitGroup
		for range 20 {
			calls.Go(func() { mustCall(t, "calls at once", s) })
		}
		calls.Wait()
		p.want(t, "calls at once", 1, 1)
		p.wantRefreshes(t, "calls at once", 1)
	})
}

// The loser of a race deleted the pair that the winner had saved.
func TestReport_vercel_ai_20674(t *testing.T) { loses(t, 0) }

// Each run registered a client of its own.
func TestReport_toolhive_3335(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		for range 10 {
			p.launch(t, "a run")
			time.Sleep(time.Minute)
		}
		p.want(t, "ten runs", 1, 1)
	})
}

// Each login registered another client, although the last one was stored.
func TestReport_opencode_35625(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		for range 3 {
			p.launch(t, "a login")
			p.logOut(t)
		}
		p.want(t, "three logins", 3, 1)
	})
}

// A client that the server had forgotten was used again with each login.
func TestReport_claude_code_84614(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		p.launch(t, "first login")
		first := p.registration(t).ClientID
		p.forget(t)
		before := p.server.Requests(oauthtest.RegistrationEndpoint)
		time.Sleep(time.Hour)
		for range 3 {
			p.launch(t, "after the server has forgotten the client")
		}
		p.want(t, "afterwards", 2, before+1)
		if p.registration(t).ClientID == first {
			t.Error("the client is still the one that the server has forgotten")
		}
	})
}

// The browser showed an error of the server about a client that it did not know, and the
// program waited for a login that could not come.
func TestReport_hermes_agent_36767(t *testing.T) {
	d := newDesk(t, oauthtest.Config{})
	var calls sync.WaitGroup
	for launch := range 2 {
		s := d.process(t, d.byBrowser)
		calls.Go(func() { mustCall(t, "a login", s) })
		d.allow(t, <-d.window) // fails where the server shows an error
		calls.Wait()
		s.Close()
		if launch == 0 {
			d.forget(t)
			d.logOut(t)
		}
	}
	if n := d.windows.Load(); n != 2 {
		t.Errorf("%d windows; want 2", n)
	}
}

// flood has many processes find that the session has ended: the person sees one window.
func flood(t *testing.T, asleep time.Duration, processes int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{RefreshTokenLifetime: 24 * time.Hour})
		p.launch(t, "login")
		time.Sleep(asleep)
		p.takes = 3 * time.Minute
		p.together(t, "all at once", processes)
		p.want(t, "afterwards", 2, 1)
	})
}

// Tens of windows in an editor, and little floods of them after a night.
func TestReport_mcp_remote_68(t *testing.T) { flood(t, 30*time.Hour, 10) }

// A window for each instance when a token had lapsed.
func TestReport_mcp_remote_149(t *testing.T) { flood(t, 7*24*time.Hour, 5) }

// Sessions that began at once each asked for a login.
func TestReport_claude_code_43000(t *testing.T) { flood(t, 25*time.Hour, 3) }

// Further refusals ended the login while the person was at the browser.
func TestReport_mcp_remote_239(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		p.takes = 5 * time.Minute
		s := p.process(t)
		var calls sync.WaitGroup
		calls.Go(func() { mustCall(t, "the first call", s) })
		for range 20 {
			time.Sleep(10 * time.Second)
			calls.Go(func() { mustCall(t, "a call during the login", s) })
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL(), strings.NewReader("hello"))
			if err != nil {
				t.Fatal(err)
			}
			if resp, err := s.Client().Do(req); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a call that leaves: %v, %v", resp, err)
			}
			cancel()
		}
		calls.Wait()
		p.want(t, "afterwards", 1, 1)
	})
}

// After a 401 the program counted as logged out, and so it did after a restart.
func TestReport_toolhive_6556(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{AccessTokenLifetime: 24 * time.Hour})
		s := p.process(t)
		mustCall(t, "login", s)
		time.Sleep(time.Hour)
		p.server.ExpireAccess(oauthtest.DefaultUser)
		mustCall(t, "after a 401", s)
		s.Close()
		time.Sleep(time.Hour)
		p.server.ExpireAccess(oauthtest.DefaultUser)
		p.launch(t, "after a restart and a 401")
		p.want(t, "afterwards", 1, 1)
	})
}
