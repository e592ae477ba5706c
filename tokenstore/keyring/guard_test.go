package keyring_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/keyring"
)

// hang makes every call of the keyring wait until the returned function is called,
// or the test ends.
func hang(t *testing.T, f *keyring.Fake) (release func()) {
	never := make(chan struct{})
	release = sync.OnceFunc(func() { close(never) })
	f.Disturb(func(string, string) error {
		<-never
		return nil
	})
	t.Cleanup(release)
	return release
}

// within fails the test unless fn takes the given time, exactly.
func within(t *testing.T, what string, want time.Duration, fn func()) {
	t.Helper()
	start := time.Now()
	fn()
	if took := time.Since(start); took != want {
		t.Errorf("%s took %v; want %v", what, took, want)
	}
}

func TestF35_KeyringThatNeverAnswersCostsItsLimitAndOneGoroutine(t *testing.T) {
	p := newPlace(t)
	synctest.Test(t, func(t *testing.T) {
		d := p.direct(t)
		mustSet(t, d, "default", record("a"))
		mustSet(t, p.open(t), "default", record("a"))
		s := p.open(t) // it has not used the key yet
		release := hang(t, p.fake)

		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				within(t, "Get", 3*time.Second, func() {
					_, err := d.Get(t.Context(), "default")
					wantErr(t, "Get", err, keyring.ErrTimeout)
				})
			})
		}
		wg.Wait()
		synctest.Wait()
		if now, most := p.fake.Running(); now != 1 || most != 1 {
			t.Errorf("%d calls are stuck and %d were at once; want one", now, most)
		}
		if n := goroutinesIn("keyring.protect[...]"); n != 1 {
			t.Errorf("%d goroutines are stuck; want one", n)
		}
		within(t, "Get of a sealed session", 3*time.Second, func() {
			_, err := s.Get(t.Context(), "default")
			wantErr(t, "Get of a sealed session", err, keyring.ErrTimeout)
		})
		within(t, "OpenDirect", 3*time.Second, func() {
			_, err := keyring.OpenDirectOn(t.Context(), p.config, p.fake, p.root, p.maxItem)
			wantErr(t, "OpenDirect", err, keyring.ErrTimeout)
		})
		within(t, "Open with a limit of its own", time.Second, func() {
			c := p.config
			c.Timeout = time.Second
			_, err := keyring.OpenOn(t.Context(), c, p.fake, p.root)
			wantErr(t, "Open", err, keyring.ErrTimeout)
		})

		release()
		synctest.Wait()
		mustGet(t, d, "default")
	})
}

func TestF35_KeyringThatDoesNotTellItsStateIsATimeout(t *testing.T) {
	p := newPlace(t)
	p.fake.SetDeaf()
	synctest.Test(t, func(t *testing.T) {
		for range 20 { // the answer and the limit come at the same moment
			within(t, "Open", 3*time.Second, func() {
				_, err := keyring.OpenOn(t.Context(), p.config, p.fake, p.root)
				wantErr(t, "Open", err, keyring.ErrTimeout)
				if errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Open: %v matches the error of a context that did not end", err)
				}
			})
		}
	})
}

func TestCallerLeavesWhenItsContextEnds(t *testing.T) {
	p := newPlace(t)
	synctest.Test(t, func(t *testing.T) {
		d := p.direct(t)
		hang(t, p.fake)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		within(t, "Get", time.Second, func() {
			_, err := d.Get(ctx, "default")
			wantErr(t, "Get", err, keyring.ErrTimeout)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Get: %v; want the context's error as well", err)
			}
		})
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		within(t, "Get", time.Second, func() {
			_, err := d.Get(ctx, "default")
			wantErr(t, "Get", err, context.Canceled)
		})
	})
}

