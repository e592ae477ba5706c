// Package reach knows whether the Store of a process's sessions answers.
package reach

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/tokenstore"
)

// A Line is the way to a Store that sessions share. It knows whether the Store answers, and
// since when it does so again. Sessions with a pair that could not be saved, and engines,
// are told the moment that a call of any session is answered after an outage. It is safe
// for concurrent use; the zero Line is ready, and a nil one knows nothing.
type Line struct {
	away atomic.Bool // the last call that says something about it was not answered

	mu      sync.Mutex     // guards what follows
	back    moment.Instant // when a call was answered again; zero: there was no outage
	woken   moment.Instant // when sessions were woken last
	probed  moment.Instant // when a session was told last that it is to look again soon
	waiting map[any]func() // how to wake the sessions that wait
}

// answered reports whether a call of the Store's has got an answer, good or bad.
func answered(err error) bool {
	for _, answer := range []error{
		tokenstore.ErrNotFound, tokenstore.ErrConflict, tokenstore.ErrDamaged, tokenstore.ErrSealed,
		tokenstore.ErrNewerFormat, tokenstore.ErrInvalidName, tokenstore.ErrLocked, errors.ErrUnsupported,
	} {
		if errors.Is(err, answer) {
			return true
		}
	}
	return err == nil
}

// Read notes what became of a call that changes nothing, made under ctx.
func (l *Line) Read(ctx context.Context, now moment.Instant, err error) {
	switch {
	case l == nil:
	case answered(err):
		l.answer(now)
	case !errors.Is(ctx.Err(), context.Canceled): // its caller has left, otherwise
		l.away.Store(true)
	}
}

// Written notes what became of a write. One that fails does not tell that the Store is
// away unless the error does: a full disk can be read.
func (l *Line) Written(now moment.Instant, err error) {
	switch {
	case l == nil:
	case answered(err):
		l.answer(now)
	case errors.Is(err, tokenstore.ErrUnavailable):
		l.away.Store(true)
	}
}

// Broken notes that the connection over which the Store told of changes has ended, as it
// does in an outage that is over before this process calls.
func (l *Line) Broken(err error) {
	if l != nil && errors.Is(err, tokenstore.ErrUnavailable) {
		l.away.Store(true)
	}
}

// wakesAgain is how long after one time sessions are woken again at the earliest: in a
// pool the records of some sessions may be unreadable all the time, and others not.
const wakesAgain = time.Second

func (l *Line) answer(now moment.Instant) {
	if !l.away.Load() || !l.away.Swap(false) {
		return
	}
	l.mu.Lock()
	l.back = now
	var wake map[any]func()
	if l.woken.IsZero() || now.Since(l.woken) >= wakesAgain {
		wake, l.waiting, l.woken = l.waiting, nil, now
	}
	l.mu.Unlock()
	for _, w := range wake {
		w()
	}
}

// Await has a session woken when the Store answers again.
func (l *Line) Await(session any, wake func()) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting == nil {
		l.waiting = make(map[any]func())
	}
	l.waiting[session] = wake
}

// Forget undoes Await.
func (l *Line) Forget(session any) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waiting, session)
}

// Probes reports whether the caller, whose look at the Store was not answered, is to look
// again before others would: one session is in each interval, while the Store is away.
func (l *Line) Probes(now moment.Instant, interval time.Duration) bool {
	if l == nil || !l.away.Load() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.probed.IsZero() && now.Since(l.probed) < interval {
		return false
	}
	l.probed = now
	return true
}

// BackSince returns when the Store has answered again; zero if it was never away.
func (l *Line) BackSince() moment.Instant {
	if l == nil {
		return moment.Instant{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.back
}
