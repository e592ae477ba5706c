package sqlstore

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"github.com/evertoken/evertoken/tokenstore"
)

// A caller that waits for a lock asks again after delays between these two,
// each twice the one before: soon, since most spends take a fraction of a second, and
// then not so often that a crowd keeps the database busy.
const (
	minPoll = 10 * time.Millisecond
	maxPoll = 200 * time.Millisecond
)

// callTimeout bounds a call about a lock. A database that takes longer is away.
const callTimeout = 5 * time.Second

// Lock implements [tokenstore.Locker]. If the database cannot be asked whether the
// lock is free, it fails with [tokenstore.ErrUnavailable], at the latest after five
// seconds.
func (s *Store) Lock(ctx context.Context, name string) (tokenstore.Lease, error) {
	turn, err := s.queues.Lock(ctx, name)
	if err != nil {
		return nil, err
	}
	l, err := s.poll(ctx, name)
	if err != nil {
		_ = turn.Unlock() // never fails
		return nil, failed(about("lock", name), err)
	}
	l.turn = turn
	go l.keep()
	return l, nil
}

// poll takes the lock of name as soon as no other process has it.
func (s *Store) poll(ctx context.Context, name string) (*lease, error) {
	busy := false
	for delay := minPoll; ; delay = min(2*delay, maxPoll) {
		l, err := s.ask(ctx, name)
		switch {
		case err != nil && ctx.Err() != nil && busy: // all answers said so
			return nil, fmt.Errorf("%w: gave up waiting: %w", tokenstore.ErrLocked, ctx.Err())
		case l != nil || err != nil:
			return l, err
		}
		busy = true
		timer := time.NewTimer(delay/2 + mathrand.N(delay/2))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("%w: gave up waiting: %w", tokenstore.ErrLocked, ctx.Err())
		}
	}
}

// ask is acquire for a caller who may leave. The question is followed through then,
// and a lock that it brings is given back: cut off in its middle, it might leave one
// behind without a holder.
func (s *Store) ask(ctx context.Context, name string) (*lease, error) {
	type answer struct {
		lease *lease
		err   error
	}
	answers := make(chan answer)
	go func() {
		l, err := s.acquire(context.WithoutCancel(ctx), name)
		select {
		case answers <- answer{l, err}:
		case <-ctx.Done():
			if l != nil {
				_ = l.release() // or it ends by itself
			}
		}
	}()
	select {
	case a := <-answers:
		return a.lease, a.err
	case <-ctx.Done():
		return nil, judge(ctx, ctx.Err())
	}
}

// acquire takes the lock of name if it is free. If not, it returns nil.
func (s *Store) acquire(ctx context.Context, name string) (*lease, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	l := &lease{store: s, name: name, owner: rand.Text(), stop: make(chan struct{}), stopped: make(chan struct{})}
	l.since = time.Now() // before the database sets the end
	got, err := s.exec(ctx, s.sql.acquire, name, l.owner, s.cfg.LeaseTime.Milliseconds())
	if !got || err != nil {
		return nil, err
	}
	return l, nil
}

// A lease is a row that says until when its owner holds the lock of name.
type lease struct {
	store       *Store
	name, owner string
	turn        tokenstore.Lease // this process's; nil while the lease is not handed out
	stop        chan struct{}    // closed by Unlock
	stopped     chan struct{}    // closed when keep has returned
	once        sync.Once

	mu    sync.Mutex // guards the fields below; never held across I/O
	since time.Time  // when the database was last asked to let it begin anew
	lost  string     // why it is lost; empty while it is held
}

// Err implements [tokenstore.Lease]. The lease is lost when it may have ended by the
// database's clock, or when another holder was seen.
func (l *lease) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost == "" && l.overLocked() {
		l.lost = "the database was away for too long"
	}
	if l.lost == "" {
		return nil
	}
	return failed(about("lock", l.name), fmt.Errorf("%w: %s", tokenstore.ErrLeaseLost, l.lost))
}

// overLocked goes by both clocks: the monotonic one stands still while the machine
// is suspended, and the wall clock may be set back.
func (l *lease) overLocked() bool {
	now, limit := time.Now(), l.store.cfg.LeaseTime
	return now.Sub(l.since) >= limit || now.Round(0).Sub(l.since.Round(0)) >= limit
}

// lose ends the lease, unless it has ended already.
func (l *lease) lose(why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost == "" {
		l.lost = why
	}
}

// keep renews the lease until Unlock, or until it is lost.
func (l *lease) keep() {
	defer close(l.stopped)
	third := l.store.cfg.LeaseTime / 3
	for delay := third; ; {
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-l.stop:
			timer.Stop()
			return
		}
		if l.Err() != nil {
			return
		}
		delay = third
		if err := l.renew(); err != nil {
			delay = third / 5 // it may be back in a moment
		}
	}
}

// renew lets the lease begin anew.
func (l *lease) renew() error {
	ctx, cancel := context.WithTimeout(context.Background(), min(callTimeout, l.store.cfg.LeaseTime/3))
	defer cancel()
	go func() {
		select {
		case <-l.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	since := time.Now()
	held, err := l.store.exec(ctx, l.store.sql.renew, l.name, l.owner, l.store.cfg.LeaseTime.Milliseconds())
	switch {
	case err != nil:
		return err
	case !held:
		l.lose("it ended, and another holder has taken the lock since")
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost == "" && !l.overLocked() { // a lost lease stays lost: a caller may have been told
		l.since = since
	}
	return nil
}

// Unlock implements [tokenstore.Lease]. If it fails, the lock ends by itself within
// Config.LeaseTime.
func (l *lease) Unlock() error {
	var err error
	l.once.Do(func() {
		close(l.stop)
		<-l.stopped
		if l.Err() == nil {
			l.lose("it was unlocked")
			err = failed(about("unlock", l.name), l.release())
		}
		_ = l.turn.Unlock() // never fails
	})
	return err
}

// release removes the row, if it is still this lease's.
func (l *lease) release() error {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	_, err := l.store.exec(ctx, l.store.sql.release, l.name, l.owner)
	return err
}
