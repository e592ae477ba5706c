package oauth

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// An IDTokenCheck is what Config.VerifyIDToken is asked about. It prints without
// the token.
type IDTokenCheck struct {
	// Token is the ID token, whose claims have been checked.
	Token string
	// Issuer, ClientID and JWKSURL are those of the Config; Issuer and JWKSURL
	// may be empty. JWKSURL is https, or http to a loopback address.
	Issuer, ClientID, JWKSURL string
	// HTTPClient sends requests like the Client's own: by the same transport, and
	// following no redirect. It is shared.
	HTTPClient *http.Client
}

// String describes the check without the token.
func (i IDTokenCheck) String() string {
	return fmt.Sprintf("oauth.IDTokenCheck{issuer:%q client:%q token:%s}", i.Issuer, i.ClientID, wire.Presence(i.Token))
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (i IDTokenCheck) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, i.String()) }

// LogValue implements slog.LogValuer.
func (i IDTokenCheck) LogValue() slog.Value { return slog.StringValue(i.String()) }
