package oauthtest

import (
	"maps"
	"strings"
	"time"
)

// A mint is the last access token that a session got, by what was asked for.
type mint struct {
	second int64
	asked  string
	fields map[string]any
}

// mintedThisSecondLocked returns the answer's fields with the access token that
// the session got within the same second for the same, or nil; for
// SameSecondSameAccess.
func (s *Server) mintedThisSecondLocked(se *session, now time.Time, asked ...string) map[string]any {
	if !s.cfg.Quirks.SameSecondSameAccess || se.minted.second != now.Unix() || se.minted.asked != strings.Join(asked, "\n") {
		return nil
	}
	return maps.Clone(se.minted.fields)
}

// keepMint remembers what a session got.
func (s *Server) keepMint(se *session, now time.Time, fields map[string]any, asked ...string) {
	if !s.cfg.Quirks.SameSecondSameAccess {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	se.minted = mint{now.Unix(), strings.Join(asked, "\n"), maps.Clone(fields)}
}
