package oauthtest_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/authserver/refreshtokens"
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
	_ ginTokenStore               = (*refreshtokens.Memory)(nil)
)

// jsonStore is a store that serializes, has an error of its own, and remembers
// all it was given.
type jsonStore struct {
	refreshtokens.Memory
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
	return s.Memory.Set(ctx, token, encoded, expiry)
}

func (s *jsonStore) Get(ctx context.Context, token string) (any, error) {
	encoded, err := s.Memory.Get(ctx, token)
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
