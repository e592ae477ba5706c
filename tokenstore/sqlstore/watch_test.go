package sqlstore_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/sqlstore"
)

// A channel is what those hear who listen in a fakeDB.
type channel struct {
	fakeDB
	ears  []chan string
	beats atomic.Int64
	deaf  atomic.Bool
}

// newChannel returns a database in which a heartbeat reaches everybody.
func newChannel() *channel {
	c := new(channel)
	c.exec = func(_ context.Context, _ string, payload any) (int64, error) {
		c.beats.Add(1)
		c.tell(payload.(string))
		return 1, nil
	}
	return c
}

func (c *channel) tell(payload string) {
	for _, ear := range c.ears {
		ear <- payload
	}
}

// listener returns a Config.Listen, to be made before anything is told.
func (c *channel) listener() func(context.Context, string, func(string)) error {
	ear := make(chan string, 100)
	c.ears = append(c.ears, ear)
	return func(ctx context.Context, _ string, notify func(string)) error {
		for notify(""); ; {
			select {
			case payload := <-ear:
				if !c.deaf.Load() {
					notify(payload)
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

func TestWatchWithoutListenSaysSoAtOnce(t *testing.T) {
	s := new(fakeDB).store(t, sqlstore.Config{})
	if err := s.Watch(t.Context(), nil); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%v; want an error that wraps errors.ErrUnsupported", err)
	}
}

func TestWatchTellsWhatIsHeardUntilListenEnds(t *testing.T) {
	for name, reason := range map[string]error{"with a reason": errDown, "without": nil} {
		t.Run(name, func(t *testing.T) {
			s := new(fakeDB).store(t, sqlstore.Config{Table: "app.sessions", Listen: func(_ context.Context, channel string, notify func(string)) error {
				if channel != "app.sessions" {
					t.Errorf("it listens on %q", channel)
				}
				for _, payload := range []string{"", "=a", "?b", "!", "somebody else's"} {
					notify(payload)
				}
				return reason
			}})
			var told []tokenstore.Change
			err := s.Watch(t.Context(), func(c tokenstore.Change) { told = append(told, c) })
			if want := []tokenstore.Change{{}, {Name: "a"}, {Name: "b", Begun: true}, {}}; !slices.Equal(told, want) {
				t.Errorf("told of %+v; want %+v", told, want)
			}
			if !errors.Is(err, tokenstore.ErrUnavailable) || reason != nil && !errors.Is(err, reason) {
				t.Errorf("Watch ended with %v", err)
			}
		})
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChannel()
		s := c.store(t, sqlstore.Config{Listen: c.listener()})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for range 2 {
			begun := time.Now()
			if err := s.Watch(ctx, func(tokenstore.Change) {}); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > time.Second {
				t.Errorf("after %v: %v", time.Since(begun), err)
			}
		}
	})
}

// Nobody writes: a crowd makes sure that it hears by few heartbeats, which are not news.
func TestASilentChannelIsNoReasonToListenAnew(t *testing.T) {
	for _, crowd := range []int{1, 20} {
		synctest.Test(t, func(t *testing.T) {
			c := newChannel()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			var told atomic.Int64
			ended := make(chan error, crowd)
			var stores []*sqlstore.Store
			for range crowd {
				stores = append(stores, c.store(t, sqlstore.Config{Listen: c.listener()}))
			}
			for _, s := range stores {
				go func() { ended <- s.Watch(ctx, func(tokenstore.Change) { told.Add(1) }) }()
			}
			for range crowd {
				if err := <-ended; !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%d listen: Watch ended with %v", crowd, err)
				}
			}
			if n := c.beats.Load(); n < 40 || n > 60 {
				t.Errorf("%d listen: %d heartbeats in ten minutes; want one every ten to fifteen seconds", crowd, n)
			}
			if n := told.Load(); n != int64(crowd) {
				t.Errorf("%d listen: told of %d changes", crowd, n)
			}
		})
	}
}

func TestWhoHearsSendsNoHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChannel()
		s := c.store(t, sqlstore.Config{Listen: c.listener()})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.Watch(ctx, func(tokenstore.Change) {}) }()
		for range 100 {
			time.Sleep(9 * time.Second)
			c.tell("=a")
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) || c.beats.Load() != 0 {
			t.Errorf("%d heartbeats, and %v", c.beats.Load(), err)
		}
	})
}

func TestWatchEndsWhenItCannotHear(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(c *channel, cfg *sqlstore.Config)
		most time.Duration
	}{
		"a heartbeat is not heard":    {func(c *channel, _ *sqlstore.Config) { c.deaf.Store(true) }, 30 * time.Second},
		"nor by one with short locks": {func(c *channel, cfg *sqlstore.Config) { c.deaf.Store(true); cfg.LeaseTime = time.Second }, 2 * time.Second},
		"it cannot be sent": {func(c *channel, _ *sqlstore.Config) {
			c.exec = func(context.Context, string, any) (int64, error) { return 0, errDown }
		}, 15 * time.Second},
		"sending it takes for ever": {func(c *channel, _ *sqlstore.Config) {
			c.exec = func(ctx context.Context, _ string, _ any) (int64, error) { <-ctx.Done(); return 0, ctx.Err() }
		}, 30 * time.Second},
		"it never connects": {func(_ *channel, cfg *sqlstore.Config) {
			cfg.Listen = func(ctx context.Context, _ string, _ func(string)) error { <-ctx.Done(); return ctx.Err() }
		}, 30 * time.Second},
		"Listen does not return": {func(c *channel, cfg *sqlstore.Config) {
			c.deaf.Store(true)
			cfg.Listen = func(_ context.Context, _ string, notify func(string)) error {
				notify("")
				time.Sleep(time.Hour)
				notify("=too late")
				return nil
			}
		}, 35 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newChannel()
				cfg := sqlstore.Config{Listen: c.listener()}
				tt.edit(c, &cfg)
				s := c.store(t, cfg)
				begun, over := time.Now(), false
				err := s.Watch(t.Context(), func(tokenstore.Change) {
					if over {
						t.Error("told of a change after Watch has returned")
					}
				})
				over = true
				if d := time.Since(begun); !errors.Is(err, tokenstore.ErrUnavailable) || d < tt.most/3 || d > tt.most {
					t.Errorf("after %v: %v; want %v within %v", d, err, tokenstore.ErrUnavailable, tt.most)
				}
				time.Sleep(2 * time.Hour)
			})
		})
	}
}
