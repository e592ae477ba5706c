package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/evertoken/evertoken/internal/notice"
	"github.com/evertoken/evertoken/tokenstore"
)

// A connection that was lost is replaced after relistenDelay or a little more, so
// that a database which comes back is not met by everybody at once; for listenPatience
// at most, which is longer than a restart or a failover takes.
const (
	relistenDelay  = time.Second
	listenPatience = time.Minute
)

// Watch implements [tokenstore.Watcher], by Config.Listen; without one it fails at
// once with an error that wraps [errors.ErrUnsupported], and the caller polls
// ([Store.Stamp]). It returns why Listen failed if that happens before it listens for
// the first time, or for a minute on end.
func (s *Store) Watch(ctx context.Context, changed func(tokenstore.Change)) error {
	const action = "watch sessions"
	if s.cfg.Listen == nil {
		return failed(action, fmt.Errorf("Config.Listen is not set: %w", errors.ErrUnsupported))
	}
	var heard time.Time // when Listen last worked; zero: never
	for {
		listening := false
		err := s.cfg.Listen(ctx, s.sql.channel, func(payload string) {
			listening = true
			if change, tells := notice.Read(payload); tells {
				changed(change)
			}
		})
		switch {
		case ctx.Err() != nil:
			return failed(action, ctx.Err())
		case listening:
			heard = time.Now()
		case heard.IsZero(), time.Since(heard) > listenPatience:
			return failed(action, judge(ctx, errors.Join(errNotListening, err)))
		}
		timer := time.NewTimer(relistenDelay + rand.N(relistenDelay))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return failed(action, ctx.Err())
		}
	}
}

// errNotListening also stands for a Listen that returned without a reason.
var errNotListening = errors.New("Config.Listen has ended")
