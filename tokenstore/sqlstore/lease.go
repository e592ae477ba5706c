package sqlstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/internal/sleep"
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
	l, err := s.poll(ctx, func(ctx context.Context) (*lease, error) { return s.acquire(ctx, name) })
	if err != nil {
		_ = turn.Unlock() // never fails
		return nil, failed(about("lock", name), err)
	}
	l.turn = turn
	go l.keep()
	return l, nil
}

// poll takes a lock by acquire as soon as no other process has it. acquire returns nil
// while one has.
func (s *Store) poll(ctx context.Context, acquire func(context.Context) (*lease, error)) (*lease, error) {
	busy := false
	for delay := minPoll; ; delay = min(2*delay, maxPoll) {
		l, err := ask(ctx, acquire)
		switch {
		case err != nil && ctx.Err() != nil && busy: // all answers said so
			return nil, fmt.Errorf("%w: gave up waiting: %w", tokenstore.ErrLocked, ctx.Err())
		case l != nil || err != nil:
			return l, err
		}
		busy = true
		if sleep.For(ctx, delay/2+mathrand.N(delay/2)) != nil {
			return nil, fmt.Errorf("%w: gave up waiting: %w", tokenstore.ErrLocked, ctx.Err())
		}
	}
}

// ask is acquire for a caller who may leave. The question is followed through then,
// and a lock that it brings is given back: cut off in its middle, it might leave one
// behind without a holder.
func ask(ctx context.Context, acquire func(context.Context) (*lease, error)) (*lease, error) {
	type answer struct {
		lease *lease
		err   error
	}
	answers := make(chan answer)
	go func() {
		l, err := acquire(context.WithoutCancel(ctx))
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

// acquire takes the lock of name if it is free. If not, it returns nil; so it does if the
// statement is rolled back, which says that another process was there at the same moment.
func (s *Store) acquire(ctx context.Context, name string) (*lease, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	l := s.newLease(name)
	got, err := s.execOnce(ctx, s.sql.acquire, name, l.owner, s.cfg.LeaseTime.Milliseconds())
	switch {
	case rolledBack(err):
		return nil, nil
	case !got || err != nil:
		return nil, judge(ctx, err)
	}
	return l, nil
}

// newLease returns a lease that is about to be asked for.
func (s *Store) newLease(name string) *lease {
	l := &lease{store: s, name: name, owner: rand.Text(), stop: make(chan struct{}), stopped: make(chan struct{})}
	l.since = moment.Of(time.Now()) // before the database sets the end
	return l
}

// BeginSpend implements [tokenstore.Spender] for PostgreSQL, in one statement. With
// SQLite, where each statement is a call of a library, it fails with
// [errors.ErrUnsupported]. A database has room or has not: with reserve, it does the same.
func (s *Store) BeginSpend(ctx context.Context, via tokenstore.Store, name string, rec *tokenstore.Record, _ bool) (tokenstore.Spending, uint64, error) {
	const action = "begin a spend of"
	if err := check(ctx, action, name); err != nil {
		return nil, 0, err
	}
	switch {
	case via != tokenstore.Store(s) || s.cfg.Dialect != PostgreSQL:
		return nil, 0, failed(about(action, name), errors.ErrUnsupported)
	case rec == nil:
		return nil, 0, failed(about(action, name), errNoRecord)
	}
	version := nextVersion(rec.Version)
	args, err := saveArgs(name, rec, version)
	if err != nil {
		return nil, 0, failed(about(action, name), err)
	}
	turn, err := s.queues.Lock(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	l, err := s.poll(ctx, func(ctx context.Context) (*lease, error) { return s.acquireAndSave(ctx, name, args) })
	if err != nil {
		_ = turn.Unlock() // never fails
		return nil, 0, failed(about(action, name), err)
	}
	l.turn = turn
	go l.keep()
	return spending{l}, version, nil
}

// acquireAndSave is acquire, and saves a record if its version is the stored one;
// otherwise it fails with ErrConflict.
func (s *Store) acquireAndSave(ctx context.Context, name string, args []any) (*lease, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	l := s.newLease(name)
	args = append(args[:len(args):len(args)], l.owner, s.cfg.LeaseTime.Milliseconds())
	var found, locked, written int
	err := s.db.QueryRowContext(ctx, s.sql.beginSpend, args...).Scan(&found, &locked, &written)
	switch {
	case rolledBack(err): // as in acquire
		return nil, nil
	case err != nil:
		return nil, judge(ctx, err)
	case found == 0:
		return nil, tokenstore.ErrConflict
	case locked == 0:
		return nil, nil
	case written == 0: // another writer was faster, without the lock
		_ = l.release() // or it ends by itself
		return nil, tokenstore.ErrConflict
	}
	return l, nil
}

// A spending is the lease of a spend.
type spending struct{ *lease }

// Settle implements [tokenstore.Spending], in one statement.
func (l spending) Settle(ctx context.Context, rec *tokenstore.Record) (uint64, error) {
	const action = "save"
	if err := check(ctx, action, l.name); err != nil {
		return 0, err
	}
	if rec == nil {
		return 0, failed(about(action, l.name), errNoRecord)
	}
	version := nextVersion(rec.Version)
	args, err := saveArgs(l.name, rec, version)
	if err != nil {
		return 0, failed(about(action, l.name), err)
	}
	var written int
	err = judge(ctx, l.store.queryRow(ctx, l.store.sql.settle, append(args, l.owner), &written))
	if err == nil && written == 0 {
		err = tokenstore.ErrConflict
	}
	if err != nil {
		return 0, failed(about(action, l.name), err)
	}
	l.once.Do(func() { _ = l.end(func() error { return nil }) })
	return version, nil
}

// A lease is a row that says until when its owner holds the lock of name.
type lease struct {
	store       *Store
	name, owner string
	turn        tokenstore.Lease // this process's; nil while the lease is not handed out
	stop        chan struct{}    // closed by Unlock
	stopped     chan struct{}    // closed when keep has returned
	once        sync.Once

	mu    sync.Mutex     // guards the fields below; never held across I/O
	since moment.Instant // when the database was last asked to let it begin anew
	lost  string         // why it is lost; empty while it is held
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
	return moment.Of(time.Now()).Reached(l.since.Add(l.store.cfg.LeaseTime))
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
		select {
		case <-time.After(delay):
		case <-l.stop:
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
	since := moment.Of(time.Now())
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
	l.once.Do(func() { err = failed(about("unlock", l.name), l.end(l.release)) })
	return err
}

// end ends the lease, by release if it is still held.
func (l *lease) end(release func() error) (err error) {
	close(l.stop)
	<-l.stopped
	if l.Err() == nil {
		l.lose("it was unlocked")
		err = release()
	}
	_ = l.turn.Unlock() // never fails
	return err
}

// release removes the row, if it is still this lease's.
func (l *lease) release() error {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	_, err := l.store.exec(ctx, l.store.sql.release, l.name, l.owner)
	return err
}
