package oauthtest

import (
	"errors"

	"github.com/evertoken/evertoken/internal/authserver"
	"github.com/evertoken/evertoken/internal/authserver/client"
	"github.com/evertoken/evertoken/internal/authserver/grant"
	"github.com/evertoken/evertoken/internal/authserver/resource"
	"github.com/evertoken/evertoken/internal/authserver/session"
	"github.com/evertoken/evertoken/internal/authserver/signin"
	"github.com/evertoken/evertoken/internal/authserver/site"
)

// parts tells each part of the server what it has to know of the configuration.
func (cfg Config) parts(url string) authserver.Config {
	q := cfg.Quirks
	parts := authserver.Config{
		Site:  site.Site{Origin: url, Path: cfg.IssuerPath, AtRoot: cfg.API.MetadataAtRoot},
		Now:   cfg.Now,
		Users: cfg.Users,
		Own:   client.Client{ID: cfg.ClientID, Secret: cfg.ClientSecret},

		Session: cfg.sessions(),
		SignIn: signin.Config{
			DefaultScope:        cfg.DefaultScope,
			ExactRedirectPort:   cfg.ExactRedirectPort,
			RequirePushedAuth:   cfg.RequirePushedAuth,
			ErrorsWithoutState:  q.ErrorsWithoutState,
			DeniedOnPage:        q.DeniedOnPage,
			OfflineNeedsConsent: q.OfflineNeedsConsent,
		},
		Grant: grant.Config{
			DefaultScope:               cfg.DefaultScope,
			RequireDPoP:                cfg.RequireDPoP,
			DevicePending:              q.DevicePending,
			DeviceCodeTwiceEndsSession: q.DeviceCodeTwiceEndsSession,
			UnknownRevocationFails:     q.UnknownRevocationFails,
			DeadRefresh:                q.DeadRefresh.instead(),
			Trusted:                    trusted(cfg.TrustedIssuers),
			ClientsElsewhere:           cfg.ClientsElsewhere,
		},
		Resource: resource.Config{
			ResourceScope: cfg.ResourceScope,
			ExactScheme:   q.ExactScheme,
			PostOnly:      cfg.API.PostOnly,
			Silent:        cfg.API.NoMetadata,
			Unannounced:   cfg.API.NoMetadataInChallenge,
			ByOrigin:      cfg.API.ResourceIsOrigin,
			DeadAccess:    q.DeadAccess.instead(),
		},
		Backends: cfg.Backends.parts(),

		FetchClient:           cfg.FetchClient,
		TokenEndpointAudience: cfg.TokenEndpointAudience,
		ClientCAs:             cfg.ClientCAs,
		RawBasic:              q.RawBasic,
		RefusesVerifier:       q.RefusesVerifier,
		UnknownClient:         q.UnknownClient.instead(),

		DPoPNonceLifetime:     cfg.DPoPNonceLifetime,
		DeviceCodeLifetime:    cfg.DeviceCodeLifetime,
		DeviceInterval:        cfg.DeviceInterval,
		PushedRequestLifetime: cfg.PushedRequestLifetime,
		ClientSecretLifetime:  cfg.ClientSecretLifetime,
	}
	for _, c := range cfg.Clients {
		parts.Clients = append(parts.Clients, client.Client(c))
	}
	return parts
}

func (cfg Config) sessions() session.Config {
	q := cfg.Quirks
	return session.Config{
		Store: cfg.RefreshTokens,
		Missing: func(err error) bool {
			return errors.Is(err, cfg.RefreshTokenNotFound) || errors.Is(err, ErrRefreshTokenNotFound)
		},
		DefaultScope:            cfg.DefaultScope,
		AccessTokenLifetime:     cfg.AccessTokenLifetime,
		RefreshTokenLifetime:    cfg.RefreshTokenLifetime,
		OfflineScope:            cfg.OfflineScope,
		ReduceScope:             cfg.ReduceScope,
		NoRotation:              cfg.NoRotation,
		SlidingRefresh:          cfg.SlidingRefresh,
		ScopeOnRefresh:          cfg.ScopeOnRefresh,
		NoReuseDetection:        cfg.NoReuseDetection,
		Grace:                   cfg.Grace,
		GrantLifetime:           cfg.GrantLifetime,
		ForkSuccessors:          cfg.ForkSuccessors,
		RevokeOldAccess:         cfg.RevokeOldAccess,
		SingleSession:           cfg.SingleSession,
		AnnounceRefreshLifetime: cfg.AnnounceRefreshLifetime,
		JWTRefreshTokens:        cfg.JWTRefreshTokens,

		GraceRepeats:                q.GraceRepeats,
		GraceUntilUse:               q.GraceUntilUse,
		ReuseEndsOneSession:         q.ReuseEndsOneSession,
		RevokedIsReused:             q.RevokedIsReused,
		FailureSpends:               q.FailureSpends,
		AccessRevocationEndsSession: q.AccessRevocationEndsSession,
		UnknownRevocationFails:      q.UnknownRevocationFails,
		SameSecondSameAccess:        q.SameSecondSameAccess,
		RefreshTokenLength:          q.RefreshTokenLength,
	}
}
