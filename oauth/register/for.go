package register

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/internal/metadata"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// Options are the ways in which a program can be a client of a server that it may never
// have met. The zero value registers the program with each server. Options print, and are
// logged, without what clients have that is secret.
type Options struct {
	// Given are clients that a person has registered by hand, each for the server that its
	// Issuer names. Where there is any, nothing else is tried.
	Given []*Registration
	// Kept are what earlier calls have returned.
	Kept []*Registration
	// DocumentURL is where the program's [Metadata.Document] is published. Empty means
	// nowhere.
	DocumentURL string
	// Metadata describes the program to servers that it registers with. If AuthMethod is
	// empty, it is the first of none, client_secret_basic and client_secret_post that the
	// server lists.
	Metadata Metadata
}

// String counts the clients and names the program.
func (o Options) String() string {
	return fmt.Sprintf("register.Options{given:%d kept:%d document:%q program:%q}", len(o.Given), len(o.Kept), o.DocumentURL, o.Metadata.ClientName)
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (o Options) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, o.String()) }

// LogValue implements slog.LogValuer. Without it, a handler that writes JSON would write the
// form in which a [Registration] is kept, with its secret.
func (o Options) LogValue() slog.Value { return slog.StringValue(o.String()) }

// For returns this program's client at issuer, in the order of the Model Context Protocol: the
// one that is given for this server; the one that was kept; the address of the program's document, if
// the server takes such (client_id_metadata_document_supported); a new one by dynamic
// registration (see [Client]). Keep what it returns, and hand it over the next time.
//
// A client is good at its own issuer alone, so a server that has taken another's place
// gets a registration of its own, and never sees the other's client or secret. If all that
// is given is for other servers, that is [oauth.ErrMisconfigured]: only a person can tell
// whether the new server is one to register with. A kept one is passed over when
// its secret has ended, and where the program has published a document that it was not
// made of.
//
// Of cfg only AssumeEndpoints, Endpoints.Registration, IssuerTemplate, HTTPClient, Timeout
// and Now are used; it needs no ClientID. Errors are those of [Client]. It sends nothing for a
// client that is given or kept, otherwise at most two requests for metadata, and at most one POST.
func For(ctx context.Context, issuer string, o Options, cfg oauth.Config) (*Registration, error) {
	if r := o.known(issuer, cfg); r != nil {
		return r, nil
	}
	if len(o.Given) > 0 {
		fail := misconfigured(opRegister, fmt.Errorf("%w: it is for %q, and the server is now %q",
			errOtherServer, metadata.PrintableIssuer(o.Given[0].Issuer), metadata.PrintableIssuer(issuer)))
		fail.Hint = "ask the API's maker whether the server has changed, and register the client there"
		return nil, fail
	}
	sender := wire.NewSender(cfg.HTTPClient, cfg.Timeout, cfg.Now)
	doc, found, fail := publishedBy(ctx, sender, issuer, cfg)
	if fail != nil {
		return nil, fail
	}
	if r := o.known(found, cfg); r != nil { // issuer was the address of the metadata
		return r, nil
	}
	if o.DocumentURL != "" && doc.Says("client_id_metadata_document_supported") {
		if !isDocumentURL(o.DocumentURL) {
			return nil, misconfigured(opRegister, errDocumentURL)
		}
		m := o.Metadata.withDefaults()
		return &Registration{Issuer: found, ClientID: o.DocumentURL, Document: true, AuthMethod: authNone, RedirectURIs: m.RedirectURIs, GrantTypes: m.GrantTypes}, nil
	}
	m := o.Metadata
	if m.AuthMethod == "" {
		m.AuthMethod = offered(doc.List("token_endpoint_auth_methods_supported"))
	}
	if cfg.Endpoints.Registration == "" {
		endpoint := doc.Text("registration_endpoint")
		if endpoint == "" {
			return nil, registersNobody()
		}
		if err := checkPublished(endpoint, found); err != nil {
			return nil, misconfigured(opRegister, err)
		}
		cfg.Endpoints.Registration = endpoint
	}
	return Client(ctx, found, m, cfg)
}

var (
	errOtherServer = errors.New("the client that is given belongs to another server")
	errNoWay       = errors.New("the server registers no clients")
)

func registersNobody() *oauth.Error {
	fail := misconfigured(opRegister, errNoWay)
	fail.Hint = "register the client by hand and set Config.ClientID"
	return fail
}

// known returns the client that o has for issuer, or nil.
func (o Options) known(issuer string, cfg oauth.Config) *Registration {
	is := func(r *Registration) bool {
		return r != nil && r.ClientID != "" && metadata.SameIssuer(r.Issuer, issuer)
	}
	if i := slices.IndexFunc(o.Given, is); i >= 0 {
		return o.Given[i]
	}
	if len(o.Given) > 0 || issuer == "" {
		return nil
	}
	for _, r := range o.Kept {
		stale := is(r) && r.Document && r.ClientID != o.DocumentURL
		if is(r) && !stale && !r.secretEnded(cfg) {
			return r
		}
	}
	return nil
}

// secretEnded reports whether the server has said that r's secret is over by now.
func (r *Registration) secretEnded(cfg oauth.Config) bool {
	return !r.SecretExpiresAt.IsZero() && !now(cfg).Before(r.SecretExpiresAt)
}

// offered returns how a program without preference authenticates where the server lists
// these methods. One that people install has no use for a secret, but a server may know
// nothing else.
func offered(methods []string) string {
	for _, method := range []string{authNone, authBasic, authPost} {
		if slices.Contains(methods, method) {
			return method
		}
	}
	return authNone
}

// publishedBy returns what the server publishes, or what oauth.Config.AssumeEndpoints makes up
// for it, and its issuer.
func publishedBy(ctx context.Context, sender *wire.Sender, issuer string, cfg oauth.Config) (member.Fields, string, *oauth.Error) {
	if cfg.AssumeEndpoints {
		doc, found, _, fail := metadata.FindOrAssume(ctx, sender, issuer, cfg.IssuerTemplate)
		return doc, found, (*oauth.Error)(fail)
	}
	doc, found, fail := metadata.Find(ctx, sender, issuer, cfg.IssuerTemplate)
	return doc, found, (*oauth.Error)(fail)
}

func now(cfg oauth.Config) time.Time {
	if cfg.Now != nil {
		return cfg.Now()
	}
	return time.Now()
}
