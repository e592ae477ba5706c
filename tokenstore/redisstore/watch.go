package redisstore

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/evertoken/evertoken/internal/notice"
	"github.com/evertoken/evertoken/tokenstore"
)

// silence is how long nothing has to be heard before the connection is doubted, and
// then how long Redis may take to answer that it is there. A shorter Config.LeaseTime
// counts instead.
const silence = 15 * time.Second

// Watch implements [tokenstore.Watcher]. It uses a connection of its own, and returns
// when that breaks, or Redis does not answer over it for half a minute. A session that
// Redis removes by itself, because its time has come, is not told of.
func (s *Store) Watch(ctx context.Context, changed func(tokenstore.Change)) error {
	const action = "watch"
	if ctx.Err() != nil {
		return failed(action, ctx.Err())
	}
	err := s.listen(ctx, changed)
	if ctx.Err() != nil {
		err = ctx.Err() // Redis was not asked any more
	}
	return failed(action, judgeError(err))
}

// listen tells of changes until the connection breaks.
func (s *Store) listen(ctx context.Context, changed func(tokenstore.Change)) error {
	sub := s.client.Subscribe(ctx, s.channel())
	defer sub.Close()
	defer context.AfterFunc(ctx, func() { _ = sub.Close() })() // or Receive would not return
	silence := min(silence, s.lease)
	for doubted := false; ; {
		message, err := sub.ReceiveTimeout(ctx, silence)
		var timeout net.Error
		switch {
		case err != nil && !doubted && errors.As(err, &timeout) && timeout.Timeout():
			doubted = true
			if err := sub.Ping(ctx); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		doubted = false
		switch m := message.(type) {
		case *redis.Subscription:
			changed(tokenstore.Change{}) // whatever was published before this was not heard
		case *redis.Message:
			if change, tells := notice.Read(m.Payload); tells {
				changed(change)
			}
		}
	}
}
