package oauthtest

import (
	"maps"
	"net/http"
	"time"
)

// A firstAnswer is what a refresh token got when it was spent.
type firstAnswer struct {
	fields map[string]any
	at     time.Time
}

// keepAnswer remembers the answer to the refresh token raw, for GraceRepeats.
func (s *Server) keepAnswer(raw string, a *answer) {
	if !s.cfg.Quirks.GraceRepeats {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.tokens[hashOf(raw)]; st != nil {
		st.first = firstAnswer{maps.Clone(a.fields), s.now()}
	}
}

// repeat gives the first answer to a spent token once more.
func (s *Server) repeat(st *refreshState) *answer {
	fields := maps.Clone(st.first.fields)
	life, _ := fields["expires_in"].(int64)
	fields["expires_in"] = life - int64(s.now().Sub(st.first.at)/time.Second)
	a := jsonAnswer(http.StatusOK, fields)
	a.committed, a.rotated = true, true
	return a
}

// inGraceLocked reports whether a spent token is still accepted at the time now.
func (s *Server) inGraceLocked(st *refreshState, now time.Time) bool {
	if s.cfg.Quirks.GraceUntilUse {
		return st.session.used < st.serial
	}
	return s.cfg.Grace > 0 && now.Sub(st.spentAt) <= s.cfg.Grace
}

// noteUse remembers that the resource has seen an access token.
func (s *Server) noteUse(claims *accessClaims) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if se := s.sessions[claims.Session]; se != nil {
		se.used = max(se.used, claims.Serial)
	}
}
