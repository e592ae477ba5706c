// Package bench measures evertoken next to other libraries, in the same run and
// at the same work. It holds nothing but tests and benchmarks:
//
//	make bench
//
// runs them all and prints medians and ratios (see the command in ratio/).
//
// # Contenders
//
// A benchmark's sub-benchmarks are named after the library that does the work:
//
//   - evertoken is this project's refresh.Manager.
//   - x-oauth2 is golang.org/x/oauth2: a TokenSource that reuses its token.
//   - cloud-auth is cloud.google.com/go/auth: a cached TokenProvider.
//
// One that is missing from a benchmark has no such feature. In particular,
// cloud-auth cannot begin with a saved access token, and its transport is part of
// a package for Google's APIs that does much else.
//
// # Fairness
//
// Every contender is opened by the same kind of function and does its work in
// the same kind of closure, so what the harness costs is the same for all. Tests
// beside the benchmarks run each contender and check that what it did is the work
// that is claimed: they are what makes the numbers comparable.
//
// Where the work cannot be made the same, because one library does more (a
// refresh of ours announces and saves what it does) or less, the benchmark says so.
//
// The benchmarks open no socket. Those with a server call it in process, and its
// time is part of everybody's numbers.
package bench
