package connect

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/challenge"
	"github.com/evertoken/evertoken/oauth/register"
	"github.com/evertoken/evertoken/refresh"
)

// ErrRefused tells that the API refuses the session's token, and that another login would
// not change that.
var ErrRefused = errors.New("connect: the API refuses the session's token, and another login would not change that")

const (
	// secondOpinion is after what time a server is asked once more whether it knows the
	// client: some say that it does not while their database is away. A person's login is
	// dearer than the wait, and MCP clients wait for half a minute or longer.
	secondOpinion = 5 * time.Second
	// lookAtLock is how long a process tries to have a lock, to learn whether another one
	// has it.
	lookAtLock = 50 * time.Millisecond
	// checkLimit bounds checkKnown: the person waits.
	checkLimit = 5 * time.Second
	// windowStands is how long after the beginning of a login its window is taken to be
	// before the person. A process that is started then, and goes on with the login, opens
	// another one later: after a crash there would be two, after several many.
	windowStands = 15 * time.Second
	// otherLogin is how long a process waits for another one's login before it says so.
	otherLogin = time.Second
)

// resume starts the session that the Store has, once, so that a program which is started
// again is neither refused nor needs the servers' metadata.
func (s *Session) resume(ctx context.Context) error {
	s.mu.Lock()
	done := s.resumed
	s.mu.Unlock()
	if done || s.cur.Load() != nil {
		return nil
	}
	return s.share(ctx, nil, need{}, func(ctx context.Context, _ *login, _ need) (*login, error) {
		l, err := s.saved(ctx)
		if err == nil {
			s.mu.Lock()
			s.resumed = true
			s.mu.Unlock()
		}
		return l, err
	})
}

// saved starts the session that the Store has for the API, and returns nil if it has none.
func (s *Session) saved(ctx context.Context) (*login, error) {
	if s.cfg.Grant != nil {
		return nil, nil // which is made of the API's metadata
	}
	k, err := load[place](ctx, s.store(), placeRecord(s.cfg.URL, s.cfg.Account))
	if err != nil {
		return nil, err
	}
	p := k.value
	if p.Session == "" || p.DPoP && s.cfg.BearerOnly {
		return nil, nil
	}
	l, err := s.stored(ctx, p)
	if l == nil {
		return nil, err // the first refusal leads to another one
	}
	l.accepted.Store(true) // what was stored was good for something
	if err := l.manager.Start(s.ctx, nil); err != nil {
		l.manager.Stop()
		if errors.Is(err, oauth.ErrLoginRequired) || errors.Is(err, oauth.ErrMisconfigured) {
			return nil, nil
		}
		return nil, err
	}
	return l, nil
}

// stored returns the login at a place, whose manager is yet to be started, or nil if the
// program is another client by now.
func (s *Session) stored(ctx context.Context, p place) (*login, error) {
	cfg := p.config(s.cfg.OAuth)
	r, err := s.keptAt(ctx, p.issuer(), p.ClientID, cfg)
	if r == nil || r.ClientID != p.ClientID {
		return nil, err
	}
	client := oauth.NewClient(s.asClient(r.Config(cfg)))
	l := s.newLogin(p.Resource, program{issuer: p.issuer(), client: client, registered: s.isRegistered(r), secretEnds: r.SecretExpiresAt}, nil)
	l.moving.lost = p.Lost
	return l, nil
}

// asClient returns cfg with a key of the program's, which no registration holds.
func (s *Session) asClient(cfg oauth.Config) oauth.Config {
	if auth := s.cfg.OAuth.ClientAuth; auth.Method() != "none" {
		cfg.ClientAuth = auth
	}
	return cfg
}

// newLogin returns a login whose manager is yet to be started. A nil grant means the program's
// client.
func (s *Session) newLogin(resource string, p program, grant *oauth.GrantRefresher) *login {
	cfg := s.cfg.Refresh
	cfg.Session = SessionName(resource, p.issuer, s.cfg.Account)
	m := newMoving(s, p, cfg.Session)
	cfg.OAuthClient, cfg.OnInsufficientScope = movingClient{p.client, m}, nil
	if grant != nil {
		cfg.OAuthClient = m.of(grant)
	}
	cfg.AllowedOrigins = []string{s.origin.Scheme + "://" + s.origin.Host}
	manager := refresh.NewManager(cfg)
	return &login{
		program: p, resource: resource, session: cfg.Session, moving: m,
		manager: manager, requests: manager.Transport(s.cfg.Transport), granting: grant != nil,
	}
}

