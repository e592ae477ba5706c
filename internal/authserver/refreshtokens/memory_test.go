package refreshtokens_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/internal/authserver/refreshtokens"
)

func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, m := t.Context(), new(refreshtokens.Memory)
		if _, err := m.Get(ctx, "absent"); !errors.Is(err, refreshtokens.ErrNotFound) {
			t.Errorf("Get of an absent token: %v; want ErrNotFound", err)
		}
		if err := m.Set(ctx, "", nil, time.Now().Add(time.Hour)); err == nil {
			t.Error("Set of an empty token succeeded")
		}
		for name, life := range map[string]time.Duration{"a": time.Minute, "b": time.Hour, "c": time.Hour} {
			if err := m.Set(ctx, name, "data of "+name, time.Now().Add(life)); err != nil {
				t.Fatal(err)
			}
		}
		if data, err := m.Get(ctx, "a"); data != "data of a" || err != nil {
			t.Errorf("Get = %v, %v; want the data", data, err)
		}
		if err := errors.Join(m.Delete(ctx, "c"), m.Delete(ctx, "c")); err != nil {
			t.Errorf("Delete, twice: %v", err)
		}
		time.Sleep(time.Minute)
		if _, err := m.Get(ctx, "a"); !errors.Is(err, refreshtokens.ErrNotFound) {
			t.Errorf("Get of an expired token: %v; want ErrNotFound", err)
		}
		if n, err := m.Count(ctx); n != 1 || err != nil {
			t.Errorf("Count = %d, %v; want the 1 that has not expired", n, err)
		}
		time.Sleep(time.Hour)
		if n, err := m.Count(ctx); n != 1 || err != nil {
			t.Errorf("Count = %d, %v; want the expired one, which nothing has swept", n, err)
		}
		if n, err := m.Cleanup(ctx); n != 1 || err != nil {
			t.Errorf("Cleanup = %d, %v; want 1", n, err)
		}
	})
}

func TestMemoryReturnsTheCallersSentinel(t *testing.T) {
	mine := errors.New("no such token")
	m := &refreshtokens.Memory{NotFound: mine}
	if _, err := m.Get(t.Context(), "absent"); err != mine {
		t.Errorf("Get: %v; want the sentinel that was configured", err)
	}
}

func TestMemoryHonoursContexts(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := new(refreshtokens.Memory)
	_, getErr := m.Get(ctx, "a")
	_, cleanupErr := m.Cleanup(ctx)
	_, countErr := m.Count(ctx)
	for name, err := range map[string]error{
		"Set": m.Set(ctx, "a", 1, time.Now().Add(time.Hour)), "Get": getErr, "Delete": m.Delete(ctx, "a"),
		"Cleanup": cleanupErr, "Count": countErr,
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with an ended context: %v; want context.Canceled", name, err)
		}
	}
}

func TestMemoryForgetsExpiredOnesByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(refreshtokens.Memory)
		for i := range 10_000 {
			if err := m.Set(t.Context(), strconv.Itoa(i), nil, time.Now().Add(time.Second)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		// Some 100 live at a time. Without sweeping, Cleanup would find the rest.
		if n, err := m.Cleanup(t.Context()); n > 2000 || err != nil {
			t.Errorf("Cleanup found %d expired tokens (%v); Set should have swept most of 10,000", n, err)
		}
	})
}

func TestMemoryIsSafeForConcurrentUse(t *testing.T) {
	m := new(refreshtokens.Memory)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 200 {
				name := strconv.Itoa(i*1000 + j)
				_ = m.Set(t.Context(), name, j, time.Now().Add(time.Hour))
				_, _ = m.Get(t.Context(), name)
				_, _ = m.Count(t.Context())
				_ = m.Delete(t.Context(), name)
			}
		})
	}
	wg.Wait()
	if n, _ := m.Count(t.Context()); n != 0 {
		t.Errorf("%d tokens are left; want 0", n)
	}
}
