package refresh

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
	"github.com/evertoken/evertoken/tokenstore"
)

// rarely is how many check intervals pass between two looks at the Store for a
// session at rest, while the Store says by itself what changes. They are planned ten
// times sooner the moment that it does not any more.
const rarely = 10

// takeover is how long after the announcement of a spend a session is looked at.
// Until then there is nothing to see: whoever announced it holds the lock, and most
// spends are over by then, which the notice of the save tells. Whoever has died
// meanwhile is taken over from soon after, before the window closes in which servers
// give a lost answer again; whether he has died, the lock's lease decides in any case.
const takeover = 5 * time.Second

// watchStore hears of changes in the Store until ctx ends, and calls changed. When it
// cannot hear any more it calls deaf, and listens anew: soon at first, and once per
// check interval in the end, since each time may make all sessions look.
func (s *setup) watchStore(ctx context.Context, changed func(tokenstore.Change), deaf func()) {
	w, ok := s.Store.(tokenstore.Watcher)
	for failures := 0; ok && ctx.Err() == nil; {
		begun := s.Clock.Now()
		err := failure.Guard("Store.Watch", func() error {
			return w.Watch(ctx, func(c tokenstore.Change) {
				s.watching.Store(true)
				changed(c)
			})
		})
		heard := s.watching.Swap(false)
		if ctx.Err() != nil || errors.Is(err, errors.ErrUnsupported) {
			return
		}
		if heard {
			deaf()
		}
		if failures++; heard && s.Clock.Now().Sub(begun) > s.CheckInterval {
			failures = 1 // it has worked for a while
		}
		s.Logger.Warn("changes in the Store are not heard of", "error", err)
		timer := s.Clock.Timer(schedule.Backoff(failures, s.CheckInterval, rand.Float64()))
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// watch makes the run's session hear of changes in the Store.
func (r *run) watch() {
	if _, ok := r.m.cfg.Store.(tokenstore.Watcher); !ok || !r.enter() {
		return
	}
	go func() {
		defer r.landing.Done()
		r.m.cfg.watchStore(r.context(), func(c tokenstore.Change) {
			if c.Name == "" || c.Name == r.m.session {
				r.m.hear(c)
			}
		}, func() { r.queue.AdvanceAll(rarely) })
	}()
}

// watch makes the pool's sessions hear of changes in the Store.
func (r *poolRun) watch() {
	r.watching.Go(func() {
		r.p.cfg.watchStore(r.ctx, func(c tokenstore.Change) {
			if c.Name == "" {
				r.queue.AddAll()
				return
			}
			r.p.mu.Lock()
			m := r.p.sessions[c.Name]
			r.p.mu.Unlock()
			if m != nil {
				m.hear(c)
			}
		}, func() { r.queue.AdvanceAll(rarely) })
	})
}

// hear follows a notice of the session.
func (m *Manager) hear(c tokenstore.Change) {
	if c.Begun {
		m.wakeBy(takeover)
	} else {
		m.wakeUp()
	}
}
