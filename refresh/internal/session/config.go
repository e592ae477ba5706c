package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/gate"
	"github.com/evertoken/evertoken/refresh/internal/reach"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
	"github.com/evertoken/evertoken/refresh/internal/witness"
	"github.com/evertoken/evertoken/tokenstore"
)

// A Config is what a session works with. It is not modified, so that sessions share it.
// What has a name of refresh.Config is described there.
type Config struct {
	Refresh    func(ctx context.Context, t *oauth.TokenPair) (*oauth.TokenPair, error)
	Revoke     func(ctx context.Context, t *oauth.TokenPair) error // nil: not possible
	TokenStore func(ctx context.Context, t *oauth.TokenPair) error // nil: none

	Store   tokenstore.Store   // nil: none
	Records tokenstore.Store   // Store, for Get and Set: with times by the host's clock
	Locker  tokenstore.Locker  // Store, if it is one
	Stamper tokenstore.Stamper // Store, if it is one
	Spender tokenstore.Spender // Records, if Store and it are one

	Reach   *reach.Line   // to the Store
	Witness *witness.Book // what this machine knows of spent tokens; nil: nothing
	Dir     string        // where the Store is, if it is a tokenstore.Local; empty: it is not
	Place   string        // see tokenstore.Record.Places; empty: not known

	Gate   *gate.Gate
	Clock  clock.Clock
	Logger *slog.Logger

	LocalWhenUnavailable bool
	ShortLived           bool
	Follower             bool
	Paused               bool // nothing is renewed
	OnDemand             bool // nothing is renewed before a caller asks for the token

	RefreshThreshold time.Duration
	CheckInterval    time.Duration
	RefreshTimeout   time.Duration
	MaxWait          time.Duration
	RefreshIdleLimit time.Duration

	Grace time.Duration

	Problem  error // of the configuration; nothing starts with one
	ConfigID string
	// Tokenless: the Refresher obtains pairs without a refresh token, whatever there was
	// before. Otherwise RenewsGrant tells of which grants it does so.
	Tokenless   bool
	RenewsGrant func(grantType string) bool
}

// ShareStore lets sessions with c know what those with other know of the Store, which is the
// same: whether it answers, and what time it is there.
func (c *Config) ShareStore(other *Config) {
	c.Reach, c.Records, c.Locker, c.Stamper = other.Reach, other.Records, other.Locker, other.Stamper
	if c.Spender != nil {
		c.Spender, _ = c.Records.(tokenstore.Spender)
	}
}

// timing returns what the configuration and the pair alone say.
func (c *Config) timing(pair *oauth.TokenPair) schedule.Timing {
	return schedule.Timing{
		Issued:         pair.IssuedAt,
		Expires:        pair.ExpiresAt,
		RefreshExpires: pair.RefreshExpiresAt,
		Hint:           pair.RefreshAt,
		Renewable:      !c.Follower && c.renews(pair),
		Elsewhere:      c.Follower || c.Paused,
		Threshold:      c.RefreshThreshold,
		Idle:           c.RefreshIdleLimit,
		Seldom:         c.ShortLived,
	}
}

// Some sessions need neither a refresh token nor a person: their pairs are asked for
// anew, by client credentials or token exchange. No grant of theirs can be over, and
// no login brings one back, so they never end by themselves.

// renews reports whether OAuthClient can renew a pair.
func (c *Config) renews(t *oauth.TokenPair) bool { return t.RefreshToken != "" || c.asksAnew(t) }

// asksAnew reports whether OAuthClient renews a pair without a refresh token.
func (c *Config) asksAnew(t *oauth.TokenPair) bool {
	return c.Tokenless || t.RefreshToken == "" && t.GrantType != "" && c.RenewsGrant(t.GrantType)
}

// endedBy reports whether a record says that its session has ended.
func (c *Config) endedBy(rec *tokenstore.Record) bool {
	return rec.Condemned(c.ConfigID) && !c.asksAnew(rec.Tokens)
}

// toldDead is the verdict on a session that a record tells.
func toldDead(rec *tokenstore.Record) error {
	return &oauth.Error{Op: "refresh", Kind: oauth.ErrLoginRequired, Code: rec.Dead.Code}
}

// checkRenewable returns an error for a pair that can be asked for anew, but not by
// OAuthClient. Without it such a session would die at its first renewal. A login
// without a refresh token is another matter: it cannot be renewed, and it is good
// until it ends.
func (c *Config) checkRenewable(t *oauth.TokenPair) error {
	if c.renews(t) || c.Follower || c.Paused {
		return nil
	}
	switch t.GrantType {
	case oauth.GrantTypeClientCredentials:
		return fmt.Errorf("Config.OAuthClient cannot renew a pair from client credentials; "+
			"use a *oauth.Client, or its ClientCredentialsRefresher: %w", oauth.ErrMisconfigured)
	case oauth.GrantTypeTokenExchange:
		return fmt.Errorf("Config.OAuthClient cannot renew a pair from a token exchange; "+
			"use (*oauth.Client).TokenExchangeRefresher, which knows what to exchange: %w", oauth.ErrMisconfigured)
	case oauth.GrantTypeJWTBearer:
		return fmt.Errorf("Config.OAuthClient cannot renew a pair that an assertion gave; use JWTBearerRefresher or "+
			"IdentityAssertionRefresher of *oauth.Client, which ask for the next one: %w", oauth.ErrMisconfigured)
	}
	return nil
}

// withoutLogin returns a failure to renew pair as one that no login to this session
// mends, if pair is asked for anew. The cause is kept as text, because errors.Is
// would find the other session's verdict in it.
func (c *Config) withoutLogin(pair *oauth.TokenPair, err error) error {
	if !c.asksAnew(pair) || !errors.Is(err, oauth.ErrLoginRequired) {
		return err
	}
	return &oauth.Error{Op: "refresh", Kind: oauth.ErrMisconfigured, Err: errors.New(err.Error()),
		Hint: "what this session's tokens are obtained with needs a login of its own; the session goes on after that"}
}
