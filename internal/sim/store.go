package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/evertoken/evertoken/tokenstore"
)

// A shared store is what all processes see of one: records, their history, and locks.
type shared struct {
	mu      sync.Mutex // guards what follows; never held while waiting
	records map[string]*tokenstore.Record
	log     []change
	highest uint64
	deleted map[string]uint64 // versions that were deleted last: what is gone without is lost
	locks   map[string]*lock
}

// A change is a write: what was there before it.
type change struct {
	name   string
	before *tokenstore.Record // nil: nothing
}

func newShared() *shared {
	return &shared{records: make(map[string]*tokenstore.Record), deleted: make(map[string]uint64), locks: make(map[string]*lock)}
}

func storeError(what, name string, err error) error {
	return fmt.Errorf("sim: %s session %q: %w", what, name, err)
}

func (s *shared) get(name string) (*tokenstore.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rec := s.records[name]
	if rec == nil {
		return nil, storeError("read", name, tokenstore.ErrNotFound)
	}
	return rec.Clone(), nil
}

func (s *shared) set(name string, rec *tokenstore.Record) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, version := s.records[name], uint64(0)
	if old != nil {
		version = old.Version
	}
	if version != rec.Version {
		return 0, storeError("save", name, tokenstore.ErrConflict)
	}
	next := tokenstore.NextVersion(version)
	if version == 0 {
		next = max(next, s.highest+1)
	}
	stored := rec.Clone()
	stored.Version = next
	s.highest = max(s.highest, next)
	s.log = append(s.log, change{name, old})
	s.records[name] = stored
	return next, nil
}

func (s *shared) remove(name string, version uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch old := s.records[name]; {
	case old == nil:
		return storeError("delete", name, tokenstore.ErrNotFound)
	case old.Version != version:
		return storeError("delete", name, tokenstore.ErrConflict)
	default:
		s.log = append(s.log, change{name, old})
		s.deleted[name] = old.Version
		delete(s.records, name)
	}
	return nil
}

// lost reports whether a session is gone that was not deleted since it had a version.
func (s *shared) lost(name string, seen uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.records[name] == nil && s.deleted[name] < seen
}

// back undoes the last n writes of a session, or of all if name is empty.
func (s *shared) back(name string, n int) (undone int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.log) - 1; i >= 0 && undone < n; i-- {
		c := s.log[i]
		if name != "" && c.name != name {
			continue
		}
		if c.before == nil {
			if name != "" {
				break // a backup of nothing is not put back
			}
			delete(s.records, c.name)
		} else {
			s.records[c.name] = c.before
		}
		s.log = slices.Delete(s.log, i, i+1)
		undone++
	}
	return undone
}

// A lock is one session's. Waiters get it in order.
type lock struct {
	holder  *lease
	waiters []chan *lease
}

// A lease is a lock that a process holds.
type lease struct {
	store *shared
	name  string
	life  *life
	lost  bool // guarded by shared.mu
	over  bool
}

func (s *shared) lock(ctx context.Context, p *life, name string) (*lease, error) {
	mine := &lease{store: s, name: name, life: p}
	s.mu.Lock()
	l := s.locks[name]
	if l == nil {
		l = new(lock)
		s.locks[name] = l
	}
	if l.holder == nil {
		l.holder = mine
		s.mu.Unlock()
		return mine, nil
	}
	turn := make(chan *lease, 1)
	l.waiters = append(l.waiters, turn)
	s.mu.Unlock()
	var err error
	select {
	case <-turn:
	case <-ctx.Done():
		err = fmt.Errorf("%w: %w", tokenstore.ErrLocked, context.Cause(ctx))
	case <-p.died:
		err = errDied
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	given := err == nil
	if !given {
		select {
		case <-turn: // at the same moment
			given = true
		default:
			l.waiters = slices.DeleteFunc(l.waiters, func(c chan *lease) bool { return c == turn })
		}
	}
	if given && err != nil {
		l.passLocked()
	}
	if err != nil {
		return nil, storeError("lock", name, err)
	}
	l.holder = mine
	return mine, nil
}

// passLocked gives the lock to the next waiter, who makes itself the holder.
func (l *lock) passLocked() {
	l.holder = nil
	if len(l.waiters) > 0 {
		l.holder = new(lease) // until it says who it is
		l.waiters[0] <- nil
		l.waiters = l.waiters[1:]
	}
}

// Err implements tokenstore.Lease.
func (l *lease) Err() error {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	if l.lost || l.over {
		return storeError("lock", l.name, tokenstore.ErrLeaseLost)
	}
	return nil
}

// Unlock implements tokenstore.Lease.
func (l *lease) Unlock() error {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	l.endLocked()
	return nil
}

func (l *lease) endLocked() {
	if l.over {
		return
	}
	l.over = true
	if held := l.store.locks[l.name]; held.holder == l {
		held.passLocked()
	}
}

// breakLocks ends the leases of a process that has died, or cannot renew them.
func (s *shared) breakLocks(p *life) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.locks {
		if l.holder != nil && l.holder.life == p {
			l.holder.lost = true
			l.holder.endLocked()
		}
	}
}

var (
	errDied = errors.New("sim: the process has died")
	errAway = fmt.Errorf("sim: connection refused: %w", tokenstore.ErrUnavailable)
	errLost = fmt.Errorf("sim: it was not deleted, and is gone: %w", tokenstore.ErrDamaged)
	errFull = errors.New("sim: no space left on device")
	errAck  = errors.New("sim: connection reset")
)

