package client

import (
	"context"
	"sync"
)

// A Registry knows clients by their IDs: those of the configuration, and those that
// registered themselves. It is safe for concurrent use.
type Registry struct {
	// Fetch, if set, gets the documents of clients whose ID is the URL of one. It is set
	// before the first request.
	Fetch Fetch

	own string

	mu      sync.Mutex // guards what follows
	fixed   map[string]Client
	dynamic map[string]Client
}

// NewRegistry returns a registry of these clients, of which a later one replaces an
// earlier one with the same ID. The first is the server's own.
func NewRegistry(own Client, more ...Client) *Registry {
	g := &Registry{own: own.ID, fixed: map[string]Client{own.ID: own}, dynamic: make(map[string]Client)}
	for _, c := range more {
		g.fixed[c.ID] = c
	}
	return g
}

// Find returns the client with an ID.
func (g *Registry) Find(id string) (Client, bool) {
	if c, known := g.registered(id); known || g.Fetch == nil || !isDocument(id) {
		return c, known
	}
	body, err := g.Fetch(context.Background(), id)
	if err != nil {
		return Client{}, false
	}
	return readDocument(id, body)
}

func (g *Registry) registered(id string) (Client, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c, known := g.fixed[id]; known {
		return c, true
	}
	c, known := g.dynamic[id]
	return c, known
}

// Own returns the server's own client.
func (g *Registry) Own() Client {
	c, _ := g.Find(g.own)
	return c
}

// SetSecret gives a client of the configuration another secret. It does nothing if
// there is no such client.
func (g *Registry) SetSecret(id, secret string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c, known := g.fixed[id]; known {
		c.Secret = secret
		g.fixed[id] = c
	}
}

// Put adds or replaces a client that registered itself.
func (g *Registry) Put(c Client) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dynamic[c.ID] = c
}

// Remove takes out a client that registered itself.
func (g *Registry) Remove(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.dynamic, id)
}
