package client

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"
)

// A Fetch returns the document at a client's URL.
type Fetch func(ctx context.Context, clientID string) ([]byte, error)

// isDocument reports whether a client ID is the URL of a document that describes the client
// (draft-ietf-oauth-client-id-metadata-document section 3).
func isDocument(id string) bool {
	u, err := url.Parse(id)
	return err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil && u.Fragment == "" &&
		strings.Trim(u.Path, "/") != "" && !strings.Contains(u.Path, "/../") && !strings.Contains(u.Path, "/./")
}

// readDocument returns the client that a document at id describes (sections 4 and 4.1): it
// must name its own address, and the client can share no secret with the server.
func readDocument(id string, body []byte) (Client, bool) {
	var doc struct {
		ClientID     string          `json:"client_id"`
		ClientName   string          `json:"client_name"`
		RedirectURIs []string        `json:"redirect_uris"`
		GrantTypes   []string        `json:"grant_types"`
		AuthMethod   string          `json:"token_endpoint_auth_method"`
		Secret       json.RawMessage `json:"client_secret"`
	}
	if json.Unmarshal(body, &doc) != nil || doc.ClientID != id || doc.ClientName == "" || len(doc.RedirectURIs) == 0 ||
		doc.Secret != nil || doc.AuthMethod != "" && doc.AuthMethod != AuthNone {
		return Client{}, false
	}
	if doc.GrantTypes == nil {
		doc.GrantTypes = []string{GrantCode} // RFC 7591 section 2
	}
	return Client{ID: id, RedirectURIs: doc.RedirectURIs, GrantTypes: doc.GrantTypes, AuthMethod: AuthNone}, true
}
