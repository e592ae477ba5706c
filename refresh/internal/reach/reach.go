// Package reach knows whether the Store of a process's sessions answers, and does not wait
// for one that does not.
package reach

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/refresh/internal/failure"
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
	deaf    map[string]int // how many calls of a kind were left to themselves and have not returned
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

// A Store may not return although a call's context has ended: a file system that hangs, or
// code of the program's. Whoever waits for it waits no longer than for one that is away: the
// call is left to itself on a goroutine of its own, and what comes of it in the end, the
// record's version tells.

const (
	// obedience is how long after the end of its context a call is waited for.
	obedience = time.Second
	// maxDeaf is how many calls of a kind may be left to themselves until none is made any
	// more before one of them returns.
	maxDeaf = 64
)

var errDeaf = fmt.Errorf("the Store does not return although the call's context has ended, as with a file system that hangs: %w", tokenstore.ErrUnavailable)

// call calls f, and fails if that does not return soon after the end of ctx. What it returns
// then is for late, if that is not nil.
func call[T any](ctx context.Context, l *Line, where string, f func() (T, error), late func(T)) (result T, err error) {
	if l.count(where, 0) >= maxDeaf {
		return result, errDeaf
	}
	type outcome struct {
		result T
		err    error
	}
	done, left := make(chan outcome), make(chan struct{})
	go func() {
		o := outcome{err: failure.Exited(where)}
		defer func() {
			select {
			case done <- o:
			case <-left:
				l.count(where, -1)
				if late != nil {
					late(o.result)
				}
			}
		}()
		o.err = failure.Guard(where, func() (err error) {
			o.result, err = f()
			return err
		})
	}()
	if o, ended := await(ctx, done); ended {
		return o.result, o.err
	}
	l.count(where, 1)
	close(left)
	return result, deaf(ctx)
}

// await waits for what comes from done until a moment after the end of ctx.
func await[T any](ctx context.Context, done <-chan T) (result T, ended bool) {
	select {
	case result = <-done:
		return result, true
	case <-ctx.Done():
	}
	limit := time.NewTimer(obedience)
	defer limit.Stop()
	select {
	case result = <-done:
		return result, true
	case <-limit.C:
		return result, false
	}
}

func deaf(ctx context.Context) error { return fmt.Errorf("%w: %w", errDeaf, context.Cause(ctx)) }

// Await returns the error of a call that reports to done, or one of its own if that has not
// ended a moment after ctx has.
func Await(ctx context.Context, done <-chan error) error {
	if err, ended := await(ctx, done); ended {
		return err
	}
	return deaf(ctx)
}

// count notes that more calls of a kind are left to themselves, and returns how many are.
func (l *Line) count(where string, more int) int {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if more != 0 && l.deaf == nil {
		l.deaf = make(map[string]int)
	}
	if more != 0 {
		l.deaf[where] += more
	}
	return l.deaf[where]
}

// do is call for what returns an error alone.
func do(ctx context.Context, l *Line, where string, f func() error) error {
	_, err := call(ctx, l, where, func() (struct{}, error) { return struct{}{}, f() }, nil)
	return err
}

// Unlock gives a lease back, and waits for that as long as a call may take.
func (l *Line) Unlock(lease tokenstore.Lease, within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	return do(ctx, l, "Lease.Unlock", lease.Unlock)
}

// Bound returns store, nil if that is nil, whose calls return soon after the end of their
// contexts. It is a Pager and a Spender as far as store is one.
func (l *Line) Bound(store tokenstore.Store) tokenstore.Store {
	if store == nil {
		return nil
	}
	return &bound{store, l}
}

type bound struct {
	store tokenstore.Store
	line  *Line
}

func (b *bound) Get(ctx context.Context, name string) (*tokenstore.Record, error) {
	return call(ctx, b.line, "Store.Get", func() (*tokenstore.Record, error) { return b.store.Get(ctx, name) }, nil)
}

// Set implements tokenstore.Store. The caller's record may change while a call that was left
// to itself goes on.
func (b *bound) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	own := *rec
	return call(ctx, b.line, "Store.Set", func() (uint64, error) { return b.store.Set(ctx, name, &own) }, nil)
}

