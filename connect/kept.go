package connect

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/register"
	"github.com/evertoken/evertoken/tokenstore"
)

// keptField is the field of our records in a Store.
const keptField = "connect"

// A kept is a record of ours in the Store: what is in it, and its version, zero if there
// is none.
type kept[T any] struct {
	name    string
	version uint64
	value   T
	plain   tokenstore.Discarder // deletes what lies there in the clear; nil if nothing does
}

// load reads a record of ours. One that cannot be read counts as none: what is in it can be
// found out again. So does one in the clear where all are sealed, since any writer to the
// directory can leave that. One whose key is not at hand does not: the key may come back.
func load[T any](ctx context.Context, store tokenstore.Store, name string) (kept[T], error) {
	k := kept[T]{name: name}
	rec, err := store.Get(ctx, name)
	switch {
	case errors.Is(err, tokenstore.ErrNotFound), errors.Is(err, tokenstore.ErrDamaged):
		return k, nil
	case errors.Is(err, tokenstore.ErrNotSealed):
		var is bool
		if k.plain, is = store.(tokenstore.Discarder); is {
			return k, nil
		}
	}
	if err != nil {
		return k, fmt.Errorf("connect: %w", err)
	}
	k.version = rec.Version
	var value T
	if json.Unmarshal(rec.Unknown[keptField], &value) == nil {
		k.value = value
	}
	return k, nil
}

// save replaces the record by one with the given value.
func (k *kept[T]) save(ctx context.Context, store tokenstore.Store, value T) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if k.plain != nil {
		if err := k.plain.Discard(ctx, k.name); err != nil && !errors.Is(err, tokenstore.ErrNotFound) {
			return fmt.Errorf("connect: %w", err)
		}
		k.plain = nil
	}
	rec := &tokenstore.Record{Version: k.version, Unknown: map[string]json.RawMessage{keptField: raw}}
	version, err := store.Set(ctx, k.name, rec)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	k.version, k.value = version, value
	return nil
}

// update is save for a record that has no lock: what other processes have written since is
// replaced.
func update[T any](ctx context.Context, store tokenstore.Store, name string, value T) error {
	for {
		k, err := load[T](ctx, store, name)
		if err == nil {
			err = k.save(ctx, store, value)
		}
		if !errors.Is(err, tokenstore.ErrConflict) {
			return err
		}
	}
}

// The names of our records. Listings of sessions leave them out.

func clientRecord(issuer string) string {
	return tokenstore.ServerRecord("connect: client at " + canonical(issuer))
}

func placeRecord(address, account string) string {
	return tokenstore.ServerRecord("connect: session of " + canonical(address) + "\x00" + account)
}

func loginRecord(session string) string {
	return tokenstore.ServerRecord("connect: login of " + session)
}

// A keptClient is what the program is at an authorization server: the newest client, and others
// that logins which return elsewhere have made, with sessions of their own.
type keptClient struct {
	Registration *register.Registration   `json:"registration,omitempty"`
	Others       []*register.Registration `json:"others,omitempty"`
}

// maxClients is how many clients are kept of one server. Each is a pair of a redirect URL that the
// program, or a person, has chosen and the server.
const maxClients = 8

// all returns the clients, that of the given ID first.
func (k keptClient) all(first string) []*register.Registration {
	var list []*register.Registration
	for _, r := range append([]*register.Registration{k.Registration}, k.Others...) {
		switch {
		case r == nil:
		case r.ClientID == first:
			list = slices.Insert(list, 0, r)
		default:
			list = append(list, r)
		}
	}
	return list
}

// with returns k with r as the newest client, and without those that are good no longer.
func (k keptClient) with(r *register.Registration, isGood func(*register.Registration) bool) keptClient {
	others := slices.DeleteFunc(k.all(""), func(o *register.Registration) bool { return o.ClientID == r.ClientID || !isGood(o) })
	return keptClient{r, others[:min(len(others), maxClients-1)]}
}

// A place is where the session with an API was found to be.
type place struct {
	// Session is the session's name, and ClientID the client that its pair belongs to.
	Session  string `json:"session,omitempty"`
	ClientID string `json:"client_id,omitempty"`
	Resource string `json:"resource,omitempty"`
	// Issuer is the authorization server, by the name that it gives itself, and Named by
	// that which the API has for it.
	Issuer string `json:"issuer,omitempty"`
	Named  string `json:"named,omitempty"`
	// Metadata is where a challenge of the API's said that its metadata is.
	Metadata string `json:"metadata,omitempty"`

	Scopes  []string `json:"scopes,omitempty"`
	DPoP    bool     `json:"dpop,omitempty"`
	Assumed bool     `json:"assumed,omitempty"` // by oauth.Config.AssumeEndpoints
	endpoints

	// Lost is since when the token endpoint cannot be reached, zero if it can, and Looked when
	// the issuer was last asked whether its endpoints have moved.
	Lost   time.Time `json:"lost,omitzero"`
	Looked time.Time `json:"looked,omitzero"`

	RequireIss        bool       `json:"require_iss,omitempty"`
	RequirePushedAuth bool       `json:"require_pushed_auth,omitempty"`
	AuthParams        url.Values `json:"auth_params,omitempty"`
}

