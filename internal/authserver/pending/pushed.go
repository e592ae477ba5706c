package pending

import (
	"maps"
	"net/url"
	"time"

	"github.com/evertoken/evertoken/internal/authserver/secret"
)

// requestURIPrefix is what RFC 9126 section 2.2 recommends.
const requestURIPrefix = "urn:ietf:params:oauth:request_uri:"

// A pushed is an authorization request that a client has pushed. Its query is
// replaced, never changed.
type pushed struct {
	client  string
	query   url.Values
	expires time.Time
	used    bool // it has led to an answer
}

// Pushed are the pushed authorization requests of a server. They are safe for
// concurrent use.
type Pushed struct {
	shelf[pushed]
	lifetime time.Duration
}

// NewPushed returns an empty set.
func NewPushed(now func() time.Time, lifetime time.Duration) *Pushed {
	return &Pushed{newShelf(now, func(p *pushed) time.Time { return p.expires }), lifetime}
}

// Lifetime is how long a request can be used.
func (s *Pushed) Lifetime() time.Duration { return s.lifetime }

// Add keeps a client's request and returns its request URI.
func (s *Pushed) Add(clientID string, query url.Values) (requestURI string) {
	requestURI = requestURIPrefix + secret.New(16)
	s.put(requestURI, &pushed{client: clientID, query: query, expires: s.now().Add(s.lifetime)})
	return requestURI
}

// Find returns the request that a request URI refers to: nil if it is unknown,
// expired or of another client. used tells that it has led to an answer.
func (s *Pushed) Find(requestURI, clientID string) (query url.Values, used bool) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.foundLocked(requestURI)
	switch {
	case p == nil:
		return nil, false
	case p.used:
		return nil, true
	case p.client != clientID, !now.Before(p.expires):
		return nil, false
	}
	return p.query, false
}

// Use reports whether an answer to the request may be given, and is the last to be
// given: a request URI serves once.
func (s *Pushed) Use(requestURI string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.foundLocked(requestURI)
	if p == nil || p.used {
		return false
	}
	p.used = true
	return true
}

// PromptFulfilled takes the wish for a login out of a request, which is about to be
// fulfilled.
func (s *Pushed) PromptFulfilled(requestURI string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.foundLocked(requestURI); p != nil {
		p.query = maps.Clone(p.query)
		p.query.Del("prompt")
	}
}
