package register

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// Operations on a registration, as they are named in errors.
const (
	opReadRegistration   = "read_registration"
	opUpdateRegistration = "update_registration"
	opDeleteRegistration = "delete_registration"
)

var (
	errUnmanaged   = errors.New("the registration has no registration_access_token and registration_client_uri; the server does not let clients manage themselves")
	errOtherClient = errors.New("the answer is about another client")
)

// Read asks the server for the registration as it stands (RFC 7592 section 2.1).
//
// The server may have given it another access token or secret, and taken the old
// ones back: save the result in the place of r, which is not modified. What the
// answer omits is kept from r.
//
// Of cfg only HTTPClient, Timeout and Now are used. It sends one request. Errors
// are of type [*oauth.Error], never oauth.ErrLoginRequired: [oauth.ErrMisconfigured] also that the
// server does not know the client any more, or does not take r.AccessToken; then
// register again.
func (r *Registration) Read(ctx context.Context, cfg oauth.Config) (*Registration, error) {
	return r.manage(ctx, opReadRegistration, cfg, r.AuthMethod, func(ctx context.Context) (*http.Request, error) {
		return wire.NewBodiless(ctx, http.MethodGet, r.ManagementURL, "")
	})
}

// Update replaces what the server knows of the client by m, in whole: members that
// m leaves out are defaults or gone (RFC 7592 section 2.2). It is also how a client
// gets another secret when its own has ended, from servers that do so.
//
// The result takes the place of r, like that of [Registration.Read], and errors are
// the same. An Error that is [oauth.Error.Unknown] leaves open whether the server has
// changed anything; if Read fails after it, the access token is lost.
func (r *Registration) Update(ctx context.Context, m Metadata, cfg oauth.Config) (*Registration, error) {
	m.AuthMethod = cmp.Or(m.AuthMethod, r.AuthMethod)
	body, err := m.withDefaults().encode(registeredAs{r.ClientID, r.ClientSecret})
	if err != nil {
		return nil, misconfigured(opUpdateRegistration, err)
	}
	return r.manage(ctx, opUpdateRegistration, cfg, m.AuthMethod, func(ctx context.Context) (*http.Request, error) {
		return wire.NewJSON(ctx, http.MethodPut, r.ManagementURL, body)
	})
}

// Delete ends the client at the server, and with it what was granted to the client
// (RFC 7592 section 2.3): revoke or delete its sessions first. Errors are those of
// [Registration.Read].
func (r *Registration) Delete(ctx context.Context, cfg oauth.Config) error {
	a, fail := r.ask(ctx, opDeleteRegistration, cfg, func(ctx context.Context) (*http.Request, error) {
		return wire.NewBodiless(ctx, http.MethodDelete, r.ManagementURL, "")
	})
	if fail == nil && !wire.IsSuccess(a.Status) {
		fail = refusal(a, a.Fields(), manageHints)
	}
	if fail != nil {
		return fail
	}
	return nil
}

// manage sends a request that is answered by the registration. asked is how the
// client wants to authenticate.
func (r *Registration) manage(ctx context.Context, op string, cfg oauth.Config, asked string, build func(context.Context) (*http.Request, error)) (*Registration, error) {
	a, fail := r.ask(ctx, op, cfg, build)
	if fail != nil {
		return nil, fail
	}
	next, fail := judgeManaged(a, r, asked)
	if fail != nil {
		return nil, fail
	}
	if wire.LeadsHere(next.ManagementURL, r.ManagementURL) {
		next.ManagementURL = r.ManagementURL
	}
	return next, nil
}

// ask sends the request that build makes, with the registration access token.
func (r *Registration) ask(ctx context.Context, op string, cfg oauth.Config, build func(context.Context) (*http.Request, error)) (*wire.Answer, *oauth.Error) {
	if !member.UsableToken(r.AccessToken) || r.ManagementURL == "" {
		return nil, misconfigured(op, errUnmanaged)
	}
	if err := wire.CheckEndpoint("Registration.ManagementURL", r.ManagementURL); err != nil {
		return nil, misconfigured(op, err)
	}
	return send(ctx, wire.NewSender(cfg.HTTPClient, cfg.Timeout, cfg.Now), op, func(ctx context.Context) (*http.Request, error) {
		req, err := build(ctx)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+r.AccessToken)
		return req, nil
	})
}

// judgeManaged reads what a server says of old: exactly one of its successor and
// error. asked is how the client wanted to authenticate.
func judgeManaged(a *wire.Answer, old *Registration, asked string) (*Registration, *oauth.Error) {
	fields := a.Fields()
	r := readRegistration(fields)
	switch {
	case wire.IsSuccess(a.Status) && r.ClientID == old.ClientID:
		r.keep(old)
		if r.ClientSecret == "" && asked != authNone {
			r.ClientSecret, r.SecretExpiresAt = old.ClientSecret, old.SecretExpiresAt
		}
		r.settle(asked)
		return r, nil
	case wire.IsSuccess(a.Status) && r.ClientID != "":
		return nil, &oauth.Error{Op: a.Op, Kind: oauth.ErrMisconfigured, Status: a.Status, Sent: true, Err: errOtherClient}
	}
	return nil, refusal(a, fields, manageHints)
}

// manageHints say what refusals mean that no other request helps against.
var manageHints = map[int]string{
	// RFC 7592 section 2.1: also for clients that are gone.
	http.StatusUnauthorized:     "the server does not know the client or its registration access token any more; register again",
	http.StatusForbidden:        "the server does not let this client do so itself",
	http.StatusMethodNotAllowed: "the server does not let clients do so themselves",
}
