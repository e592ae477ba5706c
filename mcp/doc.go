// Package mcp keeps a program's login to an MCP server alive: from the server's address
// alone it finds the authorization server, becomes a client there, logs a person in once,
// and renews from then on.
//
//	session, err := mcp.New(mcp.Config{
//		URL:    "https://mcp.example.com/mcp",
//		Client: register.Options{Metadata: register.Metadata{ClientName: "My tool"}},
//	})
//	if err != nil {
//		return err
//	}
//	defer session.Close()
//	transport := &sdk.StreamableClientTransport{Endpoint: session.URL(), HTTPClient: session.Client()}
//
// Give the SDK [Session.Client] as its HTTPClient. [Session.OAuthHandler] is for programs
// whose HTTPClient is taken: the SDK's interface for it knows Bearer tokens alone, so with
// it no token is bound to a key (DPoP).
//
// All but the SDK's interface is package connect's, which says when a person is asked, and
// what is stored where. Programs without that SDK use connect alone.
//
// # Concurrency
//
// A Session is safe for concurrent use.
package mcp
