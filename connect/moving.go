package connect

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// moveLimit bounds how long an issuer is asked whether its endpoints have moved: callers
// without a living token wait.
const moveLimit = 10 * time.Second

// A moving renews the tokens of a login wherever its issuer has the endpoints by now: what was
// found at the login is not for ever. Only the metadata of the same issuer says where they are,
// by the rules of the first time (oauth.Discover). The holder of the session's lock asks for it,
// since it is the one that renews.
type moving struct {
	s       *Session
	issuer  string        // as the API names it
	session string        // whose place is kept
	grant   remakingGrant // nil: a person logs in; with a grant no place is kept
	cur     atomic.Pointer[renewer]
	asking  atomic.Bool // whether the endpoints have moved

	mu           sync.Mutex
	lost, looked time.Time // as in place
}

// A remakingGrant is Config.Grant for a client whose endpoints have moved.
type remakingGrant func(context.Context, *oauth.Client) (*oauth.GrantRefresher, error)

// A renewer is a client, and what renews tokens with it.
type renewer struct {
	client  *oauth.Client
	refresh func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error)
}

func newMoving(s *Session, p program, session string) *moving {
	m := &moving{s: s, issuer: p.issuer, session: session}
	m.cur.Store(&renewer{p.client, p.client.Refresh})
	return m
}

// of returns a grant as a refresh.Refresher.
func (m *moving) of(g *oauth.GrantRefresher) refresh.Refresher {
	m.cur.Store(&renewer{m.cur.Load().client, g.Refresh})
	return movingGrant{g, m}
}

// config is that of the client by which tokens are renewed now.
func (m *moving) config() oauth.Config { return m.cur.Load().client.Config() }

// A movingClient is a client as a refresh.Refresher.
type movingClient struct {
	*oauth.Client // as it began, which prints without its secret
	m             *moving
}

// Refresh implements refresh.Refresher.
func (c movingClient) Refresh(ctx context.Context, t *oauth.TokenPair) (*oauth.TokenPair, error) {
	return c.m.refresh(ctx, t)
}

// Revoke implements refresh.Revoker.
func (c movingClient) Revoke(ctx context.Context, t *oauth.TokenPair) error {
	at := c.m.cur.Load()
	err := at.client.Revoke(ctx, t)
	if next := c.m.follow(ctx, at, err); next != nil && next.client.Config().RevocationURL != at.client.Config().RevocationURL {
		return next.client.Revoke(ctx, t)
	}
	return err
}

// A movingGrant is a grant as a refresh.Refresher.
type movingGrant struct {
	*oauth.GrantRefresher // as it began
	m                     *moving
}

// Refresh implements refresh.Refresher.
func (g movingGrant) Refresh(ctx context.Context, t *oauth.TokenPair) (*oauth.TokenPair, error) {
	return g.m.refresh(ctx, t)
}

// refresh renews t. A token endpoint that is not where it was has spent nothing.
func (m *moving) refresh(ctx context.Context, t *oauth.TokenPair) (*oauth.TokenPair, error) {
	at := m.cur.Load()
	pair, err := at.refresh(ctx, t)
	if next := m.follow(ctx, at, err); next != nil && next.client.Config().TokenURL != at.client.Config().TokenURL {
		return next.refresh(ctx, t)
	}
	return pair, err
}

// An absence is how an endpoint is not where it was.
type absence uint8

const (
	present     absence = iota // or the server has said something else
	unknown                    // no answer came although the request may have arrived
	unreachable                // which trouble of the network explains too
	absent                     // by the word of whoever has its address now
)

// absenceBy returns what an error says of the endpoint that was asked.
func absenceBy(err error) absence {
	fail, is := errors.AsType[*oauth.Error](err)
	if !is {
		return present
	}
	verdict := fail.Verdict()
	switch {
	case fail.Status == 0 && !fail.Sent && verdict == oauth.VerdictTrouble && !errors.Is(err, oauth.ErrProxyAuth):
		return unreachable
	case fail.Status == 0:
		return unknown
	case verdict == oauth.VerdictEnded, verdict == oauth.VerdictClient, verdict == oauth.VerdictUnread:
		return present
	}
	switch fail.Status {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone,
		http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return absent
	}
	return present
}

// follow returns what renews the tokens from now on, after at has failed with err; nil if the
// endpoints are where they were, as far as is known.
func (m *moving) follow(ctx context.Context, at *renewer, err error) *renewer {
	how := absenceBy(err)
	switch how {
	case present:
		m.reached(ctx)
		return nil
	case unknown:
		return nil
	}
	if now := m.cur.Load(); now != at {
		return now
	}
	if !m.asking.CompareAndSwap(false, true) {
		return nil
	}
	defer m.asking.Store(false)
	cfg, found := m.whereabouts(ctx, at.client.Config(), how)
	if !found {
		return nil
	}
	client := oauth.NewClient(cfg)
	next := &renewer{client, client.Refresh}
	if m.grant != nil {
		g, err := m.grant(ctx, client)
		if err != nil || g == nil {
			return nil
		}
		next.refresh = g.Refresh
	}
	m.cur.Store(next)
	return next
}

