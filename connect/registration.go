package connect

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/drain"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/register"
	"github.com/evertoken/evertoken/tokenstore"
)

// A gone is a client that is good no longer: one that the server has forgotten, or, if until
// is set, the secret of one that has ended by then. The zero gone names nothing.
type gone struct {
	clientID string
	until    time.Time // the end that the secret has
}

func (g gone) isNone() bool { return g.clientID == "" }

// is reports whether r is what is gone.
func (g gone) is(r *register.Registration) bool {
	return !g.isNone() && r.ClientID == g.clientID && (g.until.IsZero() || r.SecretExpiresAt.Equal(g.until))
}

// errForgotten is the cause of a login's end before a window has opened: the server does
// not know the client.
var errForgotten = fmt.Errorf("connect: the authorization server does not know the client any more: %w", oauth.ErrClientRefused)

// keptAt returns the program's client at issuer of the given ID, or else another one: a given
// one or one in the Store, or nil. It sends nothing.
func (s *Session) keptAt(ctx context.Context, issuer, clientID string, cfg oauth.Config) (*register.Registration, error) {
	options := s.options(issuer)
	if len(options.Given) > 0 {
		r, err := register.For(ctx, issuer, options, cfg)
		if err != nil {
			return nil, nil // none of them is for this issuer
		}
		return r, nil
	}
	k, err := load[keptClient](ctx, s.store(), clientRecord(issuer))
	for _, r := range k.value.all(clientID) {
		if s.usable(r, gone{}, cfg) {
			return r, nil
		}
	}
	return nil, err
}

// clientOfPlace returns the client whose session was found last, or "".
func (s *Session) clientOfPlace(ctx context.Context, issuer string) (string, error) {
	k, err := load[place](ctx, s.store(), placeRecord(s.cfg.URL, s.cfg.Account))
	if p := k.value; canonical(p.issuer()) == canonical(issuer) {
		return p.ClientID, err
	}
	return "", err
}

// registration returns the program's client at issuer: a given one, one in the Store, or
// one that it becomes now, once for all processes, but for one that is gone. kept tells that
// the client was one before.
func (s *Session) registration(ctx context.Context, issuer string, lost gone, cfg oauth.Config) (r *register.Registration, kept bool, err error) {
	options := s.options(issuer)
	if len(options.Given) > 0 {
		r, err = register.For(ctx, issuer, options, cfg)
		return r, true, err
	}
	k, err := load[keptClient](ctx, s.store(), clientRecord(issuer))
	if err != nil {
		return nil, false, err
	}
	clientID, err := s.clientOfPlace(ctx, issuer)
	if err != nil {
		return nil, false, err
	}
	for _, r := range k.value.all(clientID) {
		if s.good(r, lost, options, cfg) {
			return r, true, nil
		}
	}
	return s.becomeClient(ctx, issuer, clientID, lost, options, cfg)
}

// good reports whether r can be used, and is not by a document in whose place the program
// publishes another, or none.
func (s *Session) good(r *register.Registration, lost gone, options register.Options, cfg oauth.Config) bool {
	return s.usable(r, lost, cfg) && (!r.Document || r.ClientID == options.DocumentURL)
}

// known returns one of the clients that the Store has for issuer, stored, or else one of the
// program's that is for this issuer; nil if none of them is good. Those in the Store are
// found by the name that the API has for the issuer, which may be another than the issuer's own.
func (s *Session) known(stored []*register.Registration, lost gone, issuer string, options register.Options, cfg oauth.Config) (r *register.Registration, isStored bool) {
	for _, r := range stored {
		if s.good(r, lost, options, cfg) {
			return r, true
		}
	}
	for _, r := range options.Kept {
		if s.good(r, lost, options, cfg) && canonical(r.Issuer) == canonical(issuer) {
			return r, false
		}
	}
	return nil, false
}

// becomeClient is registration for when the Store has none, with the lock of its record.
func (s *Session) becomeClient(ctx context.Context, issuer, clientID string, lost gone, options register.Options, cfg oauth.Config) (*register.Registration, bool, error) {
	name := clientRecord(issuer)
	unlock, err := s.lock(ctx, name)
	if err != nil {
		return nil, false, err
	}
	defer unlock()
	k, err := load[keptClient](ctx, s.store(), name)
	if err != nil {
		return nil, false, err
	}
	stored := k.value.all(clientID)
	save := func(ctx context.Context, r *register.Registration) error {
		return k.save(ctx, s.store(), k.value.with(r, func(o *register.Registration) bool { return !lost.is(o) }))
	}
	if r, isStored := s.known(stored, lost, issuer, options, cfg); r != nil {
		if !isStored {
			err = save(ctx, r)
		}
		return r, true, err
	}
	for _, had := range stored {
		if r, err := s.renewSecret(ctx, had, lost, cfg); r != nil || err != nil {
			if err == nil {
				err = save(context.WithoutCancel(ctx), r)
			}
			return r, true, err
		}
	}
	if checker, is := s.store().(tokenstore.Checker); is {
		// A client that cannot be kept would be another one with each start.
		if err := checker.Check(ctx, name); err != nil {
			return nil, false, fmt.Errorf("connect: a registration could not be kept: %w", err)
		}
	}
	options.Kept = nil
	if !cfg.AssumeEndpoints {
		issuer = metadataOf(issuer)
	}
	r, err := register.For(ctx, issuer, options, cfg)
	if err != nil {
		return nil, false, err
	}
	return r, false, save(context.WithoutCancel(ctx), r)
}

