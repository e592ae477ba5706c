// Package oauthtest is a real OAuth 2.0 authorization server in process, for
// tests and demonstrations, the way net/http/httptest is a real HTTP server.
//
// Most tests want a server and a login without a browser:
//
//	s := oauthtest.New(oauthtest.Config{})
//	client := oauth.NewClient(s.OAuthConfig())
//	tokens, err := s.Login("alice")
//	…
//	if mistakes := s.Audit(); len(mistakes) > 0 {
//		t.Errorf("the client mishandled its tokens: %v", mistakes)
//	}
//
// [New] opens no socket: its [Server.Client] calls the handler directly, so it
// works inside a testing/synctest bubble, where sockets do not. [NewServer]
// listens on 127.0.0.1, for programs in other processes and for browsers, and
// [NewTLSServer] does so with TLS, for clients that authenticate by certificate.
//
// # What it does
//
// The zero [Config] is a strict server: access tokens live 15 minutes, refresh
// tokens 7 days and rotate, and a refresh token that is used twice ends all of
// the user's sessions. One person, alice with the password wonderland, and one
// public client, evertoken-test, are registered. It serves metadata (RFC 8414
// and OpenID Connect Discovery), keys, authorization code with PKCE, pushed
// authorization requests (RFC 9126), resource indicators (RFC 8707), the device
// flow (RFC 8628), password, client credentials and refresh grants, token exchange
// (RFC 8693), revocation (RFC 7009), introspection (RFC 7662), userinfo, logout in
// the browser (OpenID Connect RP-Initiated Logout), dynamic client registration
// (RFC 7591, RFC 7592), and a protected resource that answers the challenges of
// RFC 6750 and publishes its metadata (RFC 9728).
//
// Clients authenticate by secret, by an assertion that a registered key signs (RFC
// 7523), or after NewTLSServer by certificate (RFC 8705). Each assertion counts
// once. Tokens are bound to the key of clients that send DPoP proofs (RFC 9449),
// and to the certificate of those with RegisteredClient.CertificateBound.
//
// [Server.Allow] and [Server.AllowDevice] play the person who signs in and gives
// consent, by the same pages that a browser gets.
//
// Beside OAuth it plays home-grown JSON backends with the same users and
// sessions: see [Backend] and [Server.DialectConfig].
//
// # Making it fail
//
// [Server.Script] queues faults: outages, odd answers, connections that break
// before or after the server did its work. [Cases] lists what real servers, and
// what stands in front of them, have answered. [Server.RevokeAll],
// [Server.EndUser], [Server.ExpireAccess] and [Server.SetClientSecret] end things
// from the server's side. [Quirks] switch on what real servers do beside the
// specifications; docs/servers.md lists them with the test of each.
//
// # Finding mistakes
//
// The server knows what was sent, answered and received, and [Server.Audit]
// lists what no client should do: spend a refresh token twice, after it was
// revoked or refused, or in parallel, tokens in URLs, client assertions and DPoP
// proofs that are used again, and tokens that are presented without the proof they
// need. It does not hold
// against a client what the client cannot know: a refresh token sent again
// within seconds after its answer was lost does not count.
//
// # Concurrency
//
// A Server is safe for concurrent use. It starts no goroutine of its own except
// one per request in flight and, after NewServer, those of net/http. No lock is
// held while it waits, so a test in a bubble never hangs on it.
//
// It is not for production: it keeps its state in memory, with a record of
// each spent refresh token for the audit, and its passwords in the configuration.
package oauthtest
