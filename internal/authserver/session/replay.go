package session

import (
	"context"
	"maps"
	"net/http"
	"time"

	"github.com/evertoken/evertoken/internal/authserver/answer"
	"github.com/evertoken/evertoken/internal/authserver/secret"
)

// spentState returns a copy of what is known about a refresh token that was
// spent, or nil.
func (s *Sessions) spentState(hash string) *refreshState {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.tokens[hash]
	if st == nil || st.spentAt.IsZero() {
		return nil
	}
	clone := *st
	return &clone
}

// replay answers a refresh token that was spent before: with tokens inside the
// grace window, with a refusal outside.
func (s *Sessions) replay(ctx context.Context, q Refresh, st *refreshState) *answer.Answer {
	if q.Client != st.session.Client {
		return answer.InvalidGrant("the refresh token belongs to another client")
	}
	if s.hasEnded(st.session) {
		return answer.InvalidGrant("the refresh token was revoked")
	}
	// The successor must not be spent while it is given away once more.
	release := s.claim(st.next)
	defer release()
	expires, ok := s.inGrace(st)
	if !ok {
		return s.reused(ctx, st)
	}
	scope, refusal := s.refreshScope(q, st.session)
	if refusal != nil {
		return refusal
	}
	if s.cfg.GraceRepeats {
		return s.repeat(st)
	}
	// Derived again, not remembered: the server keeps hashes only.
	next := successor{s.refreshToken(st.session.Grant, forkOf(q.Token, st.forks), expires), expires}
	if s.cfg.ForkSuccessors {
		var err error
		if next, err = s.fork(ctx, q.Token, st); err != nil {
			return rotationFailed(err)
		}
	}
	a := s.refreshed(q, st.session, scope)
	s.addSuccessor(a, next)
	return a
}

// repeat gives the first answer to a spent token once more.
func (s *Sessions) repeat(st *refreshState) *answer.Answer {
	fields := maps.Clone(st.first.fields)
	life, _ := fields["expires_in"].(int64)
	fields["expires_in"] = life - int64(s.Now().Sub(st.first.at)/time.Second)
	a := answer.JSON(http.StatusOK, fields)
	a.Committed, a.Rotated = true, true
	return a
}

// inGrace reports whether a spent token is still accepted, and when its successor
// expires. Once the successor is used, the client has it, so another party sends the
// old token.
func (s *Sessions) inGrace(st *refreshState) (expires time.Time, ok bool) {
	now := s.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.tokens[st.next]
	if !s.inGraceLocked(st, now) || next == nil || !next.spentAt.IsZero() {
		return time.Time{}, false
	}
	return next.expires, true
}

// inGraceLocked reports whether a spent token is still accepted at the time now.
func (s *Sessions) inGraceLocked(st *refreshState, now time.Time) bool {
	if s.cfg.GraceUntilUse {
		return st.session.used < st.serial
	}
	return s.cfg.Grace > 0 && now.Sub(st.spentAt) <= s.cfg.Grace
}

func (s *Sessions) hasEnded(se *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return se.ended
}

// reused refuses a spent token, and by default ends what may have been stolen
// (RFC 9700 section 4.14.2). Ending all of the user's sessions, not only this
// one, is what the strictest servers do.
func (s *Sessions) reused(ctx context.Context, st *refreshState) *answer.Answer {
	if !s.cfg.NoReuseDetection {
		user, one := st.session.User, s.cfg.ReuseEndsOneSession
		s.end(ctx, func(se *session) bool { return se.User == user && (!one || se == st.session) })
	}
	a := answer.InvalidGrant("the refresh token was used before")
	a.Reused = true
	return a
}

// fork gives raw another successor, and makes the one before it invalid.
func (s *Sessions) fork(ctx context.Context, raw string, st *refreshState) (successor, error) {
	next, err := s.rotate(ctx, st.session, raw, st.forks+1)
	if err != nil {
		return next, err
	}
	s.mu.Lock()
	delete(st.session.live, st.next)
	s.mu.Unlock()
	return next, s.cfg.Store.Delete(ctx, st.next)
}

// Punish gives a refused request with a refresh token the consequences that
// RevokedIsReused and FailureSpends have for it.
func (s *Sessions) Punish(ctx context.Context, raw string) {
	if raw == "" {
		return
	}
	if s.cfg.RevokedIsReused && s.wasRevoked(raw) {
		s.EndUser(ctx, s.sessionOf(ctx, raw).User)
	}
	if s.cfg.FailureSpends {
		s.forfeit(ctx, raw)
	}
}

// wasRevoked reports whether raw is of a session whose client has revoked it.
func (s *Sessions) wasRevoked(raw string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.tokens[secret.Hash(raw)]
	return st != nil && st.session.revoked
}

// forfeit makes raw a refresh token that can no longer be spent. Its session goes
// on without it.
func (s *Sessions) forfeit(ctx context.Context, raw string) {
	hash := secret.Hash(raw)
	s.mu.Lock()
	if st := s.tokens[hash]; st != nil {
		delete(st.session.live, hash)
	}
	s.mu.Unlock()
	// A store that fails keeps a token that the session no longer lists.
	_ = s.cfg.Store.Delete(ctx, hash)
}