// whereabouts returns had with the endpoints that the issuer has now, if they are others:
// those that another process has found, or else those that the issuer publishes.
func (m *moving) whereabouts(ctx context.Context, had oauth.Config, how absence) (oauth.Config, bool) {
	k, known := m.kept(ctx, had)
	if known {
		if k.value.endpoints != endpointsOf(had) {
			return k.value.endpoints.in(had), true
		}
	}
	if !m.mayAsk(ctx, &k, known, how) {
		return had, false
	}
	cfg, err := m.published(ctx, had)
	if err != nil || endpointsOf(cfg) == endpointsOf(had) {
		return had, false
	}
	m.keep(ctx, had, func(p *place) { *p = p.movedTo(cfg) })
	return cfg, true
}

// kept returns the place of the session, if it is known where the next process looks.
func (m *moving) kept(ctx context.Context, had oauth.Config) (kept[place], bool) {
	if m.grant != nil {
		return kept[place]{}, false
	}
	k, err := load[place](ctx, m.s.store(), placeRecord(m.s.cfg.URL, m.s.cfg.Account))
	p := k.value
	return k, err == nil && p.Session == m.session && p.ClientID == had.ClientID && p.Issuer == had.Issuer
}

// keep changes the place of the session. What cannot be kept is found out again.
func (m *moving) keep(ctx context.Context, had oauth.Config, change func(*place)) {
	for {
		k, known := m.kept(ctx, had)
		if !known {
			return
		}
		p := k.value
		change(&p)
		if err := k.save(ctx, m.s.store(), p); !errors.Is(err, tokenstore.ErrConflict) {
			return
		}
	}
}

// mayAsk reports whether it is time to ask the issuer: of all processes one does so in a check
// interval; and where the endpoint cannot be reached, after that has lasted for one.
func (m *moving) mayAsk(ctx context.Context, k *kept[place], known bool, how absence) bool {
	now, interval := m.s.now().UTC().Round(0), m.s.checkInterval()
	m.mu.Lock()
	if known {
		m.lost = moment.Earlier(m.lost, k.value.Lost)
		m.looked = moment.Later(m.looked, k.value.Looked)
	}
	if how == unreachable && (m.lost.IsZero() || m.lost.After(now)) {
		m.lost = now
	}
	asks := (how == absent || !within(now, m.lost, interval)) && !within(now, m.looked, interval)
	if asks {
		m.looked = now
	}
	p := k.value
	p.Lost, p.Looked = m.lost, m.looked
	m.mu.Unlock()
	if known && (p.Lost != k.value.Lost || p.Looked != k.value.Looked) {
		_ = k.save(ctx, m.s.store(), p) // or another process asks as well
	}
	return asks
}

// published returns had with the endpoints that its issuer publishes now. What the program has
// configured stays, and nothing is assumed.
func (m *moving) published(ctx context.Context, had oauth.Config) (oauth.Config, error) {
	ctx, cancel := context.WithTimeout(ctx, moveLimit)
	defer cancel()
	cfg := endpointsOf(m.s.cfg.OAuth).in(had)
	cfg.AssumeEndpoints = false
	client, err := oauth.Discover(ctx, metadataOf(m.issuer), cfg)
	if err != nil {
		return had, err
	}
	now := client.Config()
	if now.Issuer != had.Issuer {
		return had, errOtherIssuer
	}
	return now, nil
}

// errOtherIssuer means that a registration and a login are needed at the server that there is now.
var errOtherIssuer = errors.New("connect: the authorization server has another issuer than it had")

// reached notes that the endpoint was there.
func (m *moving) reached(ctx context.Context) {
	m.mu.Lock()
	was := !m.lost.IsZero()
	m.lost = time.Time{}
	m.mu.Unlock()
	if was {
		m.keep(ctx, m.config(), func(p *place) { p.Lost = time.Time{} })
	}
}

// adopt goes on with the endpoints of a client for the same session, which were asked for just now.
func (m *moving) adopt(client *oauth.Client) {
	at := m.cur.Load()
	had := at.client.Config()
	now := endpointsOf(client.Config())
	if m.grant != nil || now == endpointsOf(had) {
		return
	}
	moved := oauth.NewClient(now.in(had))
	m.cur.CompareAndSwap(at, &renewer{moved, moved.Refresh})
}

// checkInterval is how often at most a server is asked whether what is known of it still holds.
func (s *Session) checkInterval() time.Duration {
	if interval := s.cfg.Refresh.CheckInterval; interval > 0 {
		return interval
	}
	return refresh.DefaultCheckInterval
}

// within reports whether at, if there was such a time, is less than an interval before now.
func within(now, at time.Time, interval time.Duration) bool {
	age := now.Sub(at)
	return !at.IsZero() && age >= 0 && age < interval
}
