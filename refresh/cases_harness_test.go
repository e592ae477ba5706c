package refresh_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// The tests in cases_*_test.go play answers from public reports, as oauthtest lists
// them, and what else is of their kind.

// Names that the states and events of a session that perhaps has ended have.
const (
	stateSuspected = refresh.State("suspected")
	eventRecovered = refresh.EventKind("recovered")
)

// A household is some sessions at one server, alone in a Manager or several in a
// Pool, in one process after the other over the same store.
type household struct {
	server   *oauthtest.Server
	store    tokenstore.Store
	names    []string
	managers []*refresh.Manager // of the process that runs
	pool     *refresh.Pool      // unless it is a Manager's
	stop     func()
	edit     func(*refresh.Config) // of the next process; nil: none
	before   map[string]string     // the refresh tokens in the store when the trouble began, by name

	events *recorder // of the process that runs
	told   *failures // by the process that runs
}

// newHousehold logs n people in and starts the first process. The edits change the
// server's configuration.
func newHousehold(t *testing.T, n int, edits ...func(*oauthtest.Config)) *household {
	t.Helper()
	users := make(map[string]string, n)
	h := &household{store: new(tokenstore.Memory)}
	for i := range n {
		h.names = append(h.names, fmt.Sprint("user", i))
		users[h.names[i]] = ""
	}
	cfg := oauthtest.Config{Users: users, ClientSecret: "first"}
	for _, edit := range edits {
		edit(&cfg)
	}
	h.server = oauthtest.New(cfg)
	for _, name := range h.names {
		pair, err := h.server.Login(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := tokenstore.Func(h.store, name)(t.Context(), pair); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { h.stop() })
	h.begin(t)
	return h
}

// begin starts a process with the configuration that the server wants now.
func (h *household) begin(t *testing.T) {
	t.Helper()
	if len(h.names) == 1 {
		cfg := h.config()
		cfg.Session = h.names[0]
		m := refresh.NewManager(cfg)
		h.stop = m.Stop
		if err := m.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		h.managers = append(h.managers, m)
		return
	}
	h.beginPool(t)
}

// beginPool is begin with a Pool, however many sessions there are.
func (h *household) beginPool(t *testing.T) {
	t.Helper()
	cfg := h.config()
	h.pool = refresh.NewPool(refresh.PoolConfig{Config: cfg})
	h.stop = h.pool.Stop
	if err := h.pool.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range h.names {
		h.open(t, name)
	}
}

// open opens one more session in the Pool.
func (h *household) open(t *testing.T, name string) {
	t.Helper()
	m, err := h.pool.Session(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	h.managers = append(h.managers, m)
}

// config returns what a new process is given.
func (h *household) config() refresh.Config {
	h.events, h.told, h.managers = new(recorder), new(failures), nil
	cfg := refresh.Config{OAuthClient: oauth.NewClient(h.server.OAuthConfig()), Store: h.store, OnEvent: h.events.add}
	h.told.use(&cfg)
	if h.edit != nil {
		h.edit(&cfg)
	}
	return cfg
}

// restart ends the process and starts another one.
func (h *household) restart(t *testing.T) {
	t.Helper()
	h.stop()
	h.begin(t)
}

// renewAll renews every session.
func (h *household) renewAll(t *testing.T) {
	t.Helper()
	for _, m := range h.managers {
		if err := m.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// refuse makes the server answer like that to all refreshes to come.
func (h *household) refuse(t *testing.T, f oauthtest.Fault) {
	t.Helper()
	h.before = h.tokens(t)
	h.server.Script(forEver(f))
}

// pass lets time pass, and all that is to happen in it.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// passServing lets time pass. Every minute all sessions are asked for their token,
// and those that have a living one must serve it at once.
func (h *household) passServing(t *testing.T, d time.Duration) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); pass(min(minute, time.Until(end))) {
		for i, m := range h.managers {
			if !time.Now().Before(m.GetExpiresAt()) {
				continue
			}
			start := time.Now()
			if _, err := m.TokenContext(t.Context()); err != nil || time.Since(start) > 0 {
				t.Errorf("%s: a living token is served after %v with %v; want at once", h.names[i], time.Since(start), err)
			}
		}
	}
}

// renewedSince fails the test unless all sessions have been renewed since then, and
// are well.
func (h *household) renewedSince(t *testing.T, since time.Time) {
	t.Helper()
	lost, example := h.notRenewed(since)
	if lost > 0 {
		t.Errorf("%d of %d sessions are not renewed; one is %s: %s", lost, len(h.names), example.State, example.LastError)
	}
	for _, name := range h.names {
		if h.server.Sessions(name) != 1 {
			t.Errorf("the server has ended %s's session", name)
		}
	}
}

// notRenewed counts the sessions that have not been renewed since then or are not well,
// and returns the status of one of them.
func (h *household) notRenewed(since time.Time) (n int, example *refresh.RefreshStatus) {
	for _, m := range h.managers {
		st := m.GetRefreshStatus()
		if st.State != refresh.StateValid || st.LastRefreshAt.Before(since) || !st.ExpiresAt.After(time.Now()) {
			n, example = n+1, st
		}
	}
	return n, example
}

// heals lets time pass, and fails the test unless all sessions are renewed within it,
// and once more when the tokens that they have then are due.
func (h *household) heals(t *testing.T, within time.Duration) {
	t.Helper()
	begun := time.Now()
	for end := begun.Add(within); time.Now().Before(end); pass(min(minute, time.Until(end))) {
		if n, _ := h.notRenewed(begun); n == 0 {
			break
		}
	}
	h.renewedSince(t, begun)
	again := time.Now()
	pass(allDue)
	h.renewedSince(t, again)
}

// heard fails the test unless OnRefreshFail was called so many times in this process.
func (h *household) heard(t *testing.T, want int, when string) {
	t.Helper()
	if heard := h.told.heard(); len(heard) != want {
		t.Errorf("OnRefreshFail was called %d times %s; want %d: %v", len(heard), when, want, heard[:min(len(heard), 1)])
	}
}

// allIn fails the test unless all sessions are in one of the states.
func (h *household) allIn(t *testing.T, states ...refresh.State) {
	t.Helper()
	for i, m := range h.managers {
		st := m.GetRefreshStatus()
		known := false
		for _, want := range states {
			known = known || st.State == want
		}
		if !known {
			t.Errorf("%s is %s (%s); want %s", h.names[i], st.State, st.LastError, states)
			return
		}
	}
}

// tokens returns the refresh tokens in the store, by name.
func (h *household) tokens(t *testing.T) map[string]string {
	t.Helper()
	tokens := make(map[string]string, len(h.names))
	for _, name := range h.names {
		rec, err := h.store.Get(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		tokens[name] = rec.Tokens.RefreshToken
	}
	return tokens
}

// kept fails the test unless the store has the refresh tokens that it had when the
// trouble began.
func (h *household) kept(t *testing.T) {
	t.Helper()
	for name, token := range h.tokens(t) {
		if token != h.before[name] {
			t.Errorf("%s's pair is gone", name)
		}
	}
}

// requests returns how many requests have reached the token endpoint.
func (h *household) requests() int { return h.server.Requests(oauthtest.TokenEndpoint) }

// clean fails the test if the server saw a mistake.
func (h *household) clean(t *testing.T) {
	t.Helper()
	for _, mistake := range h.server.Audit() {
		t.Errorf("the server saw a mistake: %v", mistake)
	}
}

// A token lives fifteen minutes. No session is renewed in the first beforeDue of them,
// and all are due after ten: those of a crowd are spread over half of the lead.
const (
	beforeDue = 7 * minute
	fromThere = 15*minute - beforeDue - time.Second // an access token is still alive
	allDue    = 12 * minute                         // and the two minutes are for the crowd
)

// inBubble runs a test in a bubble, under a name, beside the others of its parent: what
// happens in a bubble depends on nothing outside of it.
func inBubble(t *testing.T, name string, test func(t *testing.T)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, test)
	})
}