func TestPanicInTheKeyringIsAnError(t *testing.T) {
	for name, test := range map[string]struct {
		state error
		want  error
	}{
		"and it is gone":  {keyring.ErrNoKeyring, keyring.ErrNoKeyring},
		"and it is there": {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			d := p.direct(t)
			p.fake.Disturb(func(string, string) error {
				p.fake.SetBroken(test.state)
				panic(secret)
			})
			_, err := d.Get(t.Context(), "default")
			if test.want != nil {
				wantErr(t, "Get", err, test.want)
			} else if err == nil || !strings.Contains(err.Error(), "broke") || strings.Contains(err.Error(), secret) {
				t.Errorf("Get: %v; want an error without the panic's value", err)
			}
			p.fake.Disturb(nil)
			p.fake.SetBroken(nil)
			if _, err := d.Get(t.Context(), "default"); !errors.Is(err, tokenstore.ErrNotFound) {
				t.Errorf("Get after a panic: %v; want ErrNotFound", err)
			}
		})
	}
}

func TestLockedKeyringFailsAtOnceWhereNobodyCanBeAsked(t *testing.T) {
	for name, prepare := range map[string]func(p *place){
		"nobody is there":        func(p *place) { p.fake.SendAway() },
		"nobody may be asked":    func(p *place) { p.config.PromptTimeout = -1 },
		"neither the one nor...": func(p *place) { p.fake.SendAway(); p.config.PromptTimeout = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			synctest.Test(t, func(t *testing.T) {
				prepare(p)
				d := p.direct(t)
				lockKeyring(p)
				p.fake.Disturb(func(op, item string) error {
					t.Errorf("%s of %s: the keyring was called, and would have asked", op, item)
					return nil
				})
				within(t, "Get, Set and Open", 0, func() {
					_, err := d.Get(t.Context(), "default")
					wantErr(t, "Get", err, keyring.ErrKeyringLocked)
					_, err = d.Set(t.Context(), "default", record("a"))
					wantErr(t, "Set", err, keyring.ErrKeyringLocked)
					_, err = keyring.OpenOn(t.Context(), p.config, p.fake, p.root)
					wantErr(t, "Open", err, keyring.ErrKeyringLocked)
				})
			})
		})
	}
}

// A keyring that was open a moment ago is not looked at before each call. If it has
// been locked since, one call learns that.
func TestKeyringLockedBetweenTwoCallsIsAskedOnce(t *testing.T) {
	p := newPlace(t)
	p.fake.SendAway()
	synctest.Test(t, func(t *testing.T) {
		d := p.direct(t)
		p.fake.SetLocked(true)
		calls := 0
		p.fake.Disturb(func(string, string) error { calls++; return nil })
		for range 3 {
			_, err := d.Get(t.Context(), "default")
			wantErr(t, "Get", err, keyring.ErrKeyringLocked)
		}
		if calls != 1 {
			t.Errorf("the keyring was called %d times; want once", calls)
		}
	})
}

// lockKeyring locks the keyring, and waits until the stores no longer count on what
// they saw of it. It must run in a bubble.
func lockKeyring(p *place) {
	p.fake.SetLocked(true)
	time.Sleep(time.Second)
}

// ask makes the locked keyring ask for a password, and records what was asked for.
// It is answered by a function that is run once the given time has passed.
func ask(f *keyring.Fake, after time.Duration, answer func()) (asked func() []string) {
	var (
		mu    sync.Mutex
		calls []string
	)
	answered := make(chan struct{})
	time.AfterFunc(after, func() { answer(); close(answered) })
	f.Disturb(func(op, item string) error {
		select {
		case <-answered:
			return nil
		default:
		}
		mu.Lock()
		calls = append(calls, op+" "+item)
		mu.Unlock()
		<-answered
		return nil
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return calls
	}
}

func TestPersonHasTimeToUnlock(t *testing.T) {
	p := newPlace(t)
	synctest.Test(t, func(t *testing.T) {
		d := p.direct(t)
		lockKeyring(p)
		asked := ask(p.fake, 50*time.Second, func() { p.fake.SetLocked(false) })
		var wg sync.WaitGroup
		for _, name := range []string{"a", "b", "c", "d"} {
			wg.Go(func() {
				if _, err := d.Set(t.Context(), name, record(name)); err != nil {
					t.Errorf("Set: %v", err)
				}
			})
		}
		time.Sleep(10 * time.Second)
		wg.Go(func() { // who comes late waits for the same answer
			if _, err := d.Get(t.Context(), "none"); !errors.Is(err, tokenstore.ErrNotFound) {
				t.Errorf("Get: %v; want ErrNotFound", err)
			}
		})
		wg.Wait()
		if calls := asked(); len(calls) != 1 || calls[0] != "get nothing" {
			t.Errorf("the question went with %q; want one call that reads nothing", calls)
		}
	})
}

func TestPersonWhoDoesNotUnlockGetsErrKeyringLocked(t *testing.T) {
	for name, test := range map[string]struct {
		answer time.Duration
		want   time.Duration
	}{
		"declines": {20 * time.Second, 20 * time.Second},
		"is away":  {time.Hour, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			synctest.Test(t, func(t *testing.T) {
				d := p.direct(t)
				lockKeyring(p)
				ask(p.fake, test.answer, func() {})
				within(t, "Set", test.want, func() {
					_, err := d.Set(t.Context(), "default", record("a"))
					wantErr(t, "Set", err, keyring.ErrKeyringLocked)
				})
				if name == "is away" {
					within(t, "Get while the question stands", time.Minute, func() {
						_, err := d.Get(t.Context(), "default")
						wantErr(t, "Get", err, keyring.ErrKeyringLocked)
					})
				}
				time.Sleep(2 * time.Hour) // the question ends
				p.fake.SetLocked(false)
				mustSet(t, d, "default", record("b"))
			})
		})
	}
}

