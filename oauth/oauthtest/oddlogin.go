package oauthtest

import (
	"context"
	"net/url"
	"slices"
	"strings"
)

// promptConsent is the value of prompt that asks for the consent page (OpenID
// Connect Core section 3.1.2.1). The page is always shown here.
const promptConsent = "consent"

// offlineScope is the scope that a person grants, for OfflineNeedsConsent without
// what consent was not asked for.
func (s *Server) offlineScope(query url.Values) string {
	scope := s.scopeOf(query)
	if !s.cfg.Quirks.OfflineNeedsConsent || query.Get("prompt") == promptConsent {
		return scope
	}
	names := slices.DeleteFunc(strings.Fields(scope), func(name string) bool { return name == "offline_access" })
	return strings.Join(names, " ")
}

// devicePending gives the refusal of a poll, of the device code with this hash,
// the form and the consequences that Quirks have for it.
func (s *Server) devicePending(ctx context.Context, hash string, refusal *answer) *answer {
	s.mu.Lock()
	twice := ""
	if d := s.devices[hash]; d != nil && d.redeemed && s.cfg.Quirks.DeviceCodeTwiceEndsSession {
		twice = d.grant.Session
	}
	s.mu.Unlock()
	if twice != "" {
		s.endSessions(ctx, func(se *session) bool { return se.Session == twice })
	}
	if status := s.cfg.Quirks.DevicePending; status != 0 && text(refusal.fields, "error") == "authorization_pending" {
		refusal.status = status
	}
	return refusal
}
