package tokenstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/tokenstore"
)

// A keyring is a KeyFunc that takes a second and returns what it holds when it
// is called.
type keyring struct {
	calls atomic.Int32

	mu   sync.Mutex // guards keys and err
	keys []tokenstore.Key
	err  error
}

func (k *keyring) read(ctx context.Context) ([]tokenstore.Key, error) {
	k.calls.Add(1)
	k.mu.Lock()
	keys, err := k.keys, k.err
	k.mu.Unlock()
	select {
	case <-time.After(time.Second):
		return keys, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (k *keyring) hold(keys ...tokenstore.Key) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys = keys
}

func (k *keyring) wantCalls(t *testing.T, want int32) {
	t.Helper()
	if got := k.calls.Load(); got != want {
		t.Errorf("the keys were asked for %d times; want %d", got, want)
	}
}

func TestKeysAreAskedForOnceAndKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring := &keyring{keys: []tokenstore.Key{tokenstore.NewKey()}}
		s := tokenstore.NewSealed(new(tokenstore.Memory), ring.read)
		ring.wantCalls(t, 0)
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				name := fmt.Sprint("session ", i)
				_, err := s.Set(t.Context(), name, &tokenstore.Record{Tokens: newPair("a")})
				if err == nil {
					_, err = s.Get(t.Context(), name)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		ring.wantCalls(t, 1)
	})
}

func TestUnknownKeyIsAskedForOnceMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		older, newer := tokenstore.NewKey(), tokenstore.NewKey()
		inner, ring := new(tokenstore.Memory), &keyring{keys: []tokenstore.Key{older}}
		s := tokenstore.NewSealed(inner, ring.read)
		mustSet(t, s, "a", &tokenstore.Record{Tokens: newPair("a")})

		// Another process changes to a new key.
		ring.hold(newer, older)
		mustSet(t, tokenstore.NewSealed(inner, tokenstore.Keys(newer)), "b", &tokenstore.Record{Tokens: newPair("b")})
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if _, err := s.Get(t.Context(), "b"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		ring.wantCalls(t, 2)
		mustGet(t, s, "a")
		ring.wantCalls(t, 2)

		mustSet(t, s, "c", &tokenstore.Record{Tokens: newPair("c")})
		if got := keyOn(t, inner, "c"); got != newer.ID() {
			t.Errorf("sealed with key %s; want the new one, %s", got, newer.ID())
		}
	})
}

// A call that was under way when the session was read may have looked before
// the new key was there.
func TestCallBegunTooEarlyIsNotTheLastWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		older, newer := tokenstore.NewKey(), tokenstore.NewKey()
		inner, ring := new(tokenstore.Memory), &keyring{keys: []tokenstore.Key{older}}
		s := tokenstore.NewSealed(inner, ring.read)
		go func() {
			if _, err := s.Set(t.Context(), "a", &tokenstore.Record{Tokens: newPair("a")}); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait() // the first call has looked, and returns in a second

		ring.hold(newer, older)
		mustSet(t, tokenstore.NewSealed(inner, tokenstore.Keys(newer)), "b", &tokenstore.Record{Tokens: newPair("b")})
		mustGet(t, s, "b")
		ring.wantCalls(t, 2)
	})
}

