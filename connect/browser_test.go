package connect_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evertoken/evertoken/connect"
	"github.com/evertoken/evertoken/internal/heldport"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/tokenstore"
)

// A shown hears what a login shows.
type shown chan struct{}

// Write implements io.Writer.
func (s shown) Write(b []byte) (int, error) {
	if strings.Contains(string(b), "To log in") {
		s <- struct{}{}
	}
	return len(b), nil
}

// A desk is a person with a real browser.
type desk struct {
	*person
	window chan string // addresses of windows that have opened
}

func newDesk(t *testing.T, cfg oauthtest.Config) *desk {
	t.Helper()
	d := &desk{person: newPerson(cfg), window: make(chan string, 100)}
	d.server = oauthtest.NewServer(cfg)
	t.Cleanup(d.server.Close)
	return d
}

// byBrowser makes a process one whose logins are by the browser.
func (d *desk) byBrowser(cfg *connect.Config) {
	cfg.Login, cfg.Transport, cfg.OAuth.HTTPClient, cfg.OAuth.RedirectURL = nil, nil, nil, ""
	cfg.OAuth.OpenBrowser = func(_ context.Context, address string) error {
		d.windows.Add(1)
		d.window <- address
		return nil
	}
}

// onePort has the logins of processes come back to a port that no other program is given
// between them.
func onePort(t *testing.T) func(*connect.Config) {
	t.Helper()
	port, err := heldport.Hold("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(port.Release)
	return func(cfg *connect.Config) { cfg.OAuth.RedirectURL = "http://" + port.Addr + "/callback" }
}

// at has the clock of a process stand still.
func at(now time.Time) func(*connect.Config) {
	return func(cfg *connect.Config) { cfg.OAuth.Now = func() time.Time { return now } }
}

// allow is the person in a window.
func (d *desk) allow(t *testing.T, window string) {
	t.Helper()
	d.answer(t, window, d.server.Allow)
}

// deny is a person who says no.
func (d *desk) deny(t *testing.T, window string) {
	t.Helper()
	d.answer(t, window, d.server.Deny)
}

func (d *desk) answer(t *testing.T, window string, act func(context.Context, string, string) (string, error)) {
	t.Helper()
	location, err := act(t.Context(), window, oauthtest.DefaultUser)
	if err != nil {
		t.Error(err)
		return
	}
	resp, err := http.Get(location)
	if err != nil {
		t.Error(err)
		return
	}
	resp.Body.Close()
}

// A process that dies while the person is at the browser leaves a window that would come back
// to nothing.
func TestF90_AnotherProcessGoesOnInTheWindowThatIsOpen(t *testing.T) {
	d := newDesk(t, oauthtest.Config{})
	var calls sync.WaitGroup
	samePort, now := onePort(t), at(time.Now())
	first := d.process(t, d.byBrowser, samePort, now)
	calls.Go(func() {
		if err := call(first); !errors.Is(err, context.Canceled) {
			t.Errorf("%v; want context.Canceled", err)
		}
	})
	window := <-d.window
	listens := make(shown, 10)
	waits := make(chan struct{}, 10)
	for range 3 {
		s := d.process(t, d.byBrowser, samePort, now, func(cfg *connect.Config) {
			cfg.OAuth.Output, cfg.OnOtherLogin = listens, func() { waits <- struct{}{} }
		})
		calls.Go(func() { mustCall(t, "who waited", s) })
		<-waits
	}
	first.Close()
	<-listens
	d.allow(t, window)
	calls.Wait()
	d.want(t, "afterwards", 1, 1)
}

// A program that is started again after a kill opens the window once more, since the person
// may have closed it; but it is the same login. At once after its beginning the window is
// there still.
func TestANewStartShowsTheLoginThatWasBegun(t *testing.T) {
	for later, windows := range map[time.Duration]int32{0: 1, 5 * time.Second: 1, 16 * time.Second: 2, time.Hour: 2} {
		t.Run(later.String(), func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, oauthtest.Config{})
			began, samePort := time.Now(), onePort(t)
			first := d.process(t, d.byBrowser, samePort, at(began))
			var calls sync.WaitGroup
			calls.Go(func() { _ = call(first) })
			window := <-d.window
			first.Close()
			calls.Wait()
			listens := make(shown, 10)
			second := d.process(t, d.byBrowser, samePort, at(began.Add(later)), func(cfg *connect.Config) { cfg.OAuth.Output = listens })
			calls.Go(func() { mustCall(t, "the second", second) })
			<-listens
			if windows > 1 {
				if again := <-d.window; again != window {
					t.Errorf("another login was shown")
				}
			}
			d.allow(t, window)
			calls.Wait()
			d.want(t, "afterwards", windows, 1)
		})
	}
}