// renewSecret returns r with another secret in the place of one that has ended, from a server
// that gives such (RFC 7592 section 2.2), so that the session of the client goes on. It returns
// nil where there is nothing to renew, or the server does not do so: then only another client
// helps, and a login.
func (s *Session) renewSecret(ctx context.Context, r *register.Registration, lost gone, cfg oauth.Config) (*register.Registration, error) {
	forgotten := r != nil && lost.is(r) && lost.until.IsZero()
	if r == nil || r.ClientID == "" || forgotten || r.ClientSecret == "" || r.AccessToken == "" || r.ManagementURL == "" || !s.returns(r, cfg) {
		return nil, nil
	}
	m := s.cfg.Client.Metadata
	m.AuthMethod, m.RedirectURIs, m.GrantTypes = r.AuthMethod, r.RedirectURIs, r.GrantTypes
	next, err := r.Update(ctx, m, cfg)
	switch {
	case errors.Is(err, oauth.ErrTransient):
		return nil, err
	case err != nil || !s.usable(next, lost, cfg):
		return nil, nil
	}
	return next, nil
}

// usable reports whether a registration is one that this program can use.
func (s *Session) usable(r *register.Registration, lost gone, cfg oauth.Config) bool {
	return r != nil && r.ClientID != "" && !lost.is(r) && !s.secretEnded(r) && s.returns(r, cfg)
}

// secretEnded reports whether the server has said that r's secret is over by now.
func (s *Session) secretEnded(r *register.Registration) bool {
	return !r.SecretExpiresAt.IsZero() && !s.now().Before(r.SecretExpiresAt)
}

// returns reports whether logins by r return to where this program listens.
func (s *Session) returns(r *register.Registration, cfg oauth.Config) bool {
	// A login by another program returned elsewhere.
	return cfg.RedirectURL == "" || len(r.RedirectURIs) == 0 || slices.ContainsFunc(r.RedirectURIs, func(uri string) bool {
		return uri == cfg.RedirectURL || isWithoutPort(uri, cfg.RedirectURL)
	})
}

// isWithoutPort reports whether uri is that of a login but for the port, which servers leave
// open for loopback addresses (RFC 8252 section 7.3).
func isWithoutPort(uri, redirectURL string) bool {
	before, after, found := strings.Cut(redirectURL, "://")
	if !found || before != "http" {
		return false
	}
	host, path, _ := strings.Cut(after, "/")
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host = host[:i]
	}
	return uri == "http://"+host+"/"+path
}

// options returns the ways to be a client at issuer, after binding given clients without an
// issuer to this one if it is the first, and those that name it in another spelling.
func (s *Session) options(issuer string) register.Options {
	s.mu.Lock()
	defer s.mu.Unlock()
	given := slices.Clone(s.given)
	for i, r := range given {
		if r.Issuer == "" || canonical(r.Issuer) == canonical(issuer) {
			bound := *r
			bound.Issuer, given[i] = issuer, &bound
		}
	}
	s.given = given
	options := s.cfg.Client
	options.Given = given
	return options
}

// lock takes a lock of the Store's, if it has any, and returns how to release it.
func (s *Session) lock(ctx context.Context, name string) (unlock func(), err error) {
	locker, is := s.store().(tokenstore.Locker)
	if !is {
		return func() {}, nil
	}
	lease, err := locker.Lock(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return func() { _ = lease.Unlock() }, nil
}

// isHeld reports whether a lock is held now.
func (s *Session) isHeld(ctx context.Context, name string) bool {
	ctx, cancel := context.WithTimeout(ctx, lookAtLock)
	defer cancel()
	unlock, err := s.lock(ctx, name)
	if err != nil {
		return errors.Is(err, tokenstore.ErrLocked)
	}
	unlock()
	return false
}

// isRegistered reports whether a client is one that the server has made and may forget. One
// with a document is known wherever the document can be read.
func (s *Session) isRegistered(r *register.Registration) bool {
	return len(s.cfg.Client.Given) == 0 && r.ClientID != s.cfg.Client.DocumentURL
}

// checkKnown asks the authorization endpoint for the page that a person is about to see,
// since a client that the server has forgotten shows in nothing but the browser, which
// would never come back (RFC 6749 section 4.1.2.1). What is not a clear refusal counts as
// known, and so does a client whose address is refused for what the API wants: an API must
// not cost others, whose sessions are of the same client, a login.
func (s *Session) checkKnown(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	if s.refusesPage(ctx, address) && s.refusesPage(ctx, withoutWishes(address)) {
		return errForgotten
	}
	return nil
}

// withoutWishes returns the address of a login that asks for nothing in particular.
func withoutWishes(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	query := u.Query()
	maps.DeleteFunc(query, func(name string, _ []string) bool {
		return !slices.Contains([]string{"response_type", "client_id", "redirect_uri", "state", "code_challenge", "code_challenge_method", "request_uri"}, name)
	})
	u.RawQuery = query.Encode()
	return u.String()
}

// refusesPage reports whether the authorization endpoint clearly refuses an address.
func (s *Session) refusesPage(ctx context.Context, address string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return false
	}
	req.Header.Set("Accept", "text/html")
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if s.cfg.OAuth.HTTPClient != nil {
		client.Transport = s.cfg.OAuth.HTTPClient.Transport
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	drain.Response(resp)
	return resp.StatusCode == http.StatusBadRequest || resp.StatusCode == http.StatusUnauthorized
}
