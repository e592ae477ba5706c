// Package oidc checks the signatures of OpenID Connect ID tokens.
//
// Without it a client checks the claims of ID tokens, and relies on having them
// straight from the token endpoint over TLS, as OpenID Connect Core section
// 3.1.3.7 allows. Programs that act on what an ID token says, or hand it to
// others, want the signature checked too:
//
//	client, err := oauth.Discover(ctx, "https://login.example.com", oauth.Config{
//		ClientID:      "my-cli",
//		VerifyIDToken: new(oidc.Verifier).Verify,
//	})
//
// It is a package of its own so that programs which need no more than a living
// session do not compile it.
package oidc
