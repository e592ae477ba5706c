package connect

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/register"
	"github.com/evertoken/evertoken/refresh"
)

// A Config describes a session with one API.
type Config struct {
	// URL is where the API is: the address of its requests, or one above them. A fragment is
	// left out, and user information refused. Required.
	URL string
	// Account tells sessions of several people with one API apart in a Store. Empty
	// is an account too.
	Account string

	// Client is how the program can be a client of the authorization server. A given
	// client without Issuer belongs to the first server that the API names; of several
	// servers the first is used that the program is a client of already. What the
	// program has become is kept in Refresh.Store; Client.Kept is for what it was before.
	Client register.Options

	// OAuth says how to reach the person and the authorization server: OpenBrowser,
	// Output, ReadRedirect, RedirectURL, HTTPClient, Timeout, OfflineAccess,
	// AssumeEndpoints and the like. Client ID and endpoints are found out. Scopes are
	// asked for in addition to those that the API names.
	OAuth oauth.Config
	// Login logs a person in by the client at the authorization server, as its
	// DeviceLogin does. Nil means by the browser (oauth.Client.Authenticate), where another
	// process can go on with a login whose process has died.
	Login func(ctx context.Context, client *oauth.Client) (*oauth.TokenPair, error)
	// LoginTimeout is how long a person is waited for. Zero or less means as long as the
	// Session is open.
	LoginTimeout time.Duration
	// OnOtherLogin is called when another process is logging in, for which this one
	// waits. It must not block.
	OnOtherLogin func()
	// Grant, if set, says how tokens are obtained without a person.
	Grant Grant

	// Refresh says how tokens are kept: Store, Logger, OnEvent and the like. OAuthClient,
	// Session, AllowedOrigins and OnInsufficientScope are set by the Session. Without a
	// Store, the session ends with the process.
	Refresh refresh.Config
	// Transport carries the requests to the API. Nil means http.DefaultTransport.
	Transport http.RoundTripper
	// BearerOnly asks for no tokens that are bound to a key (DPoP), for programs that
	// present tokens by themselves ([Session.Token]).
	BearerOnly bool
}

// String names the API and the account. What the fields hold is not shown: fmt would follow
// pointers in them, such as that of a Transport with tokens, for a verb that does not fit.
func (cfg Config) String() string {
	host := ""
	if u, err := url.Parse(cfg.URL); err == nil {
		host = u.Host
	}
	return fmt.Sprintf("connect.Config{%q account:%q}", host, cfg.Account)
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (cfg Config) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, cfg.String()) }

// LogValue implements slog.LogValuer.
func (cfg Config) LogValue() slog.Value { return slog.StringValue(cfg.String()) }

// A Grant returns what obtains tokens without a person, such as client's
// ClientCredentialsRefresher or JWTBearerRefresher, or nil where a person has to log in
// after all. client is the program's at the authorization server of api, with its scopes and
// its resource. An assertion that is shown there has client's issuer (Config().Issuer) for its
// audience, since an API can name a server that would use it elsewhere.
type Grant func(ctx context.Context, client *oauth.Client, api *oauth.ProtectedResource) (*oauth.GrantRefresher, error)
