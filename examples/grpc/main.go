// Command grpc shows a session live at a backend that speaks gRPC: through several
// expiries, an outage, and a server that forgets its access tokens. It runs both
// sides in one process, for about 20 seconds:
//
//	go run .
//
// It ends with exit code 1 if a refresh token was misused or the session lost.
// Package authclient is the part that a program with such a backend needs.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run tells the story to w.
func run(ctx context.Context, w io.Writer) error {
	s, err := newStory(ctx, w)
	if err != nil {
		return err
	}
	defer s.close()
	for _, step := range []func(context.Context) error{s.expiries, s.outage, s.forgotten, s.stream} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return s.end(ctx)
}
