package oauthtest

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// A successor is the refresh token that takes another's place.
type successor struct {
	raw     string
	expires time.Time
}

// addTo adds the successor to the answer that spent its predecessor.
func (n successor) addTo(s *Server, a *answer) {
	s.addRefreshToken(a.fields, n.raw, n.expires)
	a.rotated = true
}

// replay answers a refresh token that was spent before: with tokens inside the
// grace window, with a refusal outside.
func (s *Server) replay(ctx context.Context, r *http.Request, c RegisteredClient, raw string, st *refreshState) *answer {
	if c.ID != st.session.Client {
		return invalidGrant("the refresh token belongs to another client")
	}
	if s.hasEnded(st.session) {
		return invalidGrant("the refresh token was revoked")
	}
	// The successor must not be spent while it is given away once more.
	release := s.claim(st.next)
	defer release()
	expires, ok := s.inGrace(st)
	if !ok {
		return s.reused(ctx, st)
	}
	scope, refusal := s.refreshScope(r, c, st.session)
	if refusal != nil {
		return refusal
	}
	if s.cfg.Quirks.GraceRepeats {
		return s.repeat(st)
	}
	// Derived again, not remembered: the server keeps hashes only.
	next := successor{s.refreshToken(st.session.grant, forkOf(raw, st.forks), expires), expires}
	if s.cfg.ForkSuccessors {
		var err error
		if next, err = s.fork(ctx, raw, st); err != nil {
			return rotationFailed(err)
		}
	}
	a := s.refreshed(r, st.session, scope)
	next.addTo(s, a)
	return a
}

// inGrace reports whether a spent token is still accepted, and when its successor
// expires. Once the successor is used, the client has it, so whoever sends the
// old token is somebody else.
func (s *Server) inGrace(st *refreshState) (expires time.Time, ok bool) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.tokens[st.next]
	if !s.inGraceLocked(st, now) || next == nil || !next.spentAt.IsZero() {
		return time.Time{}, false
	}
	return next.expires, true
}

func (s *Server) hasEnded(se *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return se.ended
}

// reused refuses a spent token, and by default ends what may have been stolen
// (RFC 9700 section 4.14.2). Ending all of the user's sessions, not only this
// one, is what the strictest servers do.
func (s *Server) reused(ctx context.Context, st *refreshState) *answer {
	if !s.cfg.NoReuseDetection {
		user, one := st.session.User, s.cfg.Quirks.ReuseEndsOneSession
		s.endSessions(ctx, func(se *session) bool { return se.User == user && (!one || se == st.session) })
	}
	a := invalidGrant("the refresh token was used before")
	a.reused = true
	return a
}

// fork gives raw another successor, and makes the one before it invalid.
func (s *Server) fork(ctx context.Context, raw string, st *refreshState) (successor, error) {
	next, err := s.rotate(ctx, st.session, raw, st.forks+1)
	if err != nil {
		return next, err
	}
	s.mu.Lock()
	delete(st.session.live, st.next)
	s.mu.Unlock()
	return next, s.cfg.RefreshTokens.Delete(ctx, st.next)
}

// forkOf names successor number n of raw, for deriving it.
func forkOf(raw string, n int) string { return raw + "\n" + strconv.Itoa(n) }
