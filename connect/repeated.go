package connect

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/evertoken/evertoken/internal/outside"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/challenge"
)

// What an API says becomes part of the next login's address, which is on the screen, in the
// browser's history and with the authorization server; of errors; and of requests to the
// servers that it names. So what repeats a token that the API has got is left out.

// lately is how many tokens the session remembers that the API was shown. A server may let an
// older one live after a renewal, and one request of a program's can have several: one that the
// API refuses, its successor, and those of the logins that the API has asked for.
const lately = 16

// show remembers a token that the API is shown, or will be.
func (s *Session) show(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if token == "" || slices.Contains(s.shown, token) {
		return
	}
	if len(s.shown) == lately {
		s.shown = s.shown[1:]
	}
	s.shown = append(slices.Clone(s.shown), token)
}

// showCurrent is show for the token that a login has now.
func (s *Session) showCurrent(l *login) {
	if pair := l.manager.GetTokens(); pair != nil {
		s.show(pair.AccessToken)
	}
}

// hasShownCurrent reports whether the API was shown the token that a login has now.
func (s *Session) hasShownCurrent(l *login) bool {
	pair := l.manager.GetTokens()
	s.mu.Lock()
	defer s.mu.Unlock()
	return pair == nil || slices.Contains(s.shown, pair.AccessToken)
}

// repeats reports whether a text has a token in it that the API was shown.
func (s *Session) repeats(text string) bool {
	s.mu.Lock()
	shown := s.shown
	s.mu.Unlock()
	return slices.ContainsFunc(shown, func(token string) bool { return outside.Repeats(text, token) })
}

// unrepeated returns a header without challenges that repeat a token.
func (s *Session) unrepeated(header http.Header) http.Header {
	const name = "Www-Authenticate"
	if len(header[name]) == 0 {
		return header
	}
	header = maps.Clone(header)
	header[name] = slices.DeleteFunc(slices.Clone(header[name]), s.challengeRepeats)
	return header
}

// challengeRepeats reports whether a line of challenges repeats a token, as it is or in what is
// read of it: quotes can hide it.
func (s *Session) challengeRepeats(line string) bool {
	if s.repeats(line) {
		return true
	}
	for _, c := range challenge.Parse(http.Header{"Www-Authenticate": {line}}) {
		words := append(slices.Collect(maps.Values(c.Params)), c.Token68, c.Scheme)
		if slices.ContainsFunc(words, s.repeats) {
			return true
		}
	}
	return false
}

// errRepeats is why there is nothing to go on with.
var errRepeats = errors.New("the API repeats the session's token where the address of an authorization server or of a resource belongs")

// unrepeatedMetadata returns what an API publishes without what repeats a token. If that is
// what the API is called, or all servers that it names, there is nothing to go on with; nor is
// an error one to show that repeats it.
func (s *Session) unrepeatedMetadata(api *oauth.ProtectedResource, err error) (*oauth.ProtectedResource, error) {
	own, is := errors.AsType[*oauth.Error](err)
	switch {
	case is && s.repeats(err.Error()):
		return nil, &oauth.Error{Op: own.Op, Kind: own.Kind, Status: own.Status, Sent: own.Sent, Err: errRepeats}
	case err != nil:
		return nil, err
	}
	clean := *api
	clean.AuthorizationServers = slices.DeleteFunc(slices.Clone(api.AuthorizationServers), s.repeats)
	clean.Scopes = s.unrepeatedScopes(api.Scopes)
	clean.ScopesSupported = s.unrepeatedScopes(api.ScopesSupported)
	if len(clean.AuthorizationServers) == 0 || s.repeats(api.Resource) {
		return nil, &oauth.Error{Op: "discover_resource", Kind: oauth.ErrMisconfigured, Sent: true, Err: errRepeats, Hint: "tell the API's maker"}
	}
	return &clean, nil
}

// unrepeatedScopes returns scopes without those that repeat a token, or none at all if they do
// so together.
func (s *Session) unrepeatedScopes(scopes []string) []string {
	scopes = slices.DeleteFunc(slices.Clone(scopes), s.repeats)
	if s.repeats(strings.Join(scopes, " ")) {
		return nil
	}
	return scopes
}
