package refresh

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// Whatever ends a call, whoever looks finds it ended, and why: by Err alone, by
// Done, or by a context made of it.
func TestAStoreCallEndsLikeAContextWithATimeout(t *testing.T) {
	far := func() (context.Context, context.CancelFunc) { return context.WithCancel(context.Background()) }
	for name, end := range map[string]func(parent, also context.CancelFunc, c *storeCall) error{
		"nothing": func(_, _ context.CancelFunc, _ *storeCall) error { return nil },
		"its time": func(_, _ context.CancelFunc, _ *storeCall) error {
			time.Sleep(2 * time.Second)
			return context.DeadlineExceeded
		},
		"its parent":  func(parent, _ context.CancelFunc, _ *storeCall) error { parent(); return context.Canceled },
		"the other":   func(_, also context.CancelFunc, _ *storeCall) error { also(); return context.Canceled },
		"its own end": func(_, _ context.CancelFunc, c *storeCall) error { c.finish(); return context.Canceled },
	} {
		for _, before := range []bool{false, true} { // whether somebody waits before it ends
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					parent, endParent := far()
					also, endAlso := far()
					defer endParent()
					defer endAlso()
					c := newStoreCall(parent, also, time.Second)
					defer c.finish()
					if before {
						child, cancel := context.WithCancel(c)
						defer cancel()
						defer func() {
							synctest.Wait()
							if !errors.Is(child.Err(), c.Err()) {
								t.Errorf("a context made of it: %v; itself: %v", child.Err(), c.Err())
							}
						}()
					}
					want := end(endParent, endAlso, c)
					if before {
						synctest.Wait()
					}
					if got := c.Err(); got != want {
						t.Errorf("Err: %v; want %v", got, want)
					}
					if got := context.Cause(c); got != want {
						t.Errorf("cause: %v; want %v", got, want)
					}
					done := false
					select {
					case <-c.Done():
						done = true
					default:
					}
					if done != (want != nil) {
						t.Errorf("done: %v; want %v", done, want != nil)
					}
				})
			})
		}
	}
}

func TestAStoreCallHasTheEarlierDeadlineAndItsParentsValues(t *testing.T) {
	type key struct{}
	parent := context.WithValue(t.Context(), key{}, "value")
	early, cancel := context.WithTimeout(parent, time.Second)
	defer cancel()
	for _, tt := range []struct {
		parent context.Context
		limit  time.Duration
		most   time.Duration
	}{{parent, time.Minute, time.Minute}, {early, time.Minute, time.Second}, {early, time.Millisecond, time.Millisecond}} {
		c := newStoreCall(tt.parent, nil, tt.limit)
		for range 2 {
			end, bounded := c.Deadline()
			if left := time.Until(end); !bounded || left > tt.most || left < tt.most-time.Second/2 {
				t.Errorf("%v left of %v", left, tt.most)
			}
			if c.Value(key{}) != "value" {
				t.Error("the parent's value is lost")
			}
			c.Done() // and again with a timer
		}
		c.finish()
	}
}

// Package context would need a goroutine to follow a context that it does not know.
func TestAContextMadeOfAStoreCallNeedsNoGoroutine(t *testing.T) {
	parent, cancelParent := context.WithCancel(context.Background())
	defer cancelParent()
	c := newStoreCall(parent, nil, time.Minute)
	defer c.finish()
	before := runtime.NumGoroutine()
	_, cancel := context.WithCancel(c)
	defer cancel()
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines, after %d", after, before)
	}
}
