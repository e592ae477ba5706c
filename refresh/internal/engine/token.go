package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/session"
	"github.com/evertoken/evertoken/refresh/internal/snapshot"
)

// Current returns the session's token if it lives, or else waits for one.
func (m *Member) Current(ctx context.Context) (*snapshot.Snapshot, error) {
	if s := m.Living(m.Now()); s != nil {
		return s, nil
	}
	return m.await(ctx, "")
}

// Living returns the session's token if it lives now and the session is awake, or nil.
func (m *Member) Living(now moment.Instant) *snapshot.Snapshot {
	if s := m.cur.Load(); s.Alive(now) {
		return s
	}
	return nil
}

// CurrentFor is Current for a resource indicator, whose token is shown in cell. A token
// that is due is renewed behind the caller's back.
func (m *Member) CurrentFor(ctx context.Context, resource string, cell *snapshot.Cell) (*snapshot.Snapshot, error) {
	s, now := cell.Load(), m.Now()
	if !s.Alive(now) {
		return m.await(ctx, resource)
	}
	if s.IsDue(now) {
		c, w := m.hold(), session.Want{Stale: s, Resource: resource}
		if !c.session.HoldsBack(w) { // or each call would ask the Store
			_, _ = m.fly(c, w)
		}
		m.release(c)
	}
	return s, nil
}

// Cell returns where the token for a resource indicator is shown.
func (m *Member) Cell(resource string) *snapshot.Cell {
	c := m.hold()
	defer m.release(c) // which does not rest any more
	return c.session.Cell(resource)
}

// await waits for a living token.
func (m *Member) await(ctx context.Context, resource string) (*snapshot.Snapshot, error) {
	c := m.use()
	defer m.release(c)
	cell, cfg := c.session.Cell(resource), m.cfg.Session
	if s, now := cell.Load(), m.Now(); s.Alive(now) { // it was dormant
		if s.IsDue(now) {
			m.Wake() // it was not renewed because no caller has asked
		}
		return s, nil
	}
	m.countWaiting(c, 1)
	defer m.countWaiting(c, -1)
	deadline := m.Now().Add(cfg.MaxWait)
	limit := cfg.Clock.Timer(cfg.MaxWait)
	defer limit.Stop()
	for {
		if s := cell.Load(); s.Alive(m.Now()) {
			return s, nil
		}
		changed, back := m.changes(c), cfg.Gate.Back() // before looking again, so that no change is missed
		s, h, now := cell.Load(), c.session.Health(), m.Now()
		if s.Alive(now) {
			return s, nil
		}
		pause := c.session.WaitFor(h)
		if h.Ended() || pause > deadline.Since(now) || h.Hopeless() || pause > 0 && (h.Told() || h.Vain()) {
			return nil, h.Err // waiting cannot help
		}
		var retry <-chan time.Time
		var f *flight
		if pause > 0 {
			if !m.IsRunning() {
				return nil, errors.Join(session.ErrStopped, h.Err)
			}
			timer := cfg.Clock.Timer(pause)
			defer timer.Stop()
			retry = timer.C
		} else {
			var err error
			if f, err = m.fly(c, session.Want{Stale: s, Resource: resource, Force: true}); err != nil {
				return nil, errors.Join(err, h.Err)
			}
			changed = f.done
		}
		select {
		case <-changed:
			if f != nil && errors.Is(f.err, session.ErrPaused) {
				return nil, f.err
			}
		case <-retry:
		case <-back:
		case <-ctx.Done():
			return nil, fmt.Errorf("refresh: waiting for a token: %w", context.Cause(ctx))
		case <-limit.C:
			return m.lastResort(ctx, c, resource)
		}
	}
}

func (m *Member) countWaiting(c *awake, n int) {
	m.mu.Lock()
	c.waiting += n
	m.mu.Unlock()
}

// lastResort is for a caller whose patience is over while a renewal still waits for the
// session's lock: the process that has it may have saved a pair by now, or be at a login.
func (m *Member) lastResort(ctx context.Context, c *awake, resource string) (*snapshot.Snapshot, error) {
	if s := c.session.Cell(resource).Load(); s.Alive(m.Now()) {
		return s, nil
	}
	if resource == "" {
		if s, err := c.session.Peek(ctx); s != nil || err != nil {
			return s, err
		}
	}
	if h := c.session.Health(); h.Err != nil {
		return nil, h.Err
	}
	return nil, failure.Transient(errors.New("no new token in time"))
}

// Force renews the session although its token may still live; see
// refresh.Manager.ForceRefresh.
func (m *Member) Force(ctx context.Context) error {
	c := m.hold()
	defer m.release(c)
	err := m.wait(ctx, c, session.Want{Stale: m.cur.Load(), Force: true, Insist: true})
	if ctx.Err() == nil || !errors.Is(err, context.Cause(ctx)) {
		return err
	}
	return fmt.Errorf("refresh: waiting for a refresh: %w", context.Cause(ctx))
}

