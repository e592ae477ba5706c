package session

import (
	"context"
	"maps"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evertoken/evertoken/internal/authserver/form"
	"github.com/evertoken/evertoken/internal/authserver/keys"
	"github.com/evertoken/evertoken/internal/authserver/secret"
)

// Begin starts a session and returns the fields of the answer with its first tokens,
// which are bound to what the request has shown. It fails only if the Store does.
func (s *Sessions) Begin(ctx context.Context, g Grant, shown keys.Confirmation) (map[string]any, error) {
	if s.cfg.SingleSession && g.User != "" {
		s.End(ctx, func(old Grant) bool { return old.User == g.User && old.Client == g.Client })
	}
	s.tidy(ctx)
	g.JKT = shown.JKT
	se := s.add(g)
	resources := g.Resources
	if g.FirstFor != nil {
		resources = g.FirstFor
	}
	fields := s.mintAccess(se, shown, g.Scope, resources)
	s.addIDToken(fields, g)
	if s.givesRefreshToken(g) {
		raw, expires := s.firstRefreshToken(g)
		if err := s.keep(ctx, se, raw, expires); err != nil {
			return nil, err
		}
		s.addRefreshToken(fields, raw, expires)
	}
	return fields, nil
}

// BeginAccess starts a session that has an access token alone, and returns the
// fields of the answer with it.
func (s *Sessions) BeginAccess(g Grant, shown keys.Confirmation) map[string]any {
	return s.mintAccess(s.add(g), shown, g.Scope, g.Resources)
}

func (s *Sessions) add(g Grant) *session {
	se := &session{Grant: g, live: make(map[string]bool)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[g.Session] = se
	return se
}

func (s *Sessions) givesRefreshToken(g Grant) bool {
	return s.AllowsRefresh(g.Client) && g.User != "" && (!s.cfg.OfflineScope || form.HasScope(g.Scope, "offline_access"))
}

// mintAccess returns the fields of an answer with a new access token, bound to what
// the request has shown.
func (s *Sessions) mintAccess(se *session, shown keys.Confirmation, scope string, resources []string) map[string]any {
	now := s.Now()
	expires := now.Add(s.cfg.AccessTokenLifetime)
	asked := append([]string{scope, shown.JKT}, resources...)
	s.mu.Lock()
	if same := s.mintedThisSecondLocked(se, now, asked...); same != nil {
		s.mu.Unlock()
		return same
	}
	se.serial++
	serial := se.serial
	if s.cfg.RevokeOldAccess {
		se.minSerial = serial
	}
	if expires.After(se.expires) {
		se.expires = expires
	}
	s.mu.Unlock()

	if len(resources) == 0 {
		resources = []string{s.Resource}
	}
	claims := keys.AccessClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: s.Issuer, Subject: subjectOf(se.Grant), Audience: resources, ID: secret.New(8),
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: keys.WholeSecond(expires),
		},
		ClientID: se.Client, Scope: scope, Session: se.Session, Serial: serial, ExpiresMilli: expires.UnixMilli(),
	}
	if se.Actor != "" {
		claims.Actor = &keys.Actor{Subject: se.Actor}
	}
	fields := map[string]any{
		"token_type": "Bearer",
		"expires_in": int64(s.cfg.AccessTokenLifetime / time.Second),
		"scope":      scope,
	}
	if shown.JKT != "" {
		fields["token_type"] = "DPoP"
	}
	if shown != (keys.Confirmation{}) {
		claims.Confirmation = &shown
	}
	fields["access_token"] = s.Keys.Sign("at+jwt", claims)
	s.keepMint(se, now, fields, asked...)
	return fields
}

// subjectOf is the user, or the client if it acts for itself (RFC 9068 section
// 2.2).
func subjectOf(g Grant) string {
	if g.User == "" {
		return g.Client
	}
	return g.User
}

// addIDToken adds an ID token if the grant is OpenID Connect's.
func (s *Sessions) addIDToken(fields map[string]any, g Grant) {
	if g.User == "" || !form.HasScope(g.Scope, "openid") {
		return
	}
	now := s.Now()
	claims := jwt.MapClaims{
		"iss": s.Issuer, "sub": g.User, "aud": g.Client, "auth_time": g.LoginUnix,
		"iat": now.Unix(), "exp": keys.WholeSecond(now.Add(s.cfg.AccessTokenLifetime)).Unix(),
	}
	if g.Nonce != "" {
		claims["nonce"] = g.Nonce
	}
	if access, _ := fields["access_token"].(string); access != "" {
		claims["at_hash"] = keys.LeftHalf(access)
	}
	fields["id_token"] = s.Keys.Sign("JWT", claims)
}

// A mint is the last access token that a session got, by what was asked for.
type mint struct {
	second int64
	asked  string
	fields map[string]any
}

// mintedThisSecondLocked returns the answer's fields with the access token that
// the session got within the same second for the same, or nil; for
// SameSecondSameAccess.
func (s *Sessions) mintedThisSecondLocked(se *session, now time.Time, asked ...string) map[string]any {
	if !s.cfg.SameSecondSameAccess || se.minted.second != now.Unix() || se.minted.asked != strings.Join(asked, "\n") {
		return nil
	}
	return maps.Clone(se.minted.fields)
}

// keepMint remembers what a session got.
func (s *Sessions) keepMint(se *session, now time.Time, fields map[string]any, asked ...string) {
	if !s.cfg.SameSecondSameAccess {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	se.minted = mint{now.Unix(), strings.Join(asked, "\n"), maps.Clone(fields)}
}

// LiveAccess returns the claims of an access token that is valid now, or nil.
func (s *Sessions) LiveAccess(token string) *keys.AccessClaims {
	claims, err := s.Keys.Verify(token)
	if err != nil || s.Now().UnixMilli() >= claims.ExpiresMilli {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	se := s.sessions[claims.Session]
	if se == nil || se.ended || claims.Serial < se.minSerial || se.killed[claims.ID] {
		return nil
	}
	return claims
}

// NoteUse remembers that the resource has seen an access token.
func (s *Sessions) NoteUse(claims *keys.AccessClaims) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if se := s.sessions[claims.Session]; se != nil {
		se.used = max(se.used, claims.Serial)
	}
}