// On macOS there is no telling whether a call will ask.
func TestKeyringOfUnknownStateHasAPersonsTime(t *testing.T) {
	p := newPlace(t)
	p.fake.SetUnknown()
	synctest.Test(t, func(t *testing.T) {
		d := p.direct(t)
		hang(t, p.fake)
		within(t, "Get", time.Minute, func() {
			_, err := d.Get(t.Context(), "default")
			wantErr(t, "Get", err, keyring.ErrKeyringLocked)
		})
		p.fake.SendAway()
		within(t, "Open by a process alone", 3*time.Second, func() {
			_, err := keyring.OpenOn(t.Context(), p.config, p.fake, p.root)
			wantErr(t, "Open", err, keyring.ErrTimeout)
		})
	})
}

// A write that hangs may still be carried out, long after its caller has gone. By
// then nobody may have saved anything newer, or that would be lost.
func TestHangingWriteKeepsOthersFromWriting(t *testing.T) {
	p := newPlace(t)
	synctest.Test(t, func(t *testing.T) {
		slow, other := p.direct(t), p.direct(t)
		rec := record("1")
		rec.Version = mustSet(t, slow, "default", rec)
		stuck, again := make(chan struct{}), make(chan struct{})
		first := true
		p.fake.Disturb(func(op, item string) error {
			if op == "set" && first {
				first = false
				close(stuck)
				<-again
			}
			return nil
		})
		_, err := slow.Set(t.Context(), "default", rec)
		wantErr(t, "Set", err, keyring.ErrTimeout)
		<-stuck

		saved := make(chan error, 1)
		go func() {
			_, err := other.Set(t.Context(), "default", rec)
			saved <- err
		}()
		time.Sleep(time.Minute)
		select {
		case err := <-saved:
			t.Fatalf("another process has saved (%v) before the write that hangs", err)
		default:
		}
		close(again)
		wantErr(t, "Set by another process", <-saved, tokenstore.ErrConflict)
	})
}

func TestValueThatWasNotKeptIsAnError(t *testing.T) {
	p := newPlace(t)
	d := p.direct(t)
	p.fake.Disturb(func(op, item string) error {
		if op == "get" && strings.HasPrefix(item, "session/") {
			p.fake.Drop(service + ":" + item) // a question that was dismissed
		}
		return nil
	})
	if _, err := d.Set(t.Context(), "default", record("a")); err == nil || !strings.Contains(err.Error(), "did not keep") {
		t.Errorf("Set: %v; want an error that says it was not kept", err)
	}
}

func TestErrorsTellWhatToDo(t *testing.T) {
	for err, advice := range map[error]string{
		keyring.ErrNoKeyring:     "start a Secret Service",
		keyring.ErrKeyringLocked: "unlock it",
		keyring.ErrTimeout:       "restart its service",
	} {
		if !strings.Contains(err.Error(), advice) || errors.Is(err, tokenstore.ErrNotFound) || errors.Is(err, tokenstore.ErrLocked) {
			t.Errorf("%v", err)
		}
	}
}
