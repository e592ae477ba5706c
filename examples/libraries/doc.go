// Package libraries tests that a refresh.Manager goes with libraries that bring
// their own HTTP client, or a cache for tokens: each of them makes a call a minute
// for a day, against a server that ends the old access token with each renewal, and
// none may fail. Its tests show which door is right for which library; see
// docs/libraries.md.
package libraries
