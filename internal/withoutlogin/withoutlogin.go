// Package withoutlogin marks requests for whose sake no person is to be asked: package connect
// gives their refusals back as they are. A program that ends says goodbye with one.
package withoutlogin

import "context"

type key struct{}

// Context returns a context for such requests.
func Context(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, true) }

// Is reports whether ctx is that of such a request.
func Is(ctx context.Context) bool { return ctx.Value(key{}) != nil }
