// Package oauth is the client side of OAuth 2: it obtains token pairs, renews
// them, and says precisely what an answer means.
//
// Most programs want three calls: [Discover] (or [NewClient] with explicit
// endpoints), [Client.Authenticate] to log a person in, and a refresh.Manager
// around the result to keep it alive:
//
//	client, err := oauth.Discover(ctx, "https://login.example.com", oauth.Config{ClientID: "my-cli"})
//	tokens, err := client.Authenticate(ctx)
//
// # Logging in
//
// [Client.Authenticate] is for programs on a person's machine,
// [Client.DeviceLogin] for machines without a browser, such as servers reached by
// SSH. Web applications with a callback of their own use [Client.AuthCodeURL] (or
// [Client.PushAuthCode], where the server wants it) and [Client.Exchange], services
// without a person [Client.ClientCredentialsRefresher] (or
// [Client.ClientCredentials], for one token), and services that act for one
// [Client.ExchangeToken].
//
// A program that knows an API's address only begins with [DiscoverResource], and
// where it is not registered yet, with the package register.
//
// Home-grown backends that hand out JWTs over JSON do not speak OAuth: the package
// dialect talks to them.
//
// # Requests
//
// Every token request is exactly one POST. It follows no redirect, probes no
// authentication style and is never repeated behind the caller's back, because
// a rotating server takes a refresh token once. Plain HTTP is refused except to
// loopback addresses.
//
// # Client authentication
//
// Public clients, such as programs people install, send their ID alone. Others
// have a secret, or better a key that signs ([PrivateKeyJWT]) or a certificate
// ([TLSClientAuth]), of which the server never holds more than the public half. The
// method goes with every POST, and is never guessed: a wrong guess can cost the refresh
// token.
//
// Servers may bind tokens to the certificate (RFC 8705 section 3). APIs want to see
// it then, too, which they do by [Client.ResourceTransport] and through a
// refresh.Manager. Config.DPoP binds tokens without one.
//
// # Errors
//
// Errors answer "what can the caller do now?". Match them with errors.Is:
// [ErrLoginRequired] (only a new login helps), [ErrTransient] (try again later,
// nothing is lost), [ErrMisconfigured] (a developer or operator must change
// something). errors.As with [*Error] gives code, status, and the time before
// which the server does not want to be asked again; [Error.Verdict] says what an
// answer to a refresh means for the session, which only a closed list of words ends
// (docs/verdicts.md in the repository).
//
// # ID tokens
//
// With the scope openid a login carries a nonce, and the claims of every ID token
// are checked. One that fails makes a login fail, with an error that matches
// [ErrIDToken]. A refresh keeps the tokens beside it, and the ID token it had:
// see TokenPair.IDTokenError. Signatures are checked by Config.VerifyIDToken,
// for which the package oauth/oidc has a function.
//
// # Secrets
//
// A [TokenPair], a [Config] and a [Client] print redacted under every fmt verb
// and in slog. Errors hold no token, no key, no query string and no response body.
//
// # Concurrency
//
// A [Client] is safe for concurrent use. A [TokenPair] is a plain value: share
// it by pointer and do not modify one that others read.
package oauth
