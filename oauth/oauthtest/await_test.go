package oauthtest_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
)

func TestAwaitRequestsReturnsWithTheRequestThatWasWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{})
		go func() {
			for range 3 {
				time.Sleep(time.Second)
				resp, err := s.Client().Get(s.Endpoint(oauthtest.JWKSEndpoint))
				if err != nil || resp.StatusCode != http.StatusOK {
					t.Errorf("keys: %v, %v", resp, err)
				}
			}
		}()
		start := time.Now()
		for _, e := range []oauthtest.Endpoint{oauthtest.JWKSEndpoint, oauthtest.AnyEndpoint} {
			if err := s.AwaitRequests(t.Context(), e, 2); err != nil || time.Since(start) != 2*time.Second {
				t.Errorf("AwaitRequests(%s, 2) returned %v after %v; want nil after 2s", e, err, time.Since(start))
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.AwaitRequests(ctx, oauthtest.TokenEndpoint, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("AwaitRequests for a request that does not come: %v; want the context's error", err)
		}
	})
}
