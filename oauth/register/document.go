package register

import (
	"errors"
	"net/url"
	"slices"
	"strings"
)

var (
	errDocumentURL    = errors.New("the client ID must be an https URL with a path and without fragment, user information and dot segments")
	errDocumentName   = errors.New("the document needs Metadata.ClientName, which the person is shown")
	errDocumentSecret = errors.New("a client that describes itself in public has no secret: leave Metadata.AuthMethod empty, or publish a key")
)

// Document returns what to publish, as application/json, at clientID, so that a program is
// a client of every server that takes Client ID Metadata Documents
// (draft-ietf-oauth-client-id-metadata-document), with no registration anywhere: the
// address is its client ID. It must answer 200 there, without a redirect, and name
// exactly the address under which it is published. Change it with care: servers look at it
// again at each login.
//
// The redirect URIs must be all that the program uses. Without any, they are those that
// oauth.Client.Authenticate listens on. ClientName is required, since MCP's servers are.
//
// An error says what is wrong with clientID or m.
func (m Metadata) Document(clientID string) ([]byte, error) {
	switch {
	case !isDocumentURL(clientID):
		return nil, errDocumentURL
	case m.ClientName == "":
		return nil, errDocumentName
	case strings.HasPrefix(m.AuthMethod, "client_secret"):
		return nil, errDocumentSecret
	}
	return m.withDefaults().encode(registeredAs{ClientID: clientID})
}

// isDocumentURL reports whether a client ID is such that servers look for a document there
// (section 3 of the draft).
func isDocumentURL(clientID string) bool {
	u, err := url.Parse(clientID)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Contains(clientID, "#") || u.Path == "" || u.Path == "/" {
		return false
	}
	return !slices.ContainsFunc(strings.Split(u.Path, "/"), func(segment string) bool { return segment == "." || segment == ".." })
}
