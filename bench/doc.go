// Package bench measures evertoken next to other libraries, in the same run and
// at the same work. It holds nothing but tests and benchmarks:
//
//	make bench
//
// runs them all in turn, prints medians and ratios, and says which goals are
// reached (see the command in ratio/);
//
//	make bench-check
//
// fails if a ratio has become worse than the one in results.json.
//
// # Contenders
//
// A benchmark's sub-benchmarks are named after the library that does the work:
//
//   - evertoken is this project's refresh.Manager; in a Pool, where there are many.
//   - floor is the least code that could be correct: see floorSource.
//   - x-oauth2 is golang.org/x/oauth2: a TokenSource that reuses its token.
//   - cloud-auth is cloud.google.com/go/auth: a cached TokenProvider that renews
//     in the background. cloud-auth-sync renews in its caller's time.
//   - aws is the CredentialsCache of github.com/aws/aws-sdk-go-v2.
//   - msal is github.com/AzureAD/microsoft-authentication-library-for-go: a
//     confidential client, whose tokens a function provides.
//   - ticking is x-oauth2 with a goroutine and a ticker for each session, which is
//     how programs renew ahead of time.
//
// One that is missing from a benchmark has no such feature. In particular, the
// transports of cloud-auth, aws and msal are part of packages for one company's
// APIs that do much else, and msal keeps the sessions of all its users in one
// cache.
//
// # Fairness
//
// Every contender is opened by the same kind of function and does its work in
// the same kind of closure, so what the harness costs is the same for all. Tests
// beside the benchmarks run each contender and check that what it did is the work
// that is claimed: they are what makes the numbers comparable.
//
// Where the work cannot be made the same, because one library does more (a
// refresh of ours in a store announces and saves what it does) or less, the benchmark says so.
//
// The benchmarks open no socket, but for those that send requests to an API. Those with a server call it in process, and its
// time is part of the numbers of every library measured.
package bench