func (b *bound) Delete(ctx context.Context, name string, version uint64) error {
	return do(ctx, b.line, "Store.Delete", func() error { return b.store.Delete(ctx, name, version) })
}

// Pages implements tokenstore.Pager.
func (b *bound) Pages(ctx context.Context, size int) iter.Seq2[[]tokenstore.Entry, error] {
	if p, ok := b.store.(tokenstore.Pager); ok {
		return p.Pages(ctx, size)
	}
	return func(yield func([]tokenstore.Entry, error) bool) { yield(nil, errors.ErrUnsupported) }
}

// BeginSpend implements tokenstore.Spender.
func (b *bound) BeginSpend(ctx context.Context, via tokenstore.Store, name string, rec *tokenstore.Record, durable bool) (tokenstore.Spending, uint64, error) {
	spender, ok := b.store.(tokenstore.Spender)
	if !ok {
		return nil, 0, errors.ErrUnsupported
	}
	type begun struct {
		tokenstore.Spending
		version uint64
	}
	own := *rec
	c, err := call(ctx, b.line, "Store.BeginSpend", func() (c begun, err error) {
		c.Spending, c.version, err = spender.BeginSpend(ctx, via, name, &own, durable)
		return c, err
	}, func(c begun) { unlockLate(c.Spending) })
	if err != nil || c.Spending == nil {
		return nil, 0, err
	}
	s := &spending{Spending: c.Spending, of: b, name: name}
	if p, ok := c.Spending.(tokenstore.ProcessLease); ok {
		return &processSpending{s, p}, c.version, nil
	}
	return s, c.version, nil
}

// unlockLate gives back a lease whose caller does not wait any more.
func unlockLate(lease tokenstore.Lease) {
	if lease != nil {
		_ = failure.Guard("Lease.Unlock", lease.Unlock)
	}
}

// A spending is one of a bound store. It is for one caller at a time, as its Store's is.
type spending struct {
	tokenstore.Spending
	of   *bound
	name string
	deaf bool // a Settle was left to itself, and gives the lease back when it returns
}

// Settle implements tokenstore.Spending. While a call that was left to itself may be at work,
// and after it, the record is saved as any other: its version guards it.
func (s *spending) Settle(ctx context.Context, rec *tokenstore.Record) (uint64, error) {
	if s.deaf {
		return s.of.Set(ctx, s.name, rec)
	}
	own := *rec
	version, err := call(ctx, s.of.line, "Spending.Settle", func() (uint64, error) {
		return s.Spending.Settle(ctx, &own)
	}, func(uint64) { unlockLate(s.Spending) })
	s.deaf = errors.Is(err, errDeaf)
	return version, err
}

// Unlock implements tokenstore.Lease.
func (s *spending) Unlock() error {
	if s.deaf {
		return nil
	}
	return s.Spending.Unlock()
}

type processSpending struct {
	*spending
	lease tokenstore.ProcessLease
}

// EndsWithProcess implements tokenstore.ProcessLease.
func (s *processSpending) EndsWithProcess() bool { return s.lease.EndsWithProcess() }

// BoundLocker is Bound for a Locker.
func (l *Line) BoundLocker(locker tokenstore.Locker) tokenstore.Locker {
	return &boundLocker{locker, l}
}

type boundLocker struct {
	locker tokenstore.Locker
	line   *Line
}

func (b *boundLocker) Lock(ctx context.Context, name string) (tokenstore.Lease, error) {
	return call(ctx, b.line, "Store.Lock", func() (tokenstore.Lease, error) { return b.locker.Lock(ctx, name) }, unlockLate)
}

// BoundStamper is Bound for a Stamper.
func (l *Line) BoundStamper(stamper tokenstore.Stamper) tokenstore.Stamper {
	return &boundStamper{stamper, l}
}

type boundStamper struct {
	stamper tokenstore.Stamper
	line    *Line
}

func (b *boundStamper) Stamp(ctx context.Context, name string) (uint64, error) {
	return call(ctx, b.line, "Store.Stamp", func() (uint64, error) { return b.stamper.Stamp(ctx, name) }, nil)
}

// Check asks a Checker whether the Store takes a session.
func (l *Line) Check(ctx context.Context, checker tokenstore.Checker, name string) error {
	return do(ctx, l, "Store.Check", func() error { return checker.Check(ctx, name) })
}