// A storeOf is one process's way to the shared store.
type storeOf struct{ p *life }

// call takes the time of a store call, with what may go wrong on the way there.
func (s storeOf) call(ctx context.Context, what, name string) error {
	p, w := s.p, s.p.w
	if err := p.yield(what + " " + name); err != nil {
		return err
	}
	trouble := p.host.trouble()
	delay := trouble.storeDelay
	if delay == 0 {
		delay = w.plan.StoreDelay
	}
	if err := p.wait(ctx, what+name, delay); err != nil {
		return err
	}
	if trouble.storeAway {
		return errAway
	}
	return p.yield(what + " " + name)
}

// Get implements tokenstore.Store.
func (s storeOf) Get(ctx context.Context, name string) (*tokenstore.Record, error) {
	if err := s.call(ctx, "reading", name); err != nil {
		return nil, storeError("read", name, err)
	}
	p, w := s.p, s.p.w
	rec, err := w.store.get(name)
	if err := p.yield("having read " + name); err != nil {
		return nil, err
	}
	switch session := w.session(name); {
	case err == nil && session != nil:
		p.saw(name, rec.Version)
		w.read(p, session, rec)
	case errors.Is(err, tokenstore.ErrNotFound) && w.store.lost(name, p.seenVersion(name)):
		return nil, storeError("read", name, errLost) // as our stores say that hosts share
	}
	return rec, err
}

// Set implements tokenstore.Store.
func (s storeOf) Set(ctx context.Context, name string, rec *tokenstore.Record) (version uint64, err error) {
	p, w := s.p, s.p.w
	session := w.session(name)
	if session != nil {
		p.aboutToSave(session, rec)
		defer func() { p.triedToSave(session, rec, err) }()
	}
	if err := s.call(ctx, "saving", name); err != nil {
		return 0, storeError("save", name, err)
	}
	if p.host.trouble().storeFull {
		return 0, storeError("save", name, errFull)
	}
	version, err = w.store.set(name, rec)
	if err != nil {
		return 0, err
	}
	if session != nil {
		saved := rec.Clone()
		saved.Version = version
		w.stored(p, session, saved)
	}
	if err := p.yield("having saved " + name); err != nil {
		return 0, err
	}
	if p.host.take(&p.host.ackLost) {
		w.note("%v hears nothing of its write", p)
		return 0, storeError("save", name, errAck)
	}
	if session != nil {
		p.saw(name, version)
		w.knows(p, rec)
	}
	return version, nil
}

// saw notes that the process knows of a version.
func (p *life) saw(name string, version uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen[name] = version
}

func (p *life) seenVersion(name string) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[name]
}

// Delete implements tokenstore.Store.
func (s storeOf) Delete(ctx context.Context, name string, version uint64) error {
	if err := s.call(ctx, "deleting", name); err != nil {
		return storeError("delete", name, err)
	}
	if s.p.host.trouble().storeFull {
		return storeError("delete", name, errFull)
	}
	err := s.p.w.store.remove(name, version)
	if err == nil {
		s.p.w.note("%v deletes %s", s.p, name)
	}
	return err
}

// Lock implements tokenstore.Locker.
func (s storeOf) Lock(ctx context.Context, name string) (tokenstore.Lease, error) {
	if err := s.call(ctx, "locking", name); err != nil {
		return nil, storeError("lock", name, err)
	}
	l, err := s.p.w.store.lock(ctx, s.p, name)
	if err != nil {
		return nil, err
	}
	if err := s.p.yield("having locked " + name); err != nil {
		_ = l.Unlock()
		return nil, err
	}
	return l, nil
}

// A stamped store says cheaply whether a record has changed.
type stamped struct{ storeOf }

// Stamp implements tokenstore.Stamper.
func (s stamped) Stamp(ctx context.Context, name string) (uint64, error) {
	if err := s.call(ctx, "looking at", name); err != nil {
		return 0, storeError("read", name, err)
	}
	rec, err := s.p.w.store.get(name)
	if err != nil {
		return 0, err
	}
	return rec.Version, nil
}

// A timed store tells the time.
type timed struct{ storeOf }

// Time implements tokenstore.Timekeeper.
func (s timed) Time(ctx context.Context) (time.Time, error) {
	err := s.call(ctx, "asking for", "the time")
	if err != nil {
		s.p.mu.Lock()
		s.p.timeless = s.p.w.now()
		s.p.mu.Unlock()
	}
	return time.Now(), err
}

type stampedTimed struct {
	storeOf
	stamped stamped
}

func (s stampedTimed) Stamp(ctx context.Context, name string) (uint64, error) {
	return s.stamped.Stamp(ctx, name)
}
func (s stampedTimed) Time(ctx context.Context) (time.Time, error) { return timed{s.storeOf}.Time(ctx) }

// storeFor returns the store as a process sees it.
func storeFor(p *life) tokenstore.Store {
	s := storeOf{p}
	switch plan := p.w.plan; {
	case plan.Stamps && plan.TellsTime:
		return stampedTimed{s, stamped{s}}
	case plan.Stamps:
		return stamped{s}
	case plan.TellsTime:
		return timed{s}
	}
	return s
}