// next returns the login that takes the place of seen, which the API has refused, or which
// has no token for the given cause, and gives what n is.
func (s *Session) next(ctx context.Context, seen *login, header http.Header, cause error, n need) (*login, error) {
	var lost gone
	switch {
	case !seen.forgotten(cause):
	case errors.Is(cause, oauth.ErrClientSecretExpired):
		lost = gone{seen.client.Config().ClientID, seen.secretEnds}
	default:
		known, err := s.stillKnown(ctx, seen)
		if known || err != nil {
			return seen, err
		}
		lost = gone{clientID: seen.client.Config().ClientID}
	}
	api, err := s.discover(ctx, header)
	if err != nil && cause == nil {
		seen.note(header, cause, err)
	}
	if err != nil {
		return nil, err
	}
	same := seen != nil && slices.ContainsFunc(api.AuthorizationServers, func(issuer string) bool { return canonical(issuer) == canonical(seen.issuer) })
	switch {
	case same && lost.isNone() && wantsMore(header):
		l, err := s.stepUp(ctx, seen, n.want, api, header)
		if errors.Is(err, oauth.ErrNoStepUp) && !n.want.WantsLogin() {
			seen.unmet.Store(&note{err, time.Now(), n})
		}
		return l, err
	case same && lost.isNone():
		l, err := s.again(ctx, seen, api, header, cause)
		if errors.Is(err, ErrRefused) {
			seen.note(header, cause, err)
		}
		return l, err
	}
	refused := seen
	if !same {
		seen = nil // what it has come to ask for was for another server
	}
	l, err := s.at(ctx, seen, api, header, lost, nil)
	if errors.Is(err, oauth.ErrMisconfigured) {
		refused.note(header, cause, err) // as of a server that registers no client any more
	}
	return l, err
}

// A note is why nothing was done about a refusal of a login's token, or of its client.
type note struct {
	err  error
	at   time.Time
	need need // what that wants
}

// note remembers why there was nothing to do about a refusal of l's token, so that further ones
// neither ask for metadata nor wait for it.
func (l *login) note(header http.Header, cause, err error) {
	if l != nil && (cause == nil || l.forgotten(cause)) && !wantsMore(header) {
		l.noted.Store(&note{err, time.Now(), need{}})
	}
}

// noted returns why there is nothing to do about a refusal of the token of seen, if that was
// found out in this check interval and the session has not ended since; or nil.
func (s *Session) noted(seen *login, header http.Header, cause error) error {
	if seen == nil || cause != nil && !seen.forgotten(cause) {
		return nil
	}
	n := seen.noted.Load()
	if m := needOf(header); !m.isNone() {
		if n = seen.unmet.Load(); n != nil && !(n.need.covers(m) && m.covers(n.need)) {
			return nil
		}
	}
	if n == nil || time.Since(n.at) >= s.checkInterval() || seen.manager.GetRefreshStatus().State == refresh.StateLoginRequired {
		return nil
	}
	return n.err
}

// discover finds out where the API wants tokens from. Without a refusal of the API's, as when
// the token endpoint has ended the session, it asks for one; and where that has no challenge,
// as for a method that the API does not know, it looks where an earlier challenge said.
func (s *Session) discover(ctx context.Context, header http.Header) (*oauth.ProtectedResource, error) {
	if header != nil {
		s.announce(challenge.Param(header, "resource_metadata"))
		return s.unrepeatedMetadata(oauth.DiscoverChallenged(ctx, s.cfg.URL, header, s.cfg.OAuth))
	}
	api, err := oauth.DiscoverResource(ctx, s.cfg.URL, s.cfg.OAuth)
	absent := errors.Is(err, oauth.ErrMisconfigured) || err == nil && api.Assumed
	if !absent {
		return s.unrepeatedMetadata(api, err)
	}
	if address := s.announcedAt(ctx); address != "" {
		earlier := http.Header{"Www-Authenticate": {`Bearer resource_metadata="` + address + `"`}}
		api, err = oauth.DiscoverChallenged(ctx, s.cfg.URL, earlier, s.cfg.OAuth)
	}
	return s.unrepeatedMetadata(api, err)
}