func TestSlowKeyHoldsNobodyUpBeyondTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		known, unknown := tokenstore.NewKey(), tokenstore.NewKey()
		inner := new(tokenstore.Memory)
		calls := 0
		s := tokenstore.NewSealed(inner, func(ctx context.Context) ([]tokenstore.Key, error) {
			if calls++; calls > 1 {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return []tokenstore.Key{known}, nil
		})
		mustSet(t, s, "known", &tokenstore.Record{Tokens: newPair("a")})
		mustSet(t, tokenstore.NewSealed(inner, tokenstore.Keys(unknown)), "unknown", &tokenstore.Record{Tokens: newPair("a")})

		start := time.Now()
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i+1)*time.Second)
				defer cancel()
				_, err := s.Get(ctx, "unknown")
				if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, tokenstore.ErrSealed) {
					t.Errorf("Get: %v; want the context's error only", err)
				}
				if waited := time.Since(start); waited != time.Duration(i+1)*time.Second {
					t.Errorf("Get with a time limit of %ds took %v", i+1, waited)
				}
			})
		}
		synctest.Wait() // all of them wait for the key
		mustGet(t, s, "known")
		mustSet(t, s, "more", &tokenstore.Record{Tokens: newPair("a")})
		if waited := time.Since(start); waited != 0 {
			t.Errorf("those who have their key waited for %v", waited)
		}
		wg.Wait()
		// The bubble ends, because the context of the call does.
	})
}

func TestWhoLeavesTakesTheKeyFromNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type value struct{}
		ring := &keyring{keys: []tokenstore.Key{tokenstore.NewKey()}}
		s := tokenstore.NewSealed(new(tokenstore.Memory), func(ctx context.Context) ([]tokenstore.Key, error) {
			if ctx.Value(value{}) != "first" {
				t.Errorf("the call has not the values of who caused it")
			}
			return ring.read(ctx)
		})
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), value{}, "first"))
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := s.Set(ctx, "a", &tokenstore.Record{Tokens: newPair("a")}); !errors.Is(err, context.Canceled) {
				t.Errorf("Set of who left: %v", err)
			}
		})
		synctest.Wait() // its call is under way
		wg.Go(func() {
			time.Sleep(time.Second / 2)
			cancel()
		})
		mustSet(t, s, "b", &tokenstore.Record{Tokens: newPair("b")})
		wg.Wait()
		ring.wantCalls(t, 1)
	})
}

// A keyring that does not heed its context goes on after everybody has left. It
// is not called a second time meanwhile, and what it says in the end is not
// taken for the answer to a later question.
func TestAbandonedCallIsWaitedForAndNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls, running atomic.Int32
		s := tokenstore.NewSealed(new(tokenstore.Memory), func(ctx context.Context) ([]tokenstore.Key, error) {
			if running.Add(1) != 1 {
				t.Errorf("two calls at a time")
			}
			defer running.Add(-1)
			time.Sleep(time.Minute)
			if calls.Add(1) == 1 {
				return nil, ctx.Err()
			}
			return []tokenstore.Key{tokenstore.NewKey()}, nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Set(ctx, "a", &tokenstore.Record{Tokens: newPair("a")}); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Set: %v", err)
		}
		start := time.Now()
		mustSet(t, s, "b", &tokenstore.Record{Tokens: newPair("b")})
		if waited := time.Since(start); waited != 2*time.Minute-time.Second {
			t.Errorf("waited %v; want the rest of one call and another", waited)
		}
	})
}

type lockedKeyring struct{ error }

func (e lockedKeyring) Unwrap() error { return e.error }

func TestErrorOfTheKeysIsNeverAnErrorOfTheSession(t *testing.T) {
	inner := new(tokenstore.Memory)
	mustSet(t, tokenstore.NewSealed(inner, tokenstore.Keys(tokenstore.NewKey())), "default", &tokenstore.Record{Tokens: newPair("a")})
	sentinels := []error{
		tokenstore.ErrNotFound, tokenstore.ErrConflict, tokenstore.ErrDamaged, tokenstore.ErrNewerFormat, tokenstore.ErrSealed,
		tokenstore.ErrNotSealed, tokenstore.ErrLocked, tokenstore.ErrLeaseLost, tokenstore.ErrInvalidName,
	}
	errKeyring := errors.New("keyring is locked: unlock it")
	cause := lockedKeyring{errors.Join(append(sentinels, errKeyring, context.DeadlineExceeded)...)}
	s := tokenstore.NewSealed(inner, func(context.Context) ([]tokenstore.Key, error) { return nil, cause })

	_, get := s.Get(t.Context(), "default")
	_, set := s.Set(t.Context(), "new", &tokenstore.Record{Tokens: newPair("a")})
	_, cleanup := s.Cleanup(t.Context())
	_, reseal := s.Reseal(t.Context())
	for what, err := range map[string]error{"Get": get, "Set": set, "Cleanup": cleanup, "Reseal": reseal} {
		for _, sentinel := range sentinels {
			if errors.Is(err, sentinel) {
				t.Errorf("%s: the error matches %q", what, sentinel)
			}
		}
		var typed lockedKeyring
		if !errors.Is(err, errKeyring) || !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &typed) {
			t.Errorf("%s: error %v; want the cause to be found in it", what, err)
		}
		if err == nil || !strings.Contains(err.Error(), "sealing key: ") || !strings.Contains(err.Error(), "keyring is locked: unlock it") {
			t.Errorf("%s: error %v; want it to say what the keyring says", what, err)
		}
	}
}

func TestFailedCallIsSharedAndNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring := &keyring{err: errors.New("keyring is locked")}
		s := tokenstore.NewSealed(new(tokenstore.Memory), ring.read)
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				if _, err := s.Set(t.Context(), fmt.Sprint(i), &tokenstore.Record{Tokens: newPair("a")}); !errors.Is(err, ring.err) {
					t.Errorf("Set: %v", err)
				}
			})
		}
		wg.Wait()
		if waited := time.Since(start); waited != time.Second {
			t.Errorf("a hundred callers waited %v for one call of a second", waited)
		}
		ring.mu.Lock()
		ring.keys, ring.err = []tokenstore.Key{tokenstore.NewKey()}, nil
		ring.mu.Unlock()
		mustSet(t, s, "default", &tokenstore.Record{Tokens: newPair("a")})
		ring.wantCalls(t, 2)
	})
}

func TestFailedCallLeavesTheKeptKeysInUse(t *testing.T) {
	key := tokenstore.NewKey()
	inner, ring := new(tokenstore.Memory), []tokenstore.Key{key}
	s := tokenstore.NewSealed(inner, func(context.Context) ([]tokenstore.Key, error) {
		defer func() { ring = nil }()
		return ring, nil
	})
	mustSet(t, s, "default", &tokenstore.Record{Tokens: newPair("a")})
	mustSet(t, tokenstore.NewSealed(inner, tokenstore.Keys(tokenstore.NewKey())), "other", &tokenstore.Record{Tokens: newPair("b")})
	if _, err := s.Get(t.Context(), "other"); err == nil {
		t.Errorf("a session opened without its key")
	}
	mustGet(t, s, "default")
}

func TestNoKeyIsAnErrorThatSaysSo(t *testing.T) {
	for what, keys := range map[string][]tokenstore.Key{
		"none":         nil,
		"a zero key":   {{}},
		"one of two":   {tokenstore.NewKey(), {}},
		"the first is": {{}, tokenstore.NewKey()},
	} {
		inner := new(tokenstore.Memory)
		s := tokenstore.NewSealed(inner, tokenstore.Keys(keys...))
		_, err := s.Set(t.Context(), "default", &tokenstore.Record{Tokens: newPair("a")})
		if want := `tokenstore: save session "default": sealing key: there is none: give at least one, from NewKey or ParseKey`; err == nil || err.Error() != want {
			t.Errorf("%s: error %v; want %q", what, err, want)
		}
		if n, _ := inner.Count(t.Context()); n != 0 {
			t.Errorf("%s: something was saved", what)
		}
	}
}

func TestKeysKeepsItsOwnList(t *testing.T) {
	keys := []tokenstore.Key{tokenstore.NewKey()}
	want := keys[0].ID()
	fn := tokenstore.Keys(keys...)
	keys[0] = tokenstore.NewKey()
	if got, err := fn(t.Context()); len(got) != 1 || got[0].ID() != want || err != nil {
		t.Errorf("got %v, %v; want the key that was given", got, err)
	}
}
