package teststore

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/evertoken/evertoken/tokenstore"
)

// WatchUntilSilent has a store watch a server that has nothing to say, which must last, and then
// one that silence lets say nothing any more, which must end; resume ends the silence. open
// returns a store that doubts a silence of the given length. It is called again, with
// longer ones, if the machine was too busy for a server's sign of life to come in time.
func WatchUntilSilent(t *testing.T, open func(silence time.Duration) tokenstore.Watcher, silence, resume func()) {
	t.Helper()
	for limit := time.Second; ; limit *= 2 {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		told := make(chan tokenstore.Change, 100)
		ended := Watch(ctx, open(limit), func(c tokenstore.Change) { told <- c })
		err := lasts(told, ended, 3*limit)
		if err == nil {
			silence()
			if err := <-ended; !errors.Is(err, tokenstore.ErrUnavailable) {
				t.Errorf("Watch of what is silent ended with %v; want %v", err, tokenstore.ErrUnavailable)
			}
			resume()
			return
		}
		if limit > 16*time.Second {
			t.Fatalf("Watch ended although there was nothing to say: %v", err)
		}
	}
}

// lasts returns nil if a watch has begun and goes on for a while, or why it has ended.
func lasts(told <-chan tokenstore.Change, ended <-chan error, while time.Duration) error {
	select {
	case <-told:
	case err := <-ended:
		return err
	}
	select {
	case <-time.After(while):
		return nil
	case err := <-ended:
		return err
	}
}

// Watch watches until ctx ends. The channel says how it has ended.
func Watch(ctx context.Context, s tokenstore.Watcher, changed func(tokenstore.Change)) (ended <-chan error) {
	end := make(chan error, 1)
	go func() { end <- s.Watch(ctx, changed) }()
	return end
}
