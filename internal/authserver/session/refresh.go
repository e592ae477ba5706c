package session

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"time"

	"github.com/evertoken/evertoken/internal/authserver/answer"
	"github.com/evertoken/evertoken/internal/authserver/form"
	"github.com/evertoken/evertoken/internal/authserver/keys"
	"github.com/evertoken/evertoken/internal/authserver/secret"
)

// A Refresh is a request for a refresh.
type Refresh struct {
	Token     string // the refresh token
	Client    string // the ID of the client that asks
	HasSecret bool   // that client has a secret
	Scope     string // that it asks for; "" for all
	Resources []string
	Shown     keys.Confirmation
}

// Refresh spends a refresh token (RFC 6749 section 6).
func (s *Sessions) Refresh(ctx context.Context, q Refresh) *answer.Answer {
	s.tidy(ctx)
	hash := secret.Hash(q.Token)
	release := s.claim(hash)
	defer release()

	if st := s.spentState(hash); st != nil {
		return s.replay(ctx, q, st)
	}
	se, err := s.lookUp(ctx, hash)
	if err != nil {
		return answer.StoreFailed()
	}
	if se == nil {
		return unknownToken()
	}
	scope, refusal := s.refreshScope(q, se)
	if refusal != nil {
		return refusal
	}
	if s.cfg.NoRotation {
		if err := s.prolong(ctx, se, q.Token); err != nil {
			return rotationFailed(err)
		}
		return s.refreshed(q, se, scope)
	}
	next, err := s.rotate(ctx, se, q.Token, 1)
	if err != nil {
		return rotationFailed(err)
	}
	a := s.refreshed(q, se, scope)
	s.addSuccessor(a, next)
	s.keepAnswer(q.Token, a)
	return a
}

// RefreshKeeping is Refresh for backends whose refresh tokens never rotate: raw stays
// as it is, whatever the configuration says.
func (s *Sessions) RefreshKeeping(ctx context.Context, raw string) *answer.Answer {
	hash := secret.Hash(raw)
	s.tidy(ctx)
	defer s.claim(hash)()
	se, err := s.lookUp(ctx, hash)
	switch {
	case err != nil:
		return answer.StoreFailed()
	case se == nil:
		return unknownToken()
	}
	return s.refreshed(Refresh{}, se, se.Scope)
}

// RefreshOf is Refresh for backends whose access tokens renew themselves: it returns another
// access token of a session, which lives on for one RefreshTokenLifetime.
func (s *Sessions) RefreshOf(ctx context.Context, id string) *answer.Answer {
	s.tidy(ctx)
	s.mu.Lock()
	se := s.sessions[id]
	lives := se != nil && !se.ended
	if lives {
		se.expires = s.Now().Add(s.cfg.RefreshTokenLifetime)
	}
	s.mu.Unlock()
	if !lives {
		return unknownToken()
	}
	return s.refreshed(Refresh{}, se, se.Scope)
}

// StoreFails reports whether the Store cannot be asked for a refresh token.
func (s *Sessions) StoreFails(ctx context.Context, raw string) bool {
	_, err := s.lookUp(ctx, secret.Hash(raw))
	return err != nil
}

func unknownToken() *answer.Answer {
	return answer.InvalidGrant("the refresh token is unknown, expired or revoked")
}

// refreshScope returns the scope of the new access token, or a refusal.
func (s *Sessions) refreshScope(q Refresh, se *session) (string, *answer.Answer) {
	switch {
	case se.Client != q.Client:
		return "", answer.InvalidGrant("the refresh token belongs to another client")
	case !mayRefresh(q, se):
		return "", answer.InvalidGrant("the refresh token is bound to another DPoP key")
	case s.cfg.ScopeOnRefresh && q.Scope == "":
		return "", answer.BadRequest("invalid_request", "a refresh must name a scope")
	case form.Exceeds(q.Scope, se.Scope):
		return "", answer.BadRequest("invalid_scope", "the scope exceeds what was granted")
	case s.cfg.ReduceScope != "":
		return s.cfg.ReduceScope, nil
	case q.Scope != "":
		return q.Scope, nil
	}
	return se.Scope, nil
}

// mayRefresh reports whether a session's refresh token comes from the client it was
// given to: a public client has to prove the key it logged in with (RFC 9449 section
// 5). One that a login without DPoP gave is not bound, also later.
func mayRefresh(q Refresh, se *session) bool {
	return q.HasSecret || se.JKT == "" || se.JKT == q.Shown.JKT
}

// refreshed returns the answer to a refresh, without a refresh token.
func (s *Sessions) refreshed(q Refresh, se *session, scope string) *answer.Answer {
	resources := q.Resources
	if len(resources) == 0 {
		resources = se.Resources
	}
	fields := s.mintAccess(se, q.Shown, scope, resources)
	s.addIDToken(fields, Grant{User: se.User, Client: se.Client, Scope: scope, LoginUnix: se.LoginUnix})
	s.mu.Lock()
	s.refreshes++
	s.mu.Unlock()
	a := answer.JSON(http.StatusOK, fields)
	a.Committed = true
	return a
}

// A successor is the refresh token that takes another's place.
type successor struct {
	raw     string
	expires time.Time
}

// addSuccessor adds the successor to the answer that spent its predecessor.
func (s *Sessions) addSuccessor(a *answer.Answer, n successor) {
	s.addRefreshToken(a.Fields, n.raw, n.expires)
	a.Rotated = true
}

// prolong makes the refresh token live on, if its use is to do that.
func (s *Sessions) prolong(ctx context.Context, se *session, raw string) error {
	if !s.cfg.SlidingRefresh {
		return nil
	}
	return s.keep(ctx, se, raw, s.refreshEnd(se.Grant))
}

// rotate spends raw for its successor number fork.
func (s *Sessions) rotate(ctx context.Context, se *session, raw string, fork int) (successor, error) {
	hash, expires := secret.Hash(raw), s.refreshEnd(se.Grant)
	next := successor{s.refreshToken(se.Grant, forkOf(raw, fork), expires), expires}
	if err := s.keep(ctx, se, next.raw, expires); err != nil {
		return next, err
	}
	if err := s.cfg.Store.Delete(ctx, hash); err != nil {
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
		st.spentAt, st.serial = s.Now(), se.serial+1
	}
	st.next, st.forks = secret.Hash(next.raw), fork
	delete(se.live, hash)
	return next, nil
}

// rotationFailed tells a session's end from a store's failure.
func rotationFailed(err error) *answer.Answer {
	if errors.Is(err, errSessionEnded) {
		return answer.InvalidGrant("the session has ended")
	}
	return answer.StoreFailed()
}

// keepAnswer remembers the answer to the refresh token raw, for GraceRepeats.
func (s *Sessions) keepAnswer(raw string, a *answer.Answer) {
	if !s.cfg.GraceRepeats {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.tokens[secret.Hash(raw)]; st != nil {
		st.first = firstAnswer{maps.Clone(a.Fields), s.Now()}
	}
}
