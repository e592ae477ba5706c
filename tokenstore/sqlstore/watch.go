package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/evertoken/evertoken/internal/notice"
	"github.com/evertoken/evertoken/tokenstore"
)

const (
	// silence is how long nothing has to be heard before a heartbeat is sent, and then
	// how long nothing may be heard of that: a connection whose other end has vanished
	// is silent too. A shorter Config.LeaseTime counts instead, which also says how
	// long the database may be away.
	silence = 15 * time.Second
	// letGo is how long a Listen is waited for whose context has ended.
	letGo = 5 * time.Second
	// heartbeat goes through the database, as notices do.
	heartbeat = "SELECT pg_notify($1, $2)"
)

var (
	// errNotListening also stands for a Listen that returned without a reason.
	errNotListening = errors.New("Config.Listen has ended")
	errSilent       = errors.New("a notification that was sent is not heard")
)

// Watch implements [tokenstore.Watcher], by Config.Listen; without one it fails at
// once with an error that wraps [errors.ErrUnsupported], and the caller polls
// ([Store.Stamp]). It returns when Listen does. If nothing is heard for a while, it
// sends a notification itself, which every listening process hears; when that cannot be
// sent or is not heard, it ends Listen, and returns.
func (s *Store) Watch(ctx context.Context, changed func(tokenstore.Change)) error {
	const action = "watch sessions"
	if s.cfg.Listen == nil {
		return failed(action, fmt.Errorf("Config.Listen is not set: %w", errors.ErrUnsupported))
	}
	err := ctx.Err()
	if err == nil {
		err = s.listen(ctx, changed)
	}
	if ctx.Err() != nil {
		return failed(action, ctx.Err())
	}
	return failed(action, judge(ctx, err))
}

// listen tells of changes until Listen ends, or there is no trust in it any more, and
// returns why. A Listen that does not return when its context ends, as one may that
// says goodbye to a database that is away, is left behind, and heard no more.
func (s *Store) listen(ctx context.Context, changed func(tokenstore.Change)) error {
	ctx, cancel := context.WithCancel(ctx)
	l := &listening{changed: changed, heard: make(chan struct{}, 1)}
	defer l.end()
	ended := make(chan error, 1)
	go func() {
		err := s.cfg.Listen(ctx, s.sql.channel, l.notify)
		cancel()
		ended <- errors.Join(errNotListening, err)
	}()
	err := s.keepHearing(ctx, l)
	cancel()
	select {
	case reason := <-ended:
		if err == nil {
			err = reason
		}
	case <-time.After(letGo):
	}
	return err
}

// keepHearing returns when ctx has ended, or with the reason to doubt that anything
// would be heard.
func (s *Store) keepHearing(ctx context.Context, l *listening) error {
	silence := min(silence, s.cfg.LeaseTime)
	for doubted := false; ; {
		wait := silence
		if !doubted {
			wait -= rand.N(silence / 3) // of a crowd one is first, and the others hear that
		}
		select {
		case <-l.heard:
			doubted = false
		case <-time.After(wait):
			if doubted {
				return errSilent
			}
			doubted = true
			if err := s.sendHeartbeat(ctx, silence); err != nil && ctx.Err() == nil {
				return fmt.Errorf("the database is away: %w", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *Store) sendHeartbeat(ctx context.Context, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	_, err := s.db.ExecContext(ctx, heartbeat, s.sql.channel, notice.Heartbeat)
	return err
}

// A listening is a call of Listen, and what it tells.
type listening struct {
	heard chan struct{} // anything at all; has room for one

	mu      sync.Mutex // held while changed is called, which does not block
	changed func(tokenstore.Change)
}

func (l *listening) notify(payload string) {
	select {
	case l.heard <- struct{}{}:
	default:
	}
	change, tells := notice.Read(payload)
	l.mu.Lock()
	defer l.mu.Unlock()
	if tells && l.changed != nil {
		l.changed(change)
	}
}

// end makes sure that changed is not called any more.
func (l *listening) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changed = nil
}
