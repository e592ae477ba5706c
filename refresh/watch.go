package refresh

import (
	"context"
	"errors"

	"github.com/evertoken/evertoken/tokenstore"
)

// rarely is how many check intervals pass between two looks at the Store for a
// session at rest, while the Store says by itself what changes.
const rarely = 10

// watchStore hears of changes in the Store until ctx ends, and calls changed with
// the session's name, or with none if it could be any. It listens anew when it
// cannot hear any more; meanwhile sessions are looked at once per check interval.
func (s *setup) watchStore(ctx context.Context, changed func(session string)) {
	w, ok := s.Store.(tokenstore.Watcher)
	for ok && ctx.Err() == nil {
		err := guard("Store.Watch", func() error {
			return w.Watch(ctx, func(session string) {
				s.watching.Store(true)
				changed(session)
			})
		})
		s.watching.Store(false)
		if ctx.Err() != nil || errors.Is(err, errors.ErrUnsupported) {
			return
		}
		s.Logger.Warn("changes in the Store are not heard of", "error", err)
		timer := s.Clock.Timer(s.CheckInterval)
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
		r.m.cfg.watchStore(r.context(), func(session string) {
			if session == "" || session == r.m.session {
				r.sched.wake(r)
			}
		})
	}()
}

// watch makes the pool's sessions hear of changes in the Store.
func (r *poolRun) watch() {
	r.watching.Go(func() {
		r.p.cfg.watchStore(r.ctx, func(session string) {
			if session == "" {
				r.sched.replan()
				return
			}
			r.p.mu.Lock()
			m := r.p.sessions[session]
			r.p.mu.Unlock()
			if m != nil {
				m.wakeUp()
			}
		})
	})
}
