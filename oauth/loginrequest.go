package oauth

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"time"

	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// A LoginRequest is one login on its way through the browser. A web application
// keeps it with the browser's session (it survives JSON), sends the browser to
// URL, and hands it to [Client.Exchange] when the browser comes back. It serves
// once.
//
// It prints redacted under every fmt verb and in slog: a reader of the
// verifier can redeem an intercepted code.
type LoginRequest struct {
	// URL is where to send the browser.
	URL string `json:"url"`
	// State ties the answer to this request (RFC 6749 section 10.12).
	State string `json:"state"`
	// Verifier is the PKCE code verifier (RFC 7636 section 4.1). Empty with
	// Config.DisablePKCE.
	Verifier string `json:"verifier"`
	// RedirectURL is where the browser comes back to.
	RedirectURL string `json:"redirect_url"`
	// Resources are the resource indicators asked for (RFC 8707). Exchange asks for
	// a token for the same ones, unless its ctx carries others.
	Resources []string `json:"resources,omitempty"`
	// ExpiresAt is until when the browser can be sent to URL, by the local clock.
	// Zero: no end is known.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// DPoPKey is what the tokens will be bound to, with Config.DPoP.
	DPoPKey DPoPKey `json:"dpop_key,omitzero"`
	// Nonce ties the ID token to this request (OpenID Connect Core section
	// 3.1.2.1). Empty without the scope openid.
	Nonce string `json:"nonce,omitempty"`
}

// String describes the request without state and verifier.
func (r LoginRequest) String() string {
	return fmt.Sprintf("oauth.LoginRequest{url:%q state:%s verifier:%s}",
		wire.WithoutQuery(r.URL), wire.Presence(r.State), wire.Presence(r.Verifier))
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (r LoginRequest) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, r.String()) }

// LogValue implements slog.LogValuer.
func (r LoginRequest) LogValue() slog.Value { return slog.StringValue(r.String()) }

// answeredBy reports whether the query is an answer to r: it carries r's state,
// or it is an error without any. Some servers leave state out of errors, and an
// error grants nothing.
func (r *LoginRequest) answeredBy(query url.Values) bool {
	state := query.Get("state")
	if !query.Has("state") && query.Get("error") != "" {
		return !query.Has("code")
	}
	return r.State != "" && subtle.ConstantTimeCompare([]byte(state), []byte(r.State)) == 1
}
