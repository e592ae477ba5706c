package engine

import (
	"context"
	"slices"

	"github.com/evertoken/evertoken/tokenstore"
)

// A session that was forgotten may still have a request under way when another Member of its
// name is opened. Where the Store has locks, these keep the two from spending one refresh
// token; elsewhere the later one waits for the earlier before it spends anything. It serves
// the saved token meanwhile.

// A leaving has the sessions that were forgotten and have not ended yet: by name, what is
// closed at the end of each.
type leaving map[string][]chan struct{}

// Forget removes a session and returns it, or nil if it is not open. The caller makes it end.
func (e *Engine) Forget(name string) *Member {
	e.mu.Lock()
	m, gone := e.forgetLocked(name)
	e.mu.Unlock()
	if m != nil {
		m.afterRun(gone)
	}
	return m
}

// retire forgets a session that no caller uses, unless it is being opened.
func (e *Engine) retire(m *Member) {
	gone := func() {}
	e.mu.Lock()
	if e.members.find(m.name) == m && e.opening[m.name] == nil {
		_, gone = e.forgetLocked(m.name)
	}
	e.mu.Unlock()
	m.afterRun(gone)
	m.halt()
}

// forgetLocked removes a session, of which no run begins from then on, and returns it with
// what is to be called when it has ended; nil if it is not open.
func (e *Engine) forgetLocked(name string) (m *Member, gone func()) {
	m = e.members.remove(name)
	if m == nil {
		return nil, nil
	}
	ended := make(chan struct{})
	e.leaving[name] = append(e.leaving[name], ended)
	return m, func() {
		close(ended)
		e.mu.Lock()
		defer e.mu.Unlock()
		rest := slices.DeleteFunc(e.leaving[name], func(c chan struct{}) bool { return c == ended })
		if e.leaving[name] = rest; len(rest) == 0 {
			delete(e.leaving, name)
		}
	}
}

// afterRun calls f once when no run is in progress.
func (m *Member) afterRun(f func()) {
	m.mu.Lock()
	r := m.run
	if r != nil {
		r.endLocked().after = f
	}
	m.mu.Unlock()
	if r == nil {
		f()
	}
}

// before returns what closes at the ends of the sessions of m's name that were forgotten
// before it was opened.
func (e *Engine) before(m *Member) []chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.leaving) == 0 || e.members.find(m.name) != m { // it is one of them
		return nil
	}
	return slices.Clone(e.leaving[m.name])
}

// awaitBefore waits for the ends of sessions, or for that of ctx.
func awaitBefore(ctx context.Context, before []chan struct{}) error {
	for _, gone := range before {
		select {
		case <-gone:
		case <-ctx.Done():
			return tokenstore.ErrLocked
		}
	}
	return nil
}

// Before implements session.Run.
func (r *run) Before() (wait func(context.Context) error) {
	before := r.life.e.before(r.m)
	if len(before) == 0 {
		return nil
	}
	return func(ctx context.Context) error { return awaitBefore(ctx, before) }
}
