// Package register makes a program a client of an authorization server that it has
// never met, and manages what is registered (RFC 7592). [For] finds the way that server
// and program have in common: a client registered by hand, a document that the program has
// published (Client ID Metadata Documents, [Metadata.Document]), or dynamic client
// registration (RFC 7591, [Client]).
package register

import (
	"context"
	"net/http"
	"time"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

const opRegister = "register"

// Client makes this program a client of the server at issuer (dynamic client
// registration, RFC 7591). It looks the endpoint up in the server's metadata, as
// [oauth.Discover] does, unless cfg.Endpoints.Registration names it. Servers that
// register a client only with an initial access token are not supported; register there by
// hand.
//
// Every call makes another client. So register once, keep the [Registration], and
// begin anew only after Registration.SecretExpiresAt, or when the server no longer
// knows the client (invalid_client; [oauth.ErrClientSecretExpired] tells the two apart).
//
// Of cfg only Endpoints.Registration, AssumeEndpoints, HTTPClient, Timeout and Now are used; it needs no
// ClientID. Errors are of type [*oauth.Error], never oauth.ErrLoginRequired:
// [oauth.ErrMisconfigured] also that the server registers no clients, or not this one.
// It sends one POST, never repeated, and before it at most two requests for
// metadata.
func Client(ctx context.Context, issuer string, m Metadata, cfg oauth.Config) (*Registration, error) {
	body, err := m.withDefaults().encode(registeredAs{})
	if err != nil {
		return nil, misconfigured(opRegister, err)
	}
	sender := wire.NewSender(cfg.HTTPClient, cfg.Timeout, cfg.Now)
	endpoint, issuer, fail := findEndpoint(ctx, sender, issuer, cfg)
	if fail != nil {
		return nil, fail
	}
	a, fail := send(ctx, sender, opRegister, func(ctx context.Context) (*http.Request, error) {
		return wire.NewJSON(ctx, http.MethodPost, endpoint, body)
	})
	if fail != nil {
		return nil, fail
	}
	r, fail := judgeRegistration(a, m.AuthMethod)
	if fail != nil {
		return nil, fail
	}
	r.Issuer = issuer
	if wire.LeadsHere(r.ManagementURL, endpoint) {
		r.AccessToken, r.ManagementURL = "", ""
	}
	return r, nil
}

// findEndpoint returns where to register, as configured or as published,
// and the issuer.
func findEndpoint(ctx context.Context, sender *wire.Sender, issuer string, cfg oauth.Config) (endpoint, _ string, _ *oauth.Error) {
	endpoint = cfg.Endpoints.Registration
	var err error
	if endpoint == "" {
		doc, found, fail := publishedBy(ctx, sender, issuer, cfg)
		if fail != nil {
			return "", "", fail
		}
		issuer, endpoint = found, doc.Text("registration_endpoint")
		err = checkPublished(endpoint, issuer)
	} else {
		err = wire.CheckEndpoint("Config.Endpoints.Registration", endpoint)
	}
	if err != nil {
		fail := misconfigured(opRegister, err)
		fail.Hint = "register the client by hand and set Config.ClientID"
		return "", "", fail
	}
	return endpoint, issuer, nil
}

// checkPublished returns an error unless a client may be registered at the endpoint that the
// metadata of issuer names.
func checkPublished(endpoint, issuer string) error {
	return wire.CheckPublished("the server's registration_endpoint", endpoint, issuer)
}

// send sends the request that build makes.
func send(ctx context.Context, s *wire.Sender, op string, build func(context.Context) (*http.Request, error)) (*wire.Answer, *oauth.Error) {
	a, fail := s.Send(ctx, op, build)
	return a, (*oauth.Error)(fail)
}

// misconfigured returns the error for a call that cannot be made at all.
func misconfigured(op string, err error) *oauth.Error {
	return (*oauth.Error)(wire.Misconfigured(op, err))
}

// registrationHints say what to do about the error codes of RFC 7591 section
// 3.2.2, all of which mean that another attempt would be refused as well.
var registrationHints = map[string]string{
	"invalid_redirect_uri":          "the server does not like a redirect URI; some want one with a port, or on localhost",
	"invalid_client_metadata":       "the server does not like a value of register.Metadata",
	"invalid_software_statement":    "the server wants clients to be vouched for; register the client by hand",
	"unapproved_software_statement": "the server wants clients to be vouched for; register the client by hand",
}

// maxClientID is how long a client ID may be, which is part of the address that a person's
// browser opens.
const maxClientID = 4 << 10

// judgeRegistration reads the answer to a registration: exactly one of result and
// error. asked is how the client wanted to authenticate.
func judgeRegistration(a *wire.Answer, asked string) (*Registration, *oauth.Error) {
	fields := a.Fields()
	r := readRegistration(fields)
	if !r.SecretExpiresAt.After(a.Received) {
		r.SecretExpiresAt = time.Time{} // some servers tell a lifetime, and some have another clock
	}
	r.settle(asked)
	if wire.IsSuccess(a.Status) && member.UsableToken(r.ClientID) && len(r.ClientID) <= maxClientID {
		return r, nil
	}
	return nil, refusal(a, fields, registerHints)
}

// registerHints say what a refusal means whose code says nothing.
var registerHints = map[int]string{
	http.StatusUnauthorized: "the server does not let every program register itself; register the client by hand and set Config.ClientID",
	http.StatusForbidden:    "the server does not let every program register itself; register the client by hand and set Config.ClientID",
}

// refusal is InquiryFailure for requests about a client. hints are for
// refusals whose code says nothing, by status.
func refusal(a *wire.Answer, fields member.Fields, hints map[int]string) *oauth.Error {
	fail := (*oauth.Error)(a.InquiryFailure(fields))
	hint, known := registrationHints[fail.Code]
	if !known {
		hint, known = hints[a.Status]
	}
	if known && wire.IsRefusal(a.Status) && !fail.Page {
		fail.Kind, fail.Hint = oauth.ErrMisconfigured, hint
	}
	return fail
}
