package oauthtest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
)

// invalidGrant says that a refresh token, code or password is no good. The
// description tells a person which; no client should read it.
func invalidGrant(description string) *answer {
	a := badRequest("invalid_grant", description)
	a.refused = true
	return a
}

// grantByRefreshToken is the refresh_token grant (RFC 6749 section 6).
func (s *Server) grantByRefreshToken(r *http.Request, c RegisteredClient) *answer {
	ctx, raw := detached(r), r.PostForm.Get("refresh_token")
	if raw == "" {
		return badRequest("invalid_request", "refresh_token is missing")
	}
	s.tidy(ctx)
	hash := hashOf(raw)
	release := s.claim(hash)
	defer release()

	if st := s.spentState(hash); st != nil {
		return s.replay(ctx, r, c, raw, st)
	}
	se, err := s.lookUp(ctx, hash)
	if err != nil {
		return serverError(err)
	}
	if se == nil {
		return invalidGrant("the refresh token is unknown, expired or revoked")
	}
	scope, refusal := s.refreshScope(r, c, se)
	if refusal != nil {
		return refusal
	}
	if s.cfg.NoRotation {
		if err := s.prolong(ctx, se, raw); err != nil {
			return rotationFailed(err)
		}
		return s.refreshed(r, se, scope)
	}
	next, err := s.rotate(ctx, se, raw, 1)
	if err != nil {
		return rotationFailed(err)
	}
	a := s.refreshed(r, se, scope)
	next.addTo(s, a)
	s.keepAnswer(raw, a)
	return a
}

// claim waits until nobody else works on the refresh token with this hash. The
// wait is on a channel, not a mutex: stores may take their time.
func (s *Server) claim(hash string) (release func()) {
	for {
		s.mu.Lock()
		busy, taken := s.claims[hash]
		if !taken {
			done := make(chan struct{})
			s.claims[hash] = done
			s.mu.Unlock()
			return func() {
				s.mu.Lock()
				delete(s.claims, hash)
				s.mu.Unlock()
				close(done)
			}
		}
		s.mu.Unlock()
		<-busy
	}
}

// spentState returns a copy of what is known about a refresh token that was
// spent, or nil.
func (s *Server) spentState(hash string) *refreshState {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.tokens[hash]
	if st == nil || st.spentAt.IsZero() {
		return nil
	}
	clone := *st
	return &clone
}

// lookUp returns the live session of a refresh token that can be spent, or nil.
func (s *Server) lookUp(ctx context.Context, hash string) (*session, error) {
	data, err := s.cfg.RefreshTokens.Get(ctx, hash)
	if errors.Is(err, s.cfg.RefreshTokenNotFound) || errors.Is(err, ErrRefreshTokenNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	text, _ := data.(string)
	var g grant
	if err := json.Unmarshal([]byte(text), &g); err != nil {
		return nil, errors.New("the refresh token store holds something else than it was given")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	se := s.sessions[g.Session]
	if se == nil {
		// The store outlived the server that filled it.
		se = &session{grant: g, live: map[string]bool{hash: true}, expires: s.now().Add(s.cfg.RefreshTokenLifetime)}
		s.sessions[g.Session] = se
	}
	if s.tokens[hash] == nil {
		s.tokens[hash] = &refreshState{session: se, expires: se.expires}
	}
	if se.ended {
		return nil, nil
	}
	return se, nil
}

// refreshScope returns the scope of the new access token, or a refusal.
func (s *Server) refreshScope(r *http.Request, c RegisteredClient, se *session) (string, *answer) {
	if se.Client != c.ID {
		return "", invalidGrant("the refresh token belongs to another client")
	}
	if !mayRefresh(r, c, se) {
		return "", invalidGrant("the refresh token is bound to another DPoP key")
	}
	if s.cfg.ScopeOnRefresh && r.PostForm.Get("scope") == "" {
		return "", badRequest("invalid_request", "a refresh must name a scope")
	}
	scope := se.Scope
	if asked := r.PostForm.Get("scope"); asked != "" {
		for _, name := range strings.Fields(asked) {
			if !hasScope(se.Scope, name) {
				return "", badRequest("invalid_scope", "the scope exceeds what was granted")
			}
		}
		scope = asked
	}
	if s.cfg.ReduceScope != "" {
		scope = s.cfg.ReduceScope
	}
	return scope, nil
}

// refreshed returns the answer to a refresh, without a refresh token.
func (s *Server) refreshed(r *http.Request, se *session, scope string) *answer {
	resources := r.PostForm["resource"]
	if len(resources) == 0 {
		resources = se.Resources
	}
	fields := s.mintAccess(r.Context(), se, scope, resources)
	s.addIDToken(fields, grant{User: se.User, Client: se.Client, Scope: scope, LoginUnix: se.LoginUnix})
	s.mu.Lock()
	s.refreshes++
	s.mu.Unlock()
	a := jsonAnswer(http.StatusOK, fields)
	a.committed = true
	return a
}

// prolong makes the refresh token live on, if its use is to do that.
func (s *Server) prolong(ctx context.Context, se *session, raw string) error {
	if !s.cfg.SlidingRefresh {
		return nil
	}
	return s.keep(ctx, se, raw, s.now().Add(s.cfg.RefreshTokenLifetime))
}

// rotate spends raw for its successor number fork.
func (s *Server) rotate(ctx context.Context, se *session, raw string, fork int) (successor, error) {
	hash, expires := hashOf(raw), s.now().Add(s.cfg.RefreshTokenLifetime)
	next := successor{s.refreshToken(se.grant, forkOf(raw, fork), expires), expires}
	if err := s.keep(ctx, se, next.raw, expires); err != nil {
		return next, err
	}
	if err := s.cfg.RefreshTokens.Delete(ctx, hash); err != nil {
		return next, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.tokens[hash]
	if st == nil { // it expired just now
		st = &refreshState{session: se, expires: expires}
		s.tokens[hash] = st
	}
	if st.spentAt.IsZero() { // a fork does not prolong the grace window
		st.spentAt, st.serial = s.now(), se.serial+1
	}
	st.next, st.forks = hashOf(next.raw), fork
	delete(se.live, hash)
	return next, nil
}

// rotationFailed tells a session's end from a store's failure.
func rotationFailed(err error) *answer {
	if errors.Is(err, errSessionEnded) {
		return invalidGrant("the session has ended")
	}
	return serverError(err)
}

// serverError reports a store that failed. Its text stays here.
func serverError(error) *answer {
	return errorAnswer(http.StatusInternalServerError, "server_error", "the refresh token store failed")
}
