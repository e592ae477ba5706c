package redis

import (
	"context"
	"errors"
	"net"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/evertoken/evertoken/internal/notice"
	"github.com/evertoken/evertoken/tokenstore"
)

const (
	// silence is how long nothing has to be heard before the connection is doubted,
	// and then how long Redis may take to answer that it is there.
	silence = 15 * time.Second
	// minReconnect and maxReconnect bound the delay between two attempts to listen.
	minReconnect = 100 * time.Millisecond
	maxReconnect = 5 * time.Second
)

// Watch implements [tokenstore.Watcher]. It uses a connection of its own, and connects
// again when that breaks, for as long as ctx lasts and the client is open. A session
// that Redis removes by itself, because its time has come, is not told of.
func (s *Store) Watch(ctx context.Context, changed func(tokenstore.Change)) error {
	for wait := minReconnect; ; wait = min(2*wait, maxReconnect) {
		heard, err := s.listen(ctx, changed)
		switch {
		case ctx.Err() != nil:
			return failed("watch", ctx.Err())
		case errors.Is(err, goredis.ErrClosed):
			return failed("watch", judgeError(err))
		case heard:
			wait = minReconnect
		}
		if err := sleep(ctx, wait); err != nil {
			return failed("watch", err)
		}
	}
}

// listen tells of changes until the connection breaks, and whether there was one.
func (s *Store) listen(ctx context.Context, changed func(tokenstore.Change)) (heard bool, err error) {
	sub := s.client.Subscribe(ctx, s.channel())
	defer sub.Close()
	defer context.AfterFunc(ctx, func() { _ = sub.Close() })() // or Receive would not return
	for doubted := false; ; {
		message, err := sub.ReceiveTimeout(ctx, silence)
		var timeout net.Error
		switch {
		case err != nil && !doubted && errors.As(err, &timeout) && timeout.Timeout():
			doubted = true
			if err := sub.Ping(ctx); err != nil {
				return heard, err
			}
			continue
		case err != nil:
			return heard, err
		}
		doubted = false
		switch m := message.(type) {
		case *goredis.Subscription:
			heard = true
			changed(tokenstore.Change{}) // whatever was published before this was not heard
		case *goredis.Message:
			if change, tells := notice.Read(m.Payload); tells {
				changed(change)
			}
		}
	}
}