// RenewRejected returns a token to use in place of s, which an API has rejected,
// or nil. It makes one attempt and waits for it no longer than MaxWait, and not at all
// unless wait is set.
func (m *Member) RenewRejected(ctx context.Context, resource string, s *snapshot.Snapshot, wait bool) *snapshot.Snapshot {
	c := m.use()
	defer m.release(c)
	replacement := func() *snapshot.Snapshot {
		if cur := c.session.Cell(resource).Load(); !cur.Same(s) && cur.Alive(m.Now()) {
			return cur
		}
		return nil
	}
	if cur := replacement(); cur != nil {
		return cur
	}
	w := session.Want{Stale: s, Resource: resource, Rejected: true}
	switch distrusted := c.session.Distrusted(); {
	case !wait && distrusted:
		m.Wake() // the Store may know more
		return nil
	case !wait:
		_, _ = m.fly(c, w)
		return nil
	case !distrusted:
		limited, cancel := context.WithTimeout(ctx, m.cfg.Session.MaxWait)
		defer cancel()
		m.countWaiting(c, 1)
		_ = m.wait(limited, c, w) // what counts is the token there is then
		m.countWaiting(c, -1)
	}
	if cur := replacement(); cur != nil {
		return cur
	}
	return m.Newer(ctx, resource, s)
}

const (
	// underWay is how long a renewal that has begun is waited for after an API has refused
	// a token that it ends at some servers: longer than nearly all take.
	underWay = 2 * time.Second
	// relook is how long to wait before a Store is looked at again in which another
	// process has announced a renewal.
	relook = 50 * time.Millisecond
)

// Newer returns the token that has taken the place of s, which an API has refused in words
// that can mean anything, or nil. It spends nothing: it looks at the Store, and waits a
// moment for a renewal under way, here or in another process, which at some servers ends
// the token before its successor is known.
func (m *Member) Newer(ctx context.Context, resource string, s *snapshot.Snapshot) *snapshot.Snapshot {
	c := m.hold()
	defer m.release(c)
	ctx, cancel := context.WithTimeout(ctx, underWay)
	defer cancel()
	for {
		if cur := c.session.Cell(resource).Load(); !cur.Same(s) && cur.Alive(m.Now()) {
			return cur
		}
		var news, more bool
		var err error
		switch troubled := c.session.Health().Err != nil && !m.cfg.Session.Follower; {
		case !troubled:
			news, more, err = m.news(ctx, c, resource, s)
		case !m.tryTurn(c, func() { news, more = c.session.News(ctx, resource, s) }):
			return nil // it looks itself, and pauses for longer than a caller would wait here
		}
		switch {
		case err != nil: // it took too long: a look that has the turn may have read before the news
			m.Wake()
			return nil
		case !news && !more:
			return nil
		}
		if !news {
			select {
			case <-time.After(relook):
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// A newsLook is a look at the Store for what has taken the place of a token. All who want it
// before it begins share it: an API that refuses each of many requests would have the Store
// asked for each, one after the other.
type newsLook struct {
	done chan struct{} // closed when the rest is known

	news, more bool
	err        error
}

// newsOf is the token that a newsLook is about.
type newsOf struct {
	resource   string
	generation uint64
}

// news is session.News in the turn, which a renewal has that is under way here.
func (m *Member) news(ctx context.Context, c *awake, resource string, s *snapshot.Snapshot) (news, more bool, err error) {
	of := newsOf{resource, s.Generation}
	for {
		l, mine := m.joinLook(c, of)
		if mine {
			m.lookForNews(ctx, c, of, s, l)
			return l.news, l.more, l.err
		}
		select {
		case <-l.done:
			if l.err == nil {
				return l.news, l.more, nil
			} // else the caller who looked has left
		case <-ctx.Done():
			return false, false, ctx.Err()
		}
	}
}

// joinLook returns the look that is about to begin, and whether the caller is to do it.
func (m *Member) joinLook(c *awake, of newsOf) (l *newsLook, mine bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l = c.looks[of]; l != nil {
		return l, false
	}
	if c.looks == nil {
		c.looks = make(map[newsOf]*newsLook)
	}
	l = &newsLook{done: make(chan struct{})}
	c.looks[of] = l
	return l, true
}

// leaveLook has the next caller begin another look.
func (m *Member) leaveLook(c *awake, of newsOf, l *newsLook) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.looks[of] == l {
		delete(c.looks, of)
	}
}

func (m *Member) lookForNews(ctx context.Context, c *awake, of newsOf, s *snapshot.Snapshot, l *newsLook) {
	defer close(l.done)
	defer m.leaveLook(c, of, l)
	l.err = m.inTurn(ctx, c, func() error {
		m.leaveLook(c, of, l) // what comes from now on may be about later news
		l.news, l.more = c.session.News(ctx, of.resource, s)
		return ctx.Err()
	})
}