// placeOf returns what to keep of a login.
func placeOf(l *login) place {
	cfg := l.client.Config()
	return place{
		Session: l.session, ClientID: cfg.ClientID, Resource: l.resource, Issuer: cfg.Issuer, Named: l.issuer,
		Scopes: cfg.Scopes, DPoP: cfg.DPoP, Assumed: cfg.AssumeEndpoints, endpoints: endpointsOf(l.moving.config()),
		RequireIss: cfg.RequireIss, RequirePushedAuth: cfg.RequirePushedAuth, AuthParams: cfg.AuthParams,
	}
}

// config returns cfg with what was kept.
func (p place) config(cfg oauth.Config) oauth.Config {
	cfg.Issuer, cfg.Scopes, cfg.Resources = p.Issuer, p.Scopes, []string{p.Resource}
	cfg.DPoP, cfg.AssumeEndpoints = p.DPoP, p.Assumed
	cfg.RequireIss, cfg.RequirePushedAuth, cfg.AuthParams = p.RequireIss, p.RequirePushedAuth, p.AuthParams
	return p.endpoints.in(cfg)
}

// movedTo returns p with the endpoints that the issuer has published since.
func (p place) movedTo(cfg oauth.Config) place {
	p.endpoints, p.Lost = endpointsOf(cfg), time.Time{}
	p.RequireIss, p.RequirePushedAuth, p.Assumed = cfg.RequireIss, cfg.RequirePushedAuth, cfg.AssumeEndpoints
	return p
}

// issuer returns the authorization server by the name that the API has for it.
func (p place) issuer() string { return cmp.Or(p.Named, p.Issuer) }

// An attempt is the latest login of a session: who began it, and how it ended, unless a
// session came of it or its process has died.
type attempt struct {
	// Host is where it returns to, ClientID whose it is.
	Host     string              `json:"host,omitempty"`
	ClientID string              `json:"client_id,omitempty"`
	Wants    string              `json:"wants,omitempty"` // what it asks for
	Request  *oauth.LoginRequest `json:"request,omitempty"`
	Began    time.Time           `json:"began,omitzero"`
	// Ended is the word that it ended with.
	Ended string `json:"ended,omitempty"`
}

// What an attempt can have ended with.
const (
	endedRefused = "refused" // by the person
	endedLate    = "late"    // the person was waited for in vain
	endedFailed  = "failed"
	endedDone    = "done"
)

// open reports whether a login was begun of which no end is known.
func (a attempt) open() bool { return a.Ended == "" && !a.Began.IsZero() }

// resumableFor is how long after its beginning a login is gone on with. Pages of servers do
// not stay good for longer.
const resumableFor = time.Hour

// resumable returns the request that a process can go on with which would begin by, or nil.
func (a attempt) resumable(by attempt) *oauth.LoginRequest {
	age := by.Began.Sub(a.Began)
	if !a.open() || a.Request == nil || a.ClientID != by.ClientID || a.Wants != by.Wants || a.Host != by.Host || age < 0 || age > resumableFor {
		return nil
	}
	return a.Request
}

// attemptOf returns a login that begins now.
func attemptOf(cfg oauth.Config, now time.Time) attempt {
	return attempt{Host: host(), ClientID: cfg.ClientID, Wants: wantsOf(cfg), Began: now}
}

// wantsOf returns what logins of cfg ask for, as one text.
func wantsOf(cfg oauth.Config) string {
	return strings.Join(cfg.Scopes, " ") + "?" + cfg.AuthParams.Encode()
}

// host tells machines, and containers, apart: a login returns to its own.
func host() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

var errLate = errors.New("the login was not completed in time")

// failure returns what a login that another process has tried tells this one.
func (a attempt) failure() error {
	const text = "connect: the login in another process has ended without a session: %w"
	switch a.Ended {
	case endedRefused:
		return fmt.Errorf(text, oauth.ErrAccessDenied)
	case endedLate:
		return fmt.Errorf(text, errLate)
	}
	return fmt.Errorf(text, oauth.ErrLoginRequired)
}

// endOf returns the word for the end of a login, or false if that is not an end: this process
// leaves, and another one may go on.
func endOf(ctx context.Context, err error) (word string, ended bool) {
	switch {
	case err == nil:
		return endedDone, true
	case errors.Is(err, oauth.ErrAccessDenied):
		return endedRefused, true
	case errors.Is(context.Cause(ctx), errLate):
		return endedLate, true
	case ctx.Err() != nil, errors.Is(err, oauth.ErrClientRefused): // goes on as another client
		return "", false
	}
	return endedFailed, true
}

// leavesCode reports whether the code of a login that has failed was certainly not redeemed: it
// has not arrived, or the server has not looked at it.
func leavesCode(err error) bool {
	fail, is := errors.AsType[*oauth.Error](err)
	if !is || fail.Op != "exchange" || !errors.Is(fail, oauth.ErrTransient) {
		return false
	}
	return !fail.Sent || fail.Status == http.StatusTooManyRequests || fail.Status == http.StatusServiceUnavailable
}

// keepsCode reports whether a has a code that the next process, or the next call, can redeem
// although err was the end of this attempt: the person has logged in.
func (a attempt) keepsCode(err error) bool {
	return a.Request != nil && a.Request.Answer != nil && leavesCode(err)
}