// announce remembers where a challenge says that the API's metadata is.
func (s *Session) announce(address string) {
	if address == "" || strings.ContainsAny(address, `"\`) {
		return
	}
	s.mu.Lock()
	s.announced = address
	s.mu.Unlock()
}

// announcedAt returns where the API's metadata was by a challenge, in this process's time or
// when the session was found, or "".
func (s *Session) announcedAt(ctx context.Context) string {
	s.mu.Lock()
	address := s.announced
	s.mu.Unlock()
	if address != "" {
		return address
	}
	k, err := load[place](ctx, s.store(), placeRecord(s.cfg.URL, s.cfg.Account))
	if err != nil {
		return "" // what is there is found out again
	}
	return k.value.Metadata
}

// at goes on with the stored session at the authorization server of api, or logs in: for what
// the login seen has asked for at least, if that is not nil; as another client than the one that
// is lost; and with another pair than the one that the API has refused, if that is not nil.
func (s *Session) at(ctx context.Context, seen *login, api *oauth.ProtectedResource, header http.Header, lost gone, refused *oauth.TokenPair) (*login, error) {
	for changes := 0; ; changes++ {
		p, err := s.clientAt(ctx, seen, api, header, lost)
		if err != nil {
			return nil, err
		}
		l, err := s.begin(ctx, api, p, refused)
		if errors.Is(err, errOtherClient) && changes < maxRounds {
			continue
		}
		if !p.registered || !lost.isNone() || !errors.Is(err, oauth.ErrClientRefused) {
			return l, err
		}
		lost = gone{clientID: p.client.Config().ClientID}
	}
}

// forgotten reports whether the cause is that the server refuses a client that it has
// registered.
func (l *login) forgotten(cause error) bool {
	return l != nil && l.registered && (errors.Is(cause, oauth.ErrClientRefused) || errors.Is(cause, oauth.ErrClientSecretExpired))
}

// stillKnown asks the server a second time about a client that it does not know, unless
// another process has registered anew already. It reports whether the session goes on.
func (s *Session) stillKnown(ctx context.Context, seen *login) (bool, error) {
	k, err := load[keptClient](ctx, s.store(), clientRecord(seen.issuer))
	if err != nil {
		return false, err
	}
	clientID := seen.client.Config().ClientID
	if list := k.value.all(clientID); len(list) > 0 && list[0].ClientID != clientID {
		return false, nil
	}
	pause := time.NewTimer(secondOpinion)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	err = seen.manager.ForceRefresh(ctx)
	switch {
	case errors.Is(err, oauth.ErrClientRefused), errors.Is(err, oauth.ErrLoginRequired):
		return false, nil
	}
	return err == nil, err
}

// A program is what this one is at an authorization server.
type program struct {
	issuer string // as the API names it
	client *oauth.Client
	// registered says that the server has made the client, so that one which has forgotten
	// it can make another; kept, that it was made earlier.
	registered, kept bool
	secretEnds       time.Time // zero: never
}

// clientAt returns the program's client at the authorization server of api, whose logins ask
// for what that of seen does, which may be nil.
func (s *Session) clientAt(ctx context.Context, seen *login, api *oauth.ProtectedResource, header http.Header, lost gone) (program, error) {
	issuer, cfg := s.chooseServer(ctx, api), s.cfg.OAuth
	if seen != nil {
		issuer = seen.issuer
		had := seen.client.Config()
		cfg.Scopes, cfg.AuthParams = oauth.UnionScopes(had.Scopes, cfg.Scopes), had.AuthParams
	}
	s.mu.Lock()
	s.found = place{Session: SessionName(api.Resource, issuer, s.cfg.Account), Issuer: issuer}
	s.mu.Unlock()
	cfg.AssumeEndpoints = api.Assumed // what the API has named has metadata
	r, kept, err := s.registration(ctx, issuer, lost, cfg)
	if err != nil {
		return program{}, err
	}
	cfg = s.asClient(r.Config(cfg))
	cfg.Scopes, cfg.Resources = oauth.UnionScopes(api.Scopes, cfg.Scopes), []string{api.Resource}
	from := issuer
	if !api.Assumed {
		from = metadataOf(issuer)
	}
	client, err := oauth.Discover(ctx, from, cfg)
	if err == nil && s.wantsProof(api, header) && provesKeys(client.Metadata()) {
		cfg.DPoP = true
		client, err = oauth.Discover(ctx, from, cfg)
	}
	registered := s.isRegistered(r)
	return program{issuer, client, registered, registered && kept, r.SecretExpiresAt}, err
}

// chooseServer returns the first of the authorization servers of api that the program is a
// client of already, given or kept, or else the first.
func (s *Session) chooseServer(ctx context.Context, api *oauth.ProtectedResource) string {
	if len(api.AuthorizationServers) == 1 {
		return api.AuthorizationServers[0]
	}
	for i, issuer := range api.AuthorizationServers {
		if s.isClientAt(ctx, issuer, i == 0) {
			return issuer
		}
	}
	return api.AuthorizationServers[0]
}

// isClientAt reports whether a client of the program's is for issuer. A given one without an
// issuer is for the first server.
func (s *Session) isClientAt(ctx context.Context, issuer string, first bool) bool {
	s.mu.Lock()
	given := s.given
	s.mu.Unlock()
	at := func(r *register.Registration) bool { return canonical(r.Issuer) == canonical(issuer) }
	if len(given) > 0 { // no other is used
		return slices.ContainsFunc(given, func(r *register.Registration) bool { return at(r) || first && r.Issuer == "" })
	}
	if k, err := load[keptClient](ctx, s.store(), clientRecord(issuer)); err != nil || k.value.Registration != nil {
		return true // one that cannot be read may be a client
	}
	return slices.ContainsFunc(s.cfg.Client.Kept, at)
}

// wantsProof reports whether the API wants tokens that are bound to a key: by the
// scheme of its challenge (RFC 9449 section 7.1) or by its metadata (RFC 9728 section 2).
func (s *Session) wantsProof(api *oauth.ProtectedResource, header http.Header) bool {
	_, proof := challenge.Find(header, "DPoP")
	var required bool
	_ = json.Unmarshal(api.Raw["dpop_bound_access_tokens_required"], &required) // anything else means no
	return !s.cfg.BearerOnly && (proof || required)
}

// provesKeys reports whether the authorization server binds tokens to keys of our kind (RFC
// 9449 section 5.1).
func provesKeys(m *oauth.Metadata) bool {
	var algs []string
	return m != nil && json.Unmarshal(m.Raw["dpop_signing_alg_values_supported"], &algs) == nil && slices.Contains(algs, "ES256")
}
