package sqlstore_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/sql"
)

func TestWatchWithoutListenSaysSoAtOnce(t *testing.T) {
	s := new(fakeDB).store(t, sqlstore.Config{})
	if err := s.Watch(t.Context(), nil); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%v; want an error that wraps errors.ErrUnsupported", err)
	}
}

func TestWatchListensAgainWhenTheConnectionIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		s := new(fakeDB).store(t, sqlstore.Config{Table: "app.sessions", Listen: func(ctx context.Context, channel string, notify func(string)) error {
			if channel != "app.sessions" {
				t.Errorf("it listens on %q", channel)
			}
			switch calls++; calls {
			case 2, 3: // not back yet
				return errDown
			case 4:
				notify("")
				notify("?b")
				<-ctx.Done()
				return ctx.Err()
			}
			notify("")
			notify("=a")
			return errDown
		}})
		var told []tokenstore.Change
		err := s.Watch(ctx, func(c tokenstore.Change) {
			if told = append(told, c); c.Name == "b" {
				cancel()
			}
		})
		if want := []tokenstore.Change{{}, {Name: "a"}, {}, {Name: "b", Begun: true}}; !slices.Equal(told, want) || !errors.Is(err, context.Canceled) {
			t.Errorf("told of %+v, and then %v; want %+v", told, err, want)
		}
	})
}

func TestWatchEndsWhenListenDoesNotWork(t *testing.T) {
	for name, worked := range map[string]bool{"never": false, "any more": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first := true
				s := new(fakeDB).store(t, sqlstore.Config{Listen: func(_ context.Context, _ string, notify func(string)) error {
					if worked && first {
						notify("")
					}
					first = false
					return errDown
				}})
				begun := time.Now()
				err := s.Watch(t.Context(), func(tokenstore.Change) {})
				if d := time.Since(begun); !errors.Is(err, errDown) || worked != (d > time.Minute) || d > 63*time.Second {
					t.Errorf("after %v: %v", d, err)
				}
			})
		})
	}
}
