package oauthtest_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// ginTokenStore is core.TokenStore of github.com/appleboy/gin-jwt/v3, copied.
type ginTokenStore interface {
	Set(ctx context.Context, token string, userData any, expiry time.Time) error
	Get(ctx context.Context, token string) (any, error)
	Delete(ctx context.Context, token string) error
	Cleanup(ctx context.Context) (int, error)
	Count(ctx context.Context) (int, error)
}

// Either side's stores fit the other, or this does not compile.
var (
	_ ginTokenStore               = oauthtest.RefreshTokenStore(nil)
	_ oauthtest.RefreshTokenStore = ginTokenStore(nil)
	_ ginTokenStore               = (*oauthtest.MemoryRefreshTokens)(nil)
)

func TestMemoryRefreshTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, m := t.Context(), new(oauthtest.MemoryRefreshTokens)
		if _, err := m.Get(ctx, "absent"); !errors.Is(err, oauthtest.ErrRefreshTokenNotFound) {
			t.Errorf("Get of an absent token: %v; want ErrRefreshTokenNotFound", err)
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
		if _, err := m.Get(ctx, "a"); !errors.Is(err, oauthtest.ErrRefreshTokenNotFound) {
			t.Errorf("Get of an expired token: %v; want ErrRefreshTokenNotFound", err)
		}
		if n, err := m.Count(ctx); n != 1 || err != nil {
			t.Errorf("Count = %d, %v; want the 1 that has not expired", n, err)
		}
		time.Sleep(time.Hour)
		if n, err := m.Cleanup(ctx); n != 1 || err != nil {
			t.Errorf("Cleanup = %d, %v; want 1", n, err)
		}
	})
}

func TestMemoryRefreshTokensReturnsTheCallersSentinel(t *testing.T) {
	mine := errors.New("no such token")
	m := &oauthtest.MemoryRefreshTokens{NotFound: mine}
	if _, err := m.Get(t.Context(), "absent"); err != mine {
		t.Errorf("Get: %v; want the sentinel that was configured", err)
	}
}

func TestMemoryRefreshTokensHonoursContexts(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := new(oauthtest.MemoryRefreshTokens)
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

func TestMemoryRefreshTokensForgetsExpiredOnesByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(oauthtest.MemoryRefreshTokens)
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

func TestMemoryRefreshTokensIsSafeForConcurrentUse(t *testing.T) {
	m := new(oauthtest.MemoryRefreshTokens)
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

// jsonStore is a store that serializes, has an error of its own, and remembers
// all it was given.
type jsonStore struct {
	oauthtest.MemoryRefreshTokens
	notFound error
	mu       sync.Mutex
	given    strings.Builder
}

func (s *jsonStore) Set(ctx context.Context, token string, data any, expiry time.Time) error {
	encoded, err := json.Marshal(data)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.given.WriteString(token + " " + string(encoded) + "\n")
	s.mu.Unlock()
	return s.MemoryRefreshTokens.Set(ctx, token, encoded, expiry)
}

func (s *jsonStore) Get(ctx context.Context, token string) (any, error) {
	encoded, err := s.MemoryRefreshTokens.Get(ctx, token)
	if err != nil {
		return nil, s.notFound
	}
	var data any
	err = json.Unmarshal(encoded.([]byte), &data)
	return data, err
}

func TestAForeignStoreServes(t *testing.T) {
	store := &jsonStore{notFound: errors.New("another package's not found")}
	s := oauthtest.New(oauthtest.Config{RefreshTokens: store, RefreshTokenNotFound: store.notFound})
	_, first := login(t, s)
	second := refresh(t.Context(), s, first).wantOK(t).text(t, "refresh_token")
	refresh(t.Context(), s, "made up").wantError(t, 400, "invalid_grant")

	again := oauthtest.New(oauthtest.Config{RefreshTokens: store, RefreshTokenNotFound: store.notFound})
	third := refresh(t.Context(), again, second).wantOK(t).text(t, "refresh_token")

	store.mu.Lock()
	defer store.mu.Unlock()
	for _, token := range []string{first, second, third} {
		_, mac, _ := strings.Cut(token, ":")
		raw, err := base64.StdEncoding.DecodeString(mac)
		if err != nil || len(raw) != 32 {
			t.Fatalf("a refresh token is not session:base64: %v", err)
		}
		if strings.Contains(store.given.String(), mac) {
			t.Error("the store was given a raw refresh token")
		}
	}
}
