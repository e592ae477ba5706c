// Package conformance holds tests of Evertoken against parts that the project did
// not write: a real browser, Chromium, driven over its debugging protocol, and real
// authorization servers:
//
//   - oidc-provider, an npm package, with and without rotation of refresh tokens,
//   - @node-oauth/oauth2-server, an npm package, with and without rotation,
//   - fosite, the Go library of Ory, with rotation,
//   - glewlwyd, in C, a Debian package, with and without rotation,
//   - gin-jwt, a Go library that speaks a dialect of its own, with refresh tokens
//     in memory and in Redis, by its own stores and by Evertoken's (package oauthtest,
//     and tokenstore/refreshtoken).
//
// It is a module of its own, so that programs that use Evertoken do not get what only
// these tests need; fosite and gin-jwt are two more, in the directories fosite and ginjwt. In the directory kratos
// is another, with tests of its own: a backend on go-kratos, by HTTP and gRPC. ginjwt has tests
// of its own, too: gin-jwt 2, gin-jwt's own tests on our stores, and the records that the twins
// in oauthtest are held to; ginjwt30 has the version whose store interface has no contexts.
//
// [TestServers] plays the same scenarios with all of these servers, and prints a
// table in Markdown: what came of them, and what a server does not offer. Where the
// servers differ by right, [products] tells what to expect.
//
// # Running
//
//	./setup.sh && go test -race
//
// setup.sh installs what is missing and may be run again at any time. A part that
// is still missing makes its tests skip, with the reason; with
// EVERTOKEN_REQUIRE_REAL=1 or CI=true it makes them fail. With a list of packages,
// go test shows no table unless -v is given.
//
// With CONFORMANCE_SHOTS=DIR the tests leave a picture of every page in DIR, wide
// and narrow, light and dark.
//
// All servers listen on free ports of 127.0.0.1, and Chromium can reach nothing
// else. Real time passes in these tests, unlike in all others of the project:
// browsers and other people's servers know no other.
package conformance
