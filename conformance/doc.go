// Package conformance holds tests of Evertoken against parts that the project did
// not write: a real browser, Chromium, driven over its debugging protocol, and a
// real authorization server, the npm package oidc-provider. It is a module of its
// own, so that nobody who uses Evertoken gets what only these tests need.
//
// # Running
//
//	./setup.sh && go test -race ./...
//
// setup.sh installs what is missing and may be run again at any time. A part that
// is still missing makes its tests skip, with the reason; with
// EVERTOKEN_REQUIRE_REAL=1 or CI=true it makes them fail.
//
// With CONFORMANCE_SHOTS=DIR the tests leave a picture of every page in DIR, wide
// and narrow, light and dark.
//
// All servers listen on free ports of 127.0.0.1, and Chromium can reach nothing
// else. Real time passes in these tests, unlike in all others of the project:
// browsers and other people's servers know no other.
package conformance
