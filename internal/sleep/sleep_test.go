package sleep_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/internal/sleep"
)

func TestForEndsWithTheTimeOrTheContext(t *testing.T) {
	ended := errors.New("ended")
	for name, tt := range map[string]struct {
		d, end, took time.Duration
		want         error
	}{
		"in time":      {time.Minute, time.Hour, time.Minute, nil},
		"ended":        {time.Hour, time.Minute, time.Minute, ended},
		"at once":      {0, time.Hour, 0, nil},
		"in the past":  {-time.Second, time.Hour, 0, nil},
		"ended before": {0, -time.Second, 0, ended},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				if tt.end < 0 {
					cancel(ended)
				} else {
					time.AfterFunc(tt.end, func() { cancel(ended) })
				}
				begun := time.Now()
				if err := sleep.For(ctx, tt.d); !errors.Is(err, tt.want) || time.Since(begun) != tt.took {
					t.Errorf("after %v: %v; want %v after %v", time.Since(begun), err, tt.want, tt.took)
				}
			})
		})
	}
}