// A login that takes longer is shown again, so that no person waits for a window that was never
// opened.
func TestAWindowThatMayBeMissingOpensLater(t *testing.T) {
	d := newDesk(t, oauthtest.Config{})
	began, samePort := time.Now(), onePort(t)
	first := d.process(t, d.byBrowser, samePort, at(began))
	var calls sync.WaitGroup
	calls.Go(func() { _ = call(first) })
	<-d.window
	first.Close()
	calls.Wait()
	second := d.process(t, d.byBrowser, samePort, at(began.Add(15*time.Second-time.Millisecond)))
	calls.Go(func() { mustCall(t, "the second", second) })
	d.allow(t, <-d.window)
	calls.Wait()
	d.want(t, "afterwards", 2, 1)
}

// At the authorization endpoint, a forgotten client shows in the browser alone.
func TestF90_AForgottenClientIsNoticedBeforeTheWindowOpens(t *testing.T) {
	d := newDesk(t, oauthtest.Config{})
	var calls sync.WaitGroup
	first := d.process(t, d.byBrowser)
	calls.Go(func() { mustCall(t, "first start", first) })
	d.allow(t, <-d.window)
	calls.Wait()
	first.Close()
	d.forget(t)
	d.logOut(t)
	for range 3 {
		s := d.process(t, d.byBrowser)
		calls.Go(func() { mustCall(t, "afterwards", s) })
	}
	d.allow(t, <-d.window)
	calls.Wait()
	if n := d.windows.Load(); n != 2 {
		t.Errorf("%d windows; want 2", n)
	}
}

// logOut removes the session from the store.
func (p *person) logOut(t *testing.T) {
	t.Helper()
	name := connect.SessionName(p.server.Resource(), p.server.Issuer(), "")
	rec, err := p.store.Get(t.Context(), name)
	if err == nil {
		err = p.store.Delete(t.Context(), name, rec.Version)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Processes share a directory, as those on one machine do.
func TestF90_ManyProcessesLogInOnceThroughFiles(t *testing.T) {
	d := newDesk(t, oauthtest.Config{AccessTokenLifetime: time.Hour})
	dir := t.TempDir()
	files := func(cfg *connect.Config) {
		store, err := tokenstore.NewFile(dir)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Refresh.Store = tokenstore.NewSealed(store, tokenstore.Keys(theKey))
	}
	var calls sync.WaitGroup
	for range 10 {
		s := d.process(t, d.byBrowser, files)
		calls.Go(func() { mustCall(t, "first start", s) })
	}
	d.allow(t, <-d.window)
	calls.Wait()
	d.want(t, "first start", 1, 1)
}

var theKey = tokenstore.NewKey()

// The address of a login holds what the API asks for. An API that asks for what the server, or
// a firewall in front of it, refuses must not make the program another client: the sessions
// of all other APIs of that server are of this one.
func TestAnAPIThatAsksForTooMuchLeavesTheClientOfOthersAlone(t *testing.T) {
	d := newDesk(t, oauthtest.Config{})
	hostile := httptest.NewUnstartedServer(nil)
	hostile.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/.well-known/oauth-protected-resource") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{
			"resource": hostile.URL + "/mcp", "authorization_servers": []string{d.server.Issuer()}, "scopes_supported": []string{"../../etc/passwd"},
		})
	})
	hostile.Start()
	t.Cleanup(hostile.Close)
	firewall := roundTrip(func(r *http.Request) (*http.Response, error) {
		if strings.Contains(r.URL.Query().Get("scope"), "passwd") {
			return &http.Response{StatusCode: http.StatusBadRequest, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
		}
		return http.DefaultTransport.RoundTrip(r)
	})
	behind := func(cfg *connect.Config) { cfg.OAuth.HTTPClient = &http.Client{Transport: firewall} }
	var calls sync.WaitGroup
	first := d.process(t, d.byBrowser, behind)
	calls.Go(func() { mustCall(t, "first start", first) })
	d.allow(t, <-d.window)
	calls.Wait()
	first.Close()

	ctx, cancel := context.WithCancel(t.Context())
	other := d.process(t, d.byBrowser, behind, func(cfg *connect.Config) { cfg.URL = hostile.URL + "/mcp" })
	calls.Go(func() {
		if err := other.Connect(ctx); err == nil {
			t.Error("connected")
		}
	})
	<-d.window // the person sees what is asked for, and does not agree
	cancel()
	calls.Wait()
	go func() {
		select {
		case window := <-d.window: // there is none
			d.allow(t, window)
		case <-t.Context().Done():
		}
	}()
	mustCall(t, "afterwards", d.process(t, d.byBrowser, behind))
	d.want(t, "afterwards", 2, 1)
}
