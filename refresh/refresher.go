package refresh

import (
	"context"
	"net/http"
	"time"

	"github.com/evertoken/evertoken/oauth"
)

// A Refresher renews token pairs. *oauth.Client is one; so is anything else that
// can trade t's refresh token for a new pair in one attempt.
//
// Refresh must not modify t, must not repeat the spend by itself, and returns a
// complete pair (see TokenPair.Keeping). Its errors should be *oauth.Error: any
// other error counts as transient with an unknown outcome, and of its text nothing is
// shown or logged, but its type: it can hold the server's answer. errors.Is and errors.As
// still find it. A pair beside an error is used
// only with oauth.ErrDowngraded and oauth.ErrUnreadAnswer, and if it is t with a new refresh token beside an
// *oauth.Error, as of (*oauth.Client).Refresh. A pair whose access token no
// header can carry is an error of the same kind: its refresh token is kept.
//
// What else a Refresher can do is said by the interfaces below, each of which is
// optional: [ConfigIdentifier], [ServerNamer], [GraceTeller], [IdleLimiter], [Presenter], [Revoker], [LivingRevoker],
// [TokenlessRenewer], [GrantRenewer], [CertificateHolder].
type Refresher interface {
	Refresh(ctx context.Context, t *oauth.TokenPair) (*oauth.TokenPair, error)
}

// RefresherFunc makes a function a Refresher.
type RefresherFunc func(ctx context.Context, t *oauth.TokenPair) (*oauth.TokenPair, error)

// Refresh calls f.
func (f RefresherFunc) Refresh(ctx context.Context, t *oauth.TokenPair) (*oauth.TokenPair, error) {
	return f(ctx, t)
}

// A ConfigIdentifier is a Refresher that tells which configuration it refreshes with.
// What a server has said of a session under one configuration does not count under
// another.
type ConfigIdentifier interface {
	ConfigID() string
}

// A ServerNamer is a Refresher that names the authorization server that it asks. The
// sessions of a Pool that have it in common share its Limits, and processes that share a
// Store tell each other about it.
type ServerNamer interface {
	Server() string
}

// A GraceTeller is a Refresher that may know how long the server takes a spent refresh
// token again: the default of Config.Grace. Zero if it does not.
type GraceTeller interface {
	RefreshGrace() time.Duration
}

// An IdleLimiter is a Refresher that knows how long an unused refresh token lives: the
// default of Config.RefreshIdleLimit.
type IdleLimiter interface {
	RefreshIdleLimit() time.Duration
}

// A Presenter is a Refresher that knows how the APIs of its tokens want them: the default
// of Config.Presentation.
type Presenter interface {
	Presentation() oauth.Presentation
}

// A Revoker is a Refresher that may be able to end a session at the server
// ([Manager.Logout]). An error of Revoke that matches oauth.ErrNotRevoked says that the
// server never will.
type Revoker interface {
	CanRevoke() bool
	Revoke(ctx context.Context, t *oauth.TokenPair) error
}

// A LivingRevoker is a Revoker that may want an access token which lives, as backends do whose
// logout is one of their APIs. [Manager.Logout] first renews one that is dead, or of which the
// end is not known.
type LivingRevoker interface {
	Revoker
	RevokesByAccessToken() bool
}

// A TokenlessRenewer is a Refresher that may need neither a refresh token nor a pair
// before (client credentials), so that Refresh may get an empty one.
type TokenlessRenewer interface {
	RenewsWithoutRefreshToken() bool
}

// A GrantRenewer is a Refresher that needs no refresh token for pairs of some
// TokenPair.GrantType.
type GrantRenewer interface {
	RenewsGrant(grantType string) bool
}

// A CertificateHolder is a Refresher with a client certificate that access tokens may be
// bound to (RFC 8705 section 3). ResourceTransport presents it; nil if there is none.
// CertificateThumbprint is its x5t#S256.
type CertificateHolder interface {
	ResourceTransport() http.RoundTripper
	CertificateThumbprint() string
}
